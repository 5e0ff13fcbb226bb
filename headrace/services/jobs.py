"""
Submitting, showing and cancelling jobs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import msgspec

from headrace.core import settings_apart
from headrace.core.errors import (
    ActiveJobError,
    ConflictError,
    FinalStateError,
    InvalidError,
    NotFoundError,
    RootTakenError,
)
from headrace.core.event import Event
from headrace.core.fan_out import FanOutRecord, Item
from headrace.core.job import Job, NewJob, StepRecord
from headrace.core.outcome import Blame, Cause
from headrace.core.plan import OnTaken, Plan
from headrace.core.queue import Queue
from headrace.core.state import JobState, StepState
from headrace.core.waiting import Line, Wait, why_it_waits
from headrace.services.admission import Admission
from headrace.services.announcements import Announcements
from headrace.services.fan_outs import terminate
from headrace.store import job_reads, jobs, submits
from headrace.store.database import Connection, Database
from headrace.store.gathered import Gathered
from headrace.store.gathered_submits import GatheredSubmits
from headrace.store.item_rows import Items
from headrace.store.logs import JOB, LogEntry, Logs
from headrace.store.sealing import Sealer
from headrace.store.submits import Entry, Submitted


@dataclass(frozen=True, slots=True)
class Submission:
    """
    What became of a submit.

    Attributes:
        queued: another job of the key has to end first.
        repeated: the idempotency key was known; *job* is the one it made.
    """

    job: Job
    queued: bool = False
    repeated: bool = False


ANOTHER_ACTIVE = Cause(
    stage="",
    sentence="Another job of this definition has not ended.",
    who=Blame.NOBODY,
    instruction="Wait for it, or end it first.",
    evidence={"code": "another-job-active"},
)


class Jobs:
    """
    What may be asked about jobs; whoever calls has checked the actor's scope.
    """

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        queue: Queue,
        admission: Admission,
        announcements: Announcements,
        logs: Logs,
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._queue = queue
        self._admission = admission
        self._announcements = announcements
        self._logs = logs
        self._items = Items(database)
        self._by_root = Gathered(self._read_by_roots)
        self._submits = GatheredSubmits(database)

    async def submit(self, new: NewJob, plan: Plan) -> Submission:
        """
        Write a job to the history and let it through as soon as its key and a slot are free.

        When this returns, the job, its plan and its first event are committed.

        Raises:
            InvalidError: a plan with a fan-out came without items, or one of steps with them.
            ActiveJobError: its key is taken and its plan says `reject`.
            ConflictError: the idempotency key was used with another request.
            RootTakenError: another job has the root; nothing was written, try with a new one.
            StoreUnavailableError: nothing was written.
        """
        # Of a long list of items it takes its time, and nobody asks for it without a key.
        digest = (new.fingerprint or _digest_of(new, plan)) if new.idempotency_key else b""
        if (plan.fan_out is not None) != bool(new.items):
            raise InvalidError("A job has either steps or items.", "Give at least one item.")
        plan, settings = settings_apart.take_out(plan)
        if settings:
            new = replace(new, sealed={**new.sealed, **settings})
        entry = Entry(new, plan, self._seal(new), digest or None)
        try:
            written, refused = await self._write(entry)
        except (submits.DuplicateKeyError, ActiveJobError):
            # The job that is in the way may be the very one that an earlier try of this request made.
            repeated = await self.repeated(new.idempotency_key, digest, workspace_id=new.workspace_id)
            if repeated is None:
                raise
            return repeated
        except submits.DuplicateRootError:
            raise RootTakenError("Another job has this root.", "Submit it again with a new one.") from None
        if refused:
            return Submission(await self.get(new.id, workspace_id=new.workspace_id))
        if written.ready:  # else whoever ends the job before it lets it through
            self._admission.wake()
        return Submission(_as_submitted(new, plan, written), queued=not written.ready)

    async def _write(self, entry: Entry) -> tuple[Submitted, bool]:
        """
        Write a job and what others are owed of it; gives whether it was only recorded, for its key was taken.
        """
        new, plan, refused = entry.job, entry.plan, False
        if await self._is_plain(entry):
            written = await self._submits.submit(entry)
        else:
            async with self._database.transaction() as connection:
                written = await submits.submit(connection, entry)
                if written is None and plan.on_taken is OnTaken.RECORD_CANCELLED:
                    refused = True
                    written = await submits.record_refused(connection, entry, ANOTHER_ACTIVE)
                if written is not None:
                    await self._announcements.announce(connection, new.id, new.workspace_id, written.event_id)
        if written is None:
            raise ActiveJobError("There is a job currently running", "Wait for it, or ask for the job to be queued.")
        return written, refused

    async def _is_plain(self, entry: Entry) -> bool:
        """
        Tell whether writing a job takes one statement, which may go together with others.
        """
        new, plan = entry.job, entry.plan
        if new.items or new.done or plan.on_taken is OnTaken.RECORD_CANCELLED:
            return False
        return not await self._announcements.has_listeners(new.workspace_id)

    async def get(self, job_id: UUID, *, workspace_id: UUID | None) -> Job:
        """
        Raises:
            NotFoundError: there is no such job in the workspace; None is every workspace.
        """
        async with self._database.connection() as connection:
            job = await job_reads.read(connection, job_id, workspace_id=workspace_id)
        if job is None:
            raise NotFoundError(f"There is no job {job_id}.", "List jobs with `headrace jobs`.")
        return job

    async def by_root(self, root: str, *, workspace_id: UUID) -> Job | None:
        """
        Find a job by its dialect's path.
        """
        job = await self._by_root.get(root)
        return job if job is not None and job.workspace_id == workspace_id else None

    async def _read_by_roots(self, roots: Sequence[str]) -> Mapping[str, Job]:
        async with self._database.connection() as connection:
            return await job_reads.read_by_roots(connection, roots)

    async def history(
        self,
        workspace_id: UUID | None,
        *,
        definition: str | None = None,
        tenant: str | None = None,
        dialect: str | None = None,
        states: Sequence[JobState] = (),
        details: Mapping[str, Any] | None = None,
        text: str | None = None,
        before_seq: int | None = None,
        limit: int = 50,
    ) -> list[Job]:
        """
        List jobs, newest first; with *details*, those whose details contain them; with *text*, those that have it in a name or id.
        """
        return await job_reads.history(
            self._database,
            workspace_id,
            definition=definition,
            tenant=tenant,
            dialect=dialect,
            states=states,
            details=details,
            text=text,
            before_seq=before_seq,
            limit=limit,
        )

    async def unfinished(self) -> dict[JobState, int]:
        """
        Count the jobs of every workspace that have not ended, by state.
        """
        async with self._database.connection() as connection:
            return await job_reads.count_unfinished(connection)

    async def standing(self, workspace_id: UUID | None) -> dict[JobState, int]:
        """
        Count the jobs of a workspace, or of all, that have not ended or ended within a day, by state.
        """
        return await job_reads.count_standing(self._database, workspace_id)

    async def why_it_waits(self, job: Job, *, slots: int) -> Wait:
        """
        Say what a job waits for, where the workers have *slots* slots together.
        """
        found = await job_reads.why_waiting(self._database, job.id)
        return why_it_waits(job, Line(holder=found.holder, ahead=found.ahead, slots=slots, busy=found.busy))

    async def events(self, job_id: UUID, *, after: int = 0) -> list[Event]:
        async with self._database.connection() as connection:
            return await job_reads.events_of(connection, job_id, after=after)

    async def logs(
        self, job_id: UUID, *, after: int = 0, limit: int = 1000, item: int | None = None, last: int | None = None
    ) -> list[LogEntry]:
        """
        Read a job's log, or that of one of its items, which stands apart; with *last*, only its so many newest lines.
        """
        if last is not None:
            _, line = await self._logs.last_line(job_id, step=JOB if item is None else item)
            after = max(after, line - last)
        return await self._logs.read(job_id, after=after, limit=limit, step=JOB if item is None else item)

    async def items(
        self, job_id: UUID, *, after: int = -1, limit: int = 1000, states: Sequence[StepState] = ()
    ) -> Sequence[Item]:
        """
        List a job's items in their order; whoever calls has read the job from its workspace.
        """
        return await self._items.of_job(job_id, after=after, limit=limit, states=states)

    async def cancel(self, job_id: UUID, *, by: str, workspace_id: UUID | None) -> Job:
        """
        End a job: at once when no worker has begun it, else within its grace time.

        Raises:
            NotFoundError: there is no such job.
            FinalStateError: it has ended.
        """
        cause = Cause(stage="", sentence=f"Cancelled by {by} before it started.", who=Blame.NOBODY)
        async with self._database.transaction() as connection:
            await self._cancel(connection, job_id, by, cause, workspace_id)
        self._admission.wake()
        return await self.get(job_id, workspace_id=workspace_id)

    async def _cancel(
        self, connection: Connection, job_id: UUID, by: str, cause: Cause, workspace_id: UUID | None
    ) -> None:
        job = await job_reads.read(connection, job_id, workspace_id=workspace_id)
        if job is None:
            raise NotFoundError(f"There is no job {job_id}.", "List jobs with `headrace jobs`.")
        if job.final:
            raise FinalStateError(f"The job has ended ({job.state}).", state=str(job.state))
        if job.items is not None:
            await terminate(connection, self._queue, self._announcements, job_id, by=by)
            return
        await jobs.lock_line(connection, job_id)
        states = [JobState.WAITING, JobState.SCHEDULED, JobState.PAUSED]
        if await self._queue.revoke(connection, str(job_id)):
            # A job that runs while its ticket is free has lost its worker: nobody would ever look at it again.
            states += [JobState.ADMITTED, JobState.RUNNING]
        event_id = await jobs.cancel_unstarted(connection, job_id, states, cause)
        if event_id is not None:
            await self._announcements.announce(connection, job_id, job.workspace_id, event_id)
            return
        await jobs.request_cancel(connection, job_id, by=by)

    async def repeated(self, key: str | None, digest: bytes, *, workspace_id: UUID) -> Submission | None:
        """
        Give the job that an earlier request under an idempotency key made; None when there is none.

        Raises:
            ConflictError: that was another request: its *digest* differs.
        """
        if not key:
            return None
        async with self._database.connection() as connection:
            found = await job_reads.read_by_idempotency_key(connection, key, workspace_id=workspace_id)
        if found is None:
            return None
        if found[1] != digest:
            raise ConflictError(
                "The idempotency key was used with another request.", "Use a new key for a new request."
            )
        return Submission(found[0], repeated=True)

    def _seal(self, new: NewJob) -> bytes | None:
        return self._sealer.seal(new.sealed, f"job:{new.id}") if new.sealed else None


def _digest_of(new: NewJob, plan: Plan) -> bytes:
    return hashlib.sha256(msgspec.json.encode((plan, new.sealed), order="deterministic")).digest()


def _as_submitted(new: NewJob, plan: Plan, written: Submitted) -> Job:
    """
    Give the job as its first event left it, without reading it back.
    """
    done = {step.ordinal: replace(step, state=StepState.COMPLETED, attempt=0) for step in new.done}
    return Job(
        id=new.id,
        seq=written.seq,
        workspace_id=new.workspace_id,
        workspace=new.workspace,
        tenant=new.tenant,
        dialect=new.dialect,
        definition=new.definition,
        public_id=new.public_id,
        root=new.root,
        name=new.name,
        state=JobState.WAITING,
        key=plan.key,
        priority=plan.priority,
        trigger=new.trigger,
        started_by=new.started_by,
        details=new.details,
        created_at=written.created_at,
        updated_at=written.created_at,
        steps=tuple(
            done.get(ordinal) or StepRecord(ordinal=ordinal, name=step.name, kind=str(step.__struct_config__.tag))
            for ordinal, step in enumerate(plan.steps)
        ),
        items=FanOutRecord(total=len(new.items), completed=0, failed=0, cancelled=0) if plan.fan_out else None,
    )
