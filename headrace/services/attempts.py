"""
What a worker writes while it runs a job, each write under its fencing token.

A step's end, its event and the deliveries that tell it are one transaction; so are a job's end, its bookmarks, the freed key and
the admission of whatever may run next.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from headrace.core import queue, settings_apart
from headrace.core.errors import FencedError
from headrace.core.job import Job
from headrace.core.outcome import REFUSED_CONNECTIONS, Cancelled, Failed, Outcome, Settlement, Succeeded
from headrace.core.plan import AccessToken, AnyStep, ConfigRef, Discover, Export, Pipe, Plan, Sync
from headrace.core.state import JobState, StepState
from headrace.services.admission import Admission
from headrace.services.announcements import Announcements
from headrace.store import job_reads, jobs
from headrace.store.connections import Connections, Linked
from headrace.store.database import Connection, Database
from headrace.store.jobs import Claim, Standing
from headrace.store.sealing import Sealer
from headrace.store.tenants import Tenant, Tenants


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """
    Everything one attempt needs to know; secrets are open in it, so it is never logged.

    Attributes:
        sealed: inputs that came with the request, by the names the plan refers to.
        connections: by the ids the plan refers to.
        tenant_config: what is kept of the tenant, as scripts find it in `tenant-config.json`.
    """

    claim: Claim
    job: Job
    plan: Plan
    sealed: Mapping[str, Any]
    connections: Mapping[str, Linked]
    tenant_config: Mapping[str, Any] = field(default_factory=dict)

    def settings(self, ref: ConfigRef, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """
        Give a connector's settings: defaults < connection < sealed overrides < what the dialect adds.
        """
        stored = self.connections[ref.connection].config if ref.connection else {}
        overrides = self.sealed.get(ref.overrides, {}) if ref.overrides else {}
        return {**defaults, **stored, **overrides, **ref.extra}


@dataclass(frozen=True, slots=True)
class NewBookmark:
    """How far a source has been read; saved with the end of the job."""

    connection_id: UUID
    state: dict[str, Any]


class Attempts:
    """
    The engine's door to the store. Every method may raise `StoreUnavailableError`; nothing was written then.
    """

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        connections: Connections,
        announcements: Announcements,
        admission: Admission,
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._connections = connections
        self._announcements = announcements
        self._admission = admission
        self._tenants = Tenants(database, sealer)

    async def claim(self, job_id: UUID, *, node_id: UUID, node_name: str) -> Work | None:
        """
        Take a job for one attempt; None when it has ended or waits again.
        """
        async with self._database.transaction() as connection:
            claim = await jobs.claim(connection, job_id, node_id=node_id, node_name=node_name)
            if claim is None:
                return None
            return await self._work(connection, claim)

    async def look(self, job_id: UUID) -> Work:
        """
        Give what an attempt would work with as things stand, without the right to write anything.
        """
        async with self._database.connection() as connection:
            return await self._work(connection, Claim(job_id, 0, 0, taken_over=False))

    async def _work(self, connection: Connection, claim: Claim) -> Work:
        job_id = claim.job_id
        job = await job_reads.read(connection, job_id)
        assert job is not None  # noqa: S101 - whoever asks has just read or claimed it
        plan, sealed = await job_reads.plan_of(connection, job_id)
        kept = await self._tenants.read(connection, job.workspace_id, job.tenant) if plan.snapshots else None
        inputs = self._sealer.open(sealed, f"job:{job_id}") if sealed is not None else {}
        return Work(
            claim=claim,
            job=job,
            plan=settings_apart.put_back(plan, inputs),
            sealed=inputs,
            connections=await self._linked(connection, plan),
            tenant_config=kept.document if kept else {},
        )

    async def read(self, claim: Claim) -> Job:
        """
        Read the job as it stands.
        """
        async with self._database.connection() as connection:
            job = await job_reads.read(connection, claim.job_id)
        if job is None:
            raise FencedError("The job was deleted while it ran.")
        return job

    async def details(self, work: Work) -> dict[str, Any]:
        """
        Show the job as it stands in its dialect's words.
        """
        return self._announcements.details(await self.read(work.claim))

    async def unfinished(self, job_ids: Collection[UUID]) -> set[UUID]:
        """
        Tell which of some jobs run, or will, wherever.
        """
        async with self._database.connection() as connection:
            return await jobs.unfinished(connection, job_ids)

    async def folders(self, job_ids: Collection[UUID]) -> dict[UUID, str]:
        """
        Give the folders of some jobs in the file store; a job that is not known has none.
        """
        async with self._database.connection() as connection:
            return await jobs.folders(connection, job_ids)

    async def start_step(self, work: Work, ordinal: int) -> None:
        """
        Begin a step. Webhooks hear of its first beginning alone: a take-over is no news to them.

        Raises:
            FencedError: somebody else owns the attempt.
        """
        async with self._database.transaction() as connection:
            event_id, first = await jobs.start_step(connection, work.claim, ordinal)
            if first or event_id is None:
                await self._tell(connection, work, event_id)

    async def report_step(self, work: Work, ordinal: int, output: dict[str, Any]) -> Standing:
        """
        Leave progress on a running step; learn whether somebody asked for an end.
        """
        async with self._database.connection() as connection:
            return await jobs.report_step(connection, work.claim, ordinal, output)

    async def standing(self, claim: Claim) -> Standing:
        async with self._database.connection() as connection:
            return await jobs.standing(connection, claim)

    async def retry_step(self, work: Work, ordinal: int, retry: dict[str, Any]) -> None:
        """
        Note that a step is tried again. Webhooks hear nothing of it: the step has not ended.

        Raises:
            FencedError: somebody else owns the attempt.
        """
        async with self._database.transaction() as connection:
            if await jobs.retry_step(connection, work.claim, ordinal, retry) is None:
                raise _fenced(work.claim)

    async def finish_step(self, work: Work, ordinal: int, outcome: Succeeded | Failed | Cancelled) -> None:
        """
        Raises:
            FencedError: somebody else owns the attempt.
        """
        state = {Succeeded: StepState.COMPLETED, Failed: StepState.FAILED, Cancelled: StepState.CANCELLED}[
            type(outcome)
        ]
        cause = None if isinstance(outcome, Succeeded) else outcome.cause
        async with self._database.transaction() as connection:
            event_id = await jobs.finish_step(
                connection, work.claim, ordinal, state, output=outcome.output, cause=cause
            )
            await self._tell(connection, work, event_id)

    async def settle(
        self,
        work: Work,
        outcome: Outcome,
        settlement: Settlement,
        *,
        ticket: queue.Claim,
        bookmarks: Sequence[NewBookmark] = (),
    ) -> None:
        """
        End the attempt: the job's state, its bookmarks, its ticket, its key and the next admission in one commit.

        *bookmarks* are saved when the job has completed or failed; of one that failed, who calls gives only what shall stay.

        Raises:
            FencedError: somebody else owns the attempt.
        """
        cause = outcome.cause if isinstance(outcome, (Failed, Cancelled)) else None
        async with self._database.transaction() as connection:
            event_id = await jobs.settle_job(
                connection,
                work.claim,
                settlement.state,
                cause=cause,
                due_at=settlement.due_at,
                finished_at=settlement.finished_at,
            )
            if settlement.state in (JobState.COMPLETED, JobState.FAILED):
                for bookmark in bookmarks:
                    await self._connections.save_bookmark(
                        connection, bookmark.connection_id, bookmark.state, job_id=work.job.id
                    )
            await self._note_accounts(connection, work, settlement.state, outcome)
            await self._tell(connection, work, event_id)
            await ticket.settle(connection)
            await self._admission.admit(connection)
        ticket.settled()

    async def save_config(self, work: Work, connection_id: UUID, changed: Mapping[str, Any]) -> None:
        """
        Keep settings that a connector has rewritten, such as a rotated token; also when the job fails.
        """
        async with self._database.transaction() as connection:
            await self._fence(connection, work.claim)
            linked = await self._connections.read_settings(connection, connection_id)
            # Linked anew while the job ran: the tokens of before would undo the new ones.
            if linked is not None and _same_link(work, linked):
                await self._connections.save_config(connection, connection_id, {**linked.config, **changed})

    async def save_tenant_config(self, work: Work, changed: Mapping[str, Any]) -> None:
        """
        Keep what a script has set or changed in `tenant-config.json`; every other key stays as it is by now.
        """
        workspace_id, tenant = work.job.workspace_id, work.job.tenant
        async with self._database.transaction() as connection:
            await self._fence(connection, work.claim)
            await self._tenants.ensure(connection, workspace_id, tenant)
            kept = await self._tenants.read(connection, workspace_id, tenant, lock=True) or Tenant()
            await self._tenants.save(connection, workspace_id, tenant, kept.with_document({**kept.document, **changed}))

    async def save_catalog(self, work: Work, connection_id: UUID, catalog: Mapping[str, Any]) -> None:
        async with self._database.transaction() as connection:
            await self._fence(connection, work.claim)
            await self._connections.save_catalog(connection, connection_id, catalog)

    async def forget_bookmark(self, work: Work, connection_id: UUID) -> None:
        """
        Clear how far a source has been read, for good.
        """
        async with self._database.transaction() as connection:
            await self._fence(connection, work.claim)
            await self._connections.save_bookmark(connection, connection_id, None, job_id=work.job.id)

    async def _note_accounts(self, connection: Connection, work: Work, state: JobState, outcome: Outcome) -> None:
        """
        Note whose accounts refused their credentials; those of all others in a completed job are good again.
        """
        refused: Sequence[str] = ()
        match outcome:
            case Succeeded(output=told):
                refused = told.get(REFUSED_CONNECTIONS, ())
            case Failed(cause=cause) if state is JobState.FAILED:
                refused = cause.evidence.get(REFUSED_CONNECTIONS, ())
        if state is JobState.COMPLETED:
            marked = {each for each, linked in work.connections.items() if linked.disconnected}
            for connection_id in sorted(marked.difference(refused)):
                await self._connections.save_disconnected(connection, UUID(connection_id), disconnected=False)
        for connection_id in refused:
            linked = await self._connections.read_settings(connection, UUID(connection_id))
            if linked is not None and _same_link(work, linked):
                await self._connections.save_disconnected(connection, linked.id, disconnected=True)

    async def _linked(self, connection: Connection, plan: Plan) -> dict[str, Linked]:
        found: dict[str, Linked] = {}
        for connection_id in {ref.connection for step in plan.steps for ref in refs_of(step) if ref.connection}:
            linked = await self._connections.read(connection, UUID(connection_id))
            if linked is not None:
                found[connection_id] = linked
        return found

    async def _tell(self, connection: Connection, work: Work, event_id: int | None) -> None:
        if event_id is None:
            raise _fenced(work.claim)
        await self._announcements.announce(connection, work.job.id, work.job.workspace_id, event_id)

    async def _fence(self, connection: Connection, claim: Claim) -> None:
        if (await jobs.standing(connection, claim)).fenced:
            raise _fenced(claim)


def _same_link(work: Work, linked: Linked) -> bool:
    """
    Tell whether a connection is still the one that the job began with, and was not linked anew.
    """
    known = work.connections.get(str(linked.id))
    return known is not None and known.generation == linked.generation


def _fenced(claim: Claim) -> FencedError:
    return FencedError("Another worker owns this job now.", job=str(claim.job_id), token=claim.token)


def refs_of(step: AnyStep) -> list[ConfigRef]:
    """
    List the settings that a step needs.
    """
    match step:
        case Discover(config=config) | AccessToken(config=config) | Sync(config=config):
            return [config]
        case Export(targets=targets):
            return [target.config for target in targets]
        case Pipe(tap_config=tap, target_config=target):
            return [tap, target]
        case _:
            return []
