"""
Running an ended job again: the same plan, or that plan with named overrides, whole or from one of its steps on.

Steps that are not run again count as completed in the new job, and their files are taken over from the old job's folder by the worker
that begins it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol
from uuid import UUID

import msgspec

from headrace.core.actor import Actor, Scope
from headrace.core.errors import ConflictError, InvalidError
from headrace.core.job import Job
from headrace.core.plan import Pipe, Plan, Reuse, Sync
from headrace.core.rerun import Renew, Renewal, Rerun, overridden, queued, steps_before
from headrace.core.state import JobState
from headrace.services.attempts import refs_of
from headrace.services.jobs import Jobs, Submission
from headrace.store import job_reads
from headrace.store.connections import Connections
from headrace.store.database import Database
from headrace.store.files import FileStore
from headrace.store.job_rows import folder_of
from headrace.store.sealing import Sealer

_BOOKMARK, _INITIAL_STATE = ".headrace/bookmark.json", ".headrace/initial-state.json"


@dataclass(frozen=True, slots=True)
class Repeat:
    """By what a repeat of a request is known: its idempotency key, and the digest of what it asks for."""

    key: str | None
    digest: bytes


class RerunItems(Protocol):
    """Runs those items of an ended fan-out again that did not complete."""

    async def __call__(self, actor: Actor, job: Job, repeat: Repeat) -> Job: ...


class Reruns:
    """
    Args:
        renew: by dialect, what makes a new job of an old one.
        items: by dialect, what runs a fan-out again.
        submit: submits a new job; what a dialect owes beside it is done there.
    """

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        jobs: Jobs,
        connections: Connections,
        files: FileStore,
        *,
        renew: Mapping[str, Renew],
        items: Mapping[str, RerunItems],
        submit: Mapping[str, Callable[..., Awaitable[Job]]],
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._jobs = jobs
        self._connections = connections
        self._files = files
        self._renew = renew
        self._items = items
        self._submit = submit

    async def __call__(self, actor: Actor, wanted: Rerun) -> Submission:
        """
        Submit a job that runs an ended one again.

        Raises:
            NotFoundError: there is no such job, or not for this actor.
            ForbiddenError: the actor may not run jobs.
            ConflictError: it has not ended, a step before the wanted one did not complete, its files are gone, or the
                idempotency key was used with another request.
            InvalidError: there is no such step or override.
            ActiveJobError: a job of the same key is not finished, and this one is not to wait for it.
        """
        actor.require(Scope.RUN)
        job = await self._jobs.get(wanted.job_id, workspace_id=actor.workspace_id)
        if not job.final:
            raise ConflictError("The job has not ended.", "Wait for it, or end it first.", state=str(job.state))
        repeat = _repeat(wanted)
        # Before anything else: what the first request used may be gone by now.
        if made := await self._jobs.repeated(repeat.key, repeat.digest, workspace_id=job.workspace_id):
            return made
        async with self._database.connection() as connection:
            plan, sealed = await job_reads.plan_of(connection, job.id)
        if plan.fan_out is not None:
            return await self._run_items(actor, job, wanted, repeat)
        return await self._run_steps(actor, job, plan, self._open(job, sealed), wanted, repeat)

    async def _run_items(self, actor: Actor, job: Job, wanted: Rerun, repeat: Repeat) -> Submission:
        if wanted.from_step or wanted.options:
            raise InvalidError(
                "A job of items is run again as it was: what failed of it.", "Leave out `from` and overrides."
            )
        again = self._items.get(job.dialect)
        if again is None:
            raise _not_here(job)
        return Submission(await again(actor, job, repeat))

    async def _run_steps(
        self, actor: Actor, job: Job, plan: Plan, sealed: Mapping[str, Any], wanted: Rerun, repeat: Repeat
    ) -> Submission:
        renew = self._renew.get(job.dialect)
        if renew is None:
            raise _not_here(job)
        await self._refuse_unlinked(plan)
        done = steps_before(job, wanted.from_step)
        plan, variables = overridden(plan, wanted.options)
        plan = msgspec.structs.replace(queued(plan, queue=wanted.queue), reuse=await self._reuse(job, plan, done))
        if variables:
            name = plan.environment or "environment"
            sealed = {**sealed, name: {**sealed.get(name, {}), **variables}}
            plan = msgspec.structs.replace(plan, environment=name)
        new, plan = renew(Renewal(job=job, plan=plan, sealed=sealed, by=actor.name, done=done))
        details = {**new.details, "rerun_of": str(job.id)}
        details |= {"rerun_from": wanted.from_step} if wanted.from_step else {}
        new = replace(
            new,
            trigger="rerun",
            details=details,
            sealed=dict(sealed),
            done=done,
            idempotency_key=repeat.key,
            fingerprint=repeat.digest,
        )
        submit = self._submit.get(job.dialect)
        if submit is not None:
            made = await submit(new, plan)
            return Submission(made, repeated=made.id != new.id)
        return await self._jobs.submit(new, plan)

    async def _reuse(self, job: Job, plan: Plan, done: tuple[Any, ...]) -> Reuse | None:
        """
        Say what the new job takes over from the old one's files.

        Raises:
            ConflictError: they are gone.
        """
        if not done:
            return None
        folder = folder_of(job.id, job.created_at)
        files = await self._files.present(folder)
        made = {"discover": "catalog.json", "sync": "sync-output/", "etl": "etl-output/"}
        for step in done:
            prefix = made.get(step.name, "")
            if not any(path.startswith(prefix) for path in files) and step.output.get("record_count") != {}:
                raise ConflictError(
                    f"The files that the step {step.name} of the old job made are gone.",
                    "Run the job again whole.",
                    step=step.name,
                )
        return Reuse(
            folder=folder,
            steps=tuple(step.name for step in done),
            bookmark=job.state is not JobState.COMPLETED and await self._unmoved(plan, folder),
        )

    async def _refuse_unlinked(self, plan: Plan) -> None:
        """
        Refuse a plan that needs settings which nobody has any more.
        """
        async with self._database.connection() as connection:
            for ref in (ref for step in plan.steps for ref in refs_of(step)):
                if ref.connection and await self._connections.read(connection, UUID(ref.connection)) is None:
                    raise ConflictError(
                        "A connection that the job used is not linked any more.", "Link it, and ask for a new job."
                    )

    async def _unmoved(self, plan: Plan, folder: str) -> bool:
        """
        Tell whether the sources still stand where the old job began to read: only then may its own end become their bookmark.
        """
        initial = await self._files.get(f"{folder}/{_INITIAL_STATE}")
        if initial is None or await self._files.get(f"{folder}/{_BOOKMARK}") is None:
            return False
        async with self._database.connection() as connection:
            for step in plan.steps:
                ref = step.config if isinstance(step, Sync) else step.tap_config if isinstance(step, Pipe) else None
                if ref is not None and ref.connection:
                    linked = await self._connections.read(connection, UUID(ref.connection))
                    if linked is None or linked.bookmark != msgspec.json.decode(initial):
                        return False
        return True

    def _open(self, job: Job, sealed: bytes | None) -> dict[str, Any]:
        opened: dict[str, Any] = self._sealer.open(sealed, f"job:{job.id}") if sealed is not None else {}
        return opened


def _repeat(wanted: Rerun) -> Repeat:
    asked = (str(wanted.job_id), wanted.from_step, dict(wanted.options), wanted.queue)
    return Repeat(wanted.idempotency_key, hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).digest())


def _not_here(job: Job) -> ConflictError:
    return ConflictError("A job of this kind is not run again.", "Ask for a new one.", dialect=job.dialect)
