"""
Starting jobs and single runs the Intuned way, for its own wire and for whoever else starts them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import UUID

import msgspec

from headrace.core.actor import Actor
from headrace.core.auth_session import AuthSession
from headrace.core.batch import AutomationProject, Batch
from headrace.core.errors import InvalidError
from headrace.core.job import Job, NewJob
from headrace.core.plan import Limits, Plan
from headrace.dialects.intuned.compile import Asked, compile_batch, compile_operation, compile_rerun, compile_run
from headrace.dialects.intuned.ids import RUN_ID_LENGTH, run_id
from headrace.dialects.intuned.secrets import opened
from headrace.dialects.intuned.session_use import by_hand, making, validating
from headrace.dialects.intuned.session_wire import SessionBody, ValidateBody
from headrace.dialects.intuned.wire import JobBody, RunAuthSession, RunBody
from headrace.services.auth_sessions import AuthSessions
from headrace.services.automations import Workspace
from headrace.services.batches import Batches, refuse_paused
from headrace.services.jobs import Jobs
from headrace.services.reruns import Repeat

LONG_BYTES = 2**18
"""A definition of this size is worth a thread: to read and compile the longest takes a second."""

NEVER_AGAIN = Repeat(None, b"")
"""Of a request without an idempotency key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    A project, and who asks.
    """

    actor: Actor
    workspace: Workspace
    project: AutomationProject


class StartAutomations:
    """
    Args:
        limits: of every item.
        new_id: makes a UUID.
        chance: gives so many random bytes.
    """

    def __init__(
        self,
        batches: Batches,
        jobs: Jobs,
        sessions: AuthSessions,
        *,
        limits: Limits,
        new_id: Callable[[], UUID],
        chance: Callable[[int], bytes],
    ) -> None:
        self._batches = batches
        self._jobs = jobs
        self._sessions = sessions
        self._limits = limits
        self._new_id = new_id
        self._chance = chance

    async def batch(
        self, place: Place, batch: Batch, *, trigger: str = "api", idempotency_key: str | None = None
    ) -> Job:
        """
        Start a job of a batch; while another one of it has not ended, the new one is recorded as cancelled.

        Asked again with the same key, it gives the job that is there.

        Raises:
            ConflictError: the batch is paused, or the key was used for something else.
            InvalidError: the project's settings do not fit.
        """
        repeat = Repeat(idempotency_key, digest_of("trigger", batch.id))
        if batch.paused and (made := await self._made(place, repeat)):
            return made
        refuse_paused(batch)  # before a long list of payloads is looked at
        asked = self._asked(place, trigger, repeat)

        def compiled() -> tuple[NewJob, Plan]:
            return compile_batch(batch, opened(shown_of(batch), batch.secrets), place.project, asked)

        long = len(batch.definition) >= LONG_BYTES
        new, plan = await asyncio.to_thread(compiled) if long else compiled()
        return await self._batches.start(batch, new, plan)

    async def rerun(self, place: Place, batch: Batch, job_id: UUID, repeat: Repeat) -> Job:
        """
        Start a job of those items of an ended one that did not complete, as they were; a repeat gives the job that the first made.

        Raises:
            NotFoundError: no such job was made of the batch.
            ConflictError: the batch is paused, the job has not ended or has nothing to repeat, or the key was used for something else.
        """
        if made := await self._made(place, repeat):
            return made
        refuse_paused(batch)
        job, plan, sealed, items = await self._batches.failed_items(batch, job_id)
        new, plan = compile_rerun(plan, job, items, batch, self._asked(place, "rerun", repeat))
        return await self._batches.start(batch, replace(new, sealed=sealed), plan)

    async def run(self, place: Place, body: RunBody, repeat: Repeat) -> str:
        """
        Start a single run, and give its id; a repeat gives the id of the one that the first made.

        Raises:
            InvalidError: the project takes no single runs, or its settings do not fit.
            NotFoundError: the project has no such session.
            ConflictError: the session that it brings has the name of another kind of session, or the key was used for something else.
        """
        if made := await self._made(place, repeat):
            return str(made.details["run"])
        new, plan = compile_run(body, place.project, self._asked(place, "api", repeat))
        await self._login(place, body.auth_session, new, plan)
        return str((await self._jobs.submit(new, plan)).job.details["run"])

    async def _made(self, place: Place, repeat: Repeat) -> Job | None:
        made = await self._jobs.repeated(repeat.key, repeat.digest, workspace_id=place.workspace.id)
        return made.job if made else None

    async def _login(self, place: Place, asked: RunAuthSession | None, new: NewJob, plan: Plan) -> None:
        use = plan.fan_out.session if plan.fan_out else None
        if use is None or asked is None:
            return
        if asked.brought is None:
            await self._sessions.get(place.workspace.id, place.project.name, use.name)
            return
        await self._sessions.bring(
            place.workspace.id,
            place.project.name,
            use.name,
            parameters=asked.brought,
            proxy=asked.proxy,
            job_id=new.id if asked.id is None else None,
        )

    async def make_session(self, place: Place, session: AuthSession | None, body: SessionBody) -> str:
        """
        Start making a session, or with *session* making it again; gives the operation's id.

        Raises:
            InvalidError: the project has sessions off, or no code can make its sessions.
            ConflictError: the session was recorded by a person.
        """
        _need_sessions(place.project)
        if place.project.recorded_sessions:
            raise by_hand(place.project)
        name = session.name if session else body.id or self.new_run_id()
        use, sealed = making(name, body, again=session is not None)
        new, plan = compile_operation(place.project, self._asked(place, "api"), use, sealed)
        await self._sessions.make(
            place.workspace.id, place.project.name, new, plan, parameters=bytes(body.parameters), proxy=body.proxy
        )
        return str(new.id)

    async def record_session(self, place: Place, name: str, state: bytes) -> str:
        """
        Keep a session that a person has recorded, and start checking it; gives the operation's id.

        Raises:
            InvalidError: the project has sessions off.
            ConflictError: the session of that name is made by code.
        """
        _need_sessions(place.project)
        use, sealed = validating(name, ValidateBody())
        new, plan = compile_operation(place.project, self._asked(place, "api"), use, sealed)
        await self._sessions.record(place.workspace.id, place.project.name, new, plan, state=state)
        return str(new.id)

    async def validate_session(self, place: Place, session: AuthSession, body: ValidateBody) -> str:
        """
        Start checking a session; gives the operation's id.
        """
        use, sealed = validating(session.name, body)
        new, plan = compile_operation(place.project, self._asked(place, "api"), use, sealed)
        await self._sessions.validate(new, plan)
        return str(new.id)

    def _asked(self, place: Place, trigger: str, repeat: Repeat = NEVER_AGAIN) -> Asked:
        return Asked(
            id=self._new_id(),
            run_id=self.new_run_id,
            workspace_id=place.workspace.id,
            workspace=place.workspace.name,
            by=place.actor.name,
            limits=self._limits,
            variables=place.workspace.definition.get("environment", {}),
            trigger=trigger,
            idempotency_key=repeat.key,
            fingerprint=repeat.digest,
        )

    def new_run_id(self) -> str:
        return run_id(self._chance(RUN_ID_LENGTH))


def digest_of(*what: object) -> bytes:
    """
    Tell requests apart that come under one idempotency key.
    """
    parts = (part if isinstance(part, bytes) else str(part).encode() for part in what)
    return hashlib.sha256(b"\0".join(parts)).digest()


def _need_sessions(project: AutomationProject) -> None:
    if not project.auth_sessions:
        raise InvalidError(
            f"Project {project.name!r} has auth sessions off.", "Set `authSessions.enabled` in its settings."
        )


def shown_of(batch: Batch) -> JobBody:
    """
    Read a batch's definition; secrets are masked in it.
    """
    return msgspec.json.decode(batch.definition, type=JobBody)
