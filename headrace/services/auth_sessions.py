"""
Kept logins, as whoever asks for them sees and steers them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from uuid import UUID

from headrace.core.auth_session import AuthSession, SessionKind
from headrace.core.errors import ConflictError, FinalStateError, NotFoundError
from headrace.core.fan_out import Item
from headrace.core.job import Job, NewJob
from headrace.core.plan import Plan
from headrace.services.fan_outs import FanOuts
from headrace.services.jobs import Jobs
from headrace.store.auth_sessions import AuthSessions as AuthSessionTable


class AuthSessions:
    """
    Whoever calls has checked the actor's scope.

    Args:
        new_id: makes a UUID.
    """

    def __init__(self, table: AuthSessionTable, jobs: Jobs, fan_outs: FanOuts, *, new_id: Callable[[], UUID]) -> None:
        self._table = table
        self._jobs = jobs
        self._fan_outs = fan_outs
        self._new_id = new_id

    async def of_project(self, workspace_id: UUID, project: str) -> Sequence[AuthSession]:
        """
        List a project's logins, the oldest first.
        """
        return await self._table.of_project(workspace_id, project)

    async def get(self, workspace_id: UUID, project: str, name: str) -> AuthSession:
        """
        Raises:
            NotFoundError: the project has no such login.
        """
        found = await self._table.get(workspace_id, project, name)
        if found is None:
            raise NotFoundError(f"There is no auth session {name!r}.", "List those of the project.")
        return found

    async def make(
        self, workspace_id: UUID, project: str, new: NewJob, plan: Plan, *, parameters: bytes, proxy: str | None
    ) -> None:
        """
        Start making a login, a new one or one that is there; until that has gone well, one that is there stays as it is.

        Raises:
            ConflictError: the one of that name was recorded by a person.
        """
        name = _name_of(plan)
        await self._table.add(
            self._new_id(),
            workspace_id=workspace_id,
            project=project,
            name=name,
            kind=SessionKind.CREDENTIALS,
            parameters=parameters,
            proxy=proxy,
        )
        session = await self.get(workspace_id, project, name)
        if session.kind is SessionKind.RECORDER:
            raise ConflictError(
                f"The auth session {name!r} was recorded by a person, and cannot be made with parameters.",
                "Delete it first.",
            )
        await self._table.set_pending(session.id, new.id)
        await self._jobs.submit(new, plan)

    async def record(self, workspace_id: UUID, project: str, new: NewJob, plan: Plan, *, state: bytes) -> None:
        """
        Keep a login that a person has recorded, and start checking it.

        Raises:
            ConflictError: the one of that name is made by code.
        """
        name = _name_of(plan)
        if not await self._table.record(
            self._new_id(), workspace_id=workspace_id, project=project, name=name, state=state
        ):
            raise ConflictError(
                f"The auth session {name!r} is made by code, and cannot be recorded.", "Update it, or use another id."
            )
        session = await self.get(workspace_id, project, name)
        await self._table.set_pending(session.id, new.id)
        await self._jobs.submit(new, plan)

    async def keep_code(self, workspace_id: UUID, project: str, name: str, *, parameters: bytes) -> None:
        """
        See to it that a login is there that a file of the project defines; it is made when it is first needed. One that is there stays.
        """
        await self._table.add(
            self._new_id(),
            workspace_id=workspace_id,
            project=project,
            name=name,
            kind=SessionKind.CREDENTIALS,
            parameters=parameters,
            proxy=None,
        )

    async def validate(self, new: NewJob, plan: Plan) -> None:
        """
        Start checking a login.
        """
        await self._jobs.submit(new, plan)

    async def bring(
        self, workspace_id: UUID, project: str, name: str, *, parameters: bytes, proxy: str | None, job_id: UUID | None
    ) -> None:
        """
        Keep what a run brings to make its login with; with *job_id* the login goes with that run.

        Raises:
            ConflictError: the one of that name was not made for runs.
        """
        await self._table.forget_strays()
        added = await self._table.add(
            self._new_id(),
            workspace_id=workspace_id,
            project=project,
            name=name,
            kind=SessionKind.RUNTIME,
            parameters=parameters,
            proxy=proxy,
            job_id=job_id,
        )
        if added:
            return
        session = await self.get(workspace_id, project, name)
        if session.kind is not SessionKind.RUNTIME:
            raise ConflictError(
                f"The auth session {name!r} is kept, and not made for runs.",
                "Leave `runtimeInput` out, or use another id.",
            )
        if session.parameters != parameters:
            await self._table.replace_parameters(session, parameters)

    async def operation(
        self, workspace_id: UUID, project: str, kind: str, job_id: UUID, *, name: str | None
    ) -> tuple[Job, Item]:
        """
        Give an operation of a kind; with *name*, one on that login.

        Raises:
            NotFoundError: there is none.
        """
        unknown = NotFoundError(f"There is no operation {job_id} to {kind} an auth session.", "Check the id.")
        try:
            job = await self._jobs.get(job_id, workspace_id=workspace_id)
        except NotFoundError:
            raise unknown from None
        asked = (job.tenant, job.details.get("operation"))
        if asked != (project, kind) or (name is not None and job.details.get("auth_session") != name):
            raise unknown
        return job, (await self._fan_outs.items(job.id, limit=1))[0]

    async def delete(self, session: AuthSession, *, by: str) -> None:
        """
        Forget a login, and end whatever makes or checks it.
        """
        await self._table.delete(session.id)
        for job_id in await self._table.operations(session):
            with suppress(FinalStateError):  # it ended by itself meanwhile
                await self._fan_outs.terminate(job_id, by=by)


def _name_of(plan: Plan) -> str:
    assert plan.fan_out is not None and plan.fan_out.session is not None  # noqa: S101 - an operation's
    return plan.fan_out.session.name
