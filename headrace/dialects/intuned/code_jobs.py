"""
Jobs and sessions as code: files `intuned-resources/jobs/**/<job>.job.json` of an automation project, in the words of Create Job without its
`id`, and `intuned-resources/auth-sessions/**/<session>.auth-session.json` with the `parameters` that a session is made with.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from headrace.core.batch import AutomationProject, CodeBatch
from headrace.core.errors import InvalidError
from headrace.dialects.intuned.bodies import decode_job
from headrace.dialects.intuned.checks import check_session_id, is_job_id
from headrace.dialects.intuned.secrets import masked, secrets_of
from headrace.dialects.intuned.session_use import session_of_job
from headrace.dialects.intuned.session_wire import decode_session
from headrace.services.auth_sessions import AuthSessions
from headrace.services.automations import Automations, Workspace
from headrace.services.batches import Batches

log = structlog.get_logger(__name__)


class CodeJobs:
    """
    Keeps the projects in force, and in each of their workspaces the jobs and sessions that their files define.

    Args:
        workspaces: lists all of them.
    """

    def __init__(
        self,
        automations: Automations,
        batches: Batches,
        sessions: AuthSessions,
        *,
        workspaces: Callable[[], Awaitable[Sequence[Workspace]]],
    ) -> None:
        self._automations = automations
        self._batches = batches
        self._sessions = sessions
        self._workspaces = workspaces
        self._due = False

    async def tick(self) -> None:
        """
        Look whether a project has changed, and put what its files say into force.

        A file that is wrong is logged and leaves its job as it was. What a failing database has kept from being written is written at the
        next look.
        """
        self._due = await self._automations.reload() or self._due
        if not self._due:
            return
        for workspace in await self._workspaces():
            for project in self._automations.of_workspace(workspace):
                good, bad = jobs_of(project)
                for name, parameters in sessions_of(project).items():
                    await self._sessions.keep_code(workspace.id, project.name, name, parameters=parameters)
                await self._batches.keep_code(workspace.id, project.name, good, spared=bad)
        self._due = False


def jobs_of(project: AutomationProject) -> tuple[list[CodeBatch], list[str]]:
    """
    Read the jobs of a project's files; gives the good ones, and the names of those that are wrong.
    """
    good: list[CodeBatch] = []
    bad: list[str] = []
    for name, content in project.jobs.items():
        try:
            if not is_job_id(name):
                raise InvalidError(f"{name!r} is no name of a job.", "Use letters, digits, - and _ alone.")
            body = msgspec.structs.replace(decode_job(content, with_id=False), id=name)
            session_of_job(body.session, project)
            good.append(CodeBatch(name=name, definition=msgspec.json.encode(masked(body)), secrets=secrets_of(body)))
        except InvalidError as error:
            log.error(
                "job of a file refused",
                project=project.name,
                job=name,
                reason=error.reason,
                instruction=error.instruction,
            )
            bad.append(name)
    return good, bad


def sessions_of(project: AutomationProject) -> dict[str, bytes]:
    """
    Read the sessions of a project's files, by name: what each is made with. Those that are wrong are logged and left out.
    """
    good: dict[str, bytes] = {}
    for name, content in project.sessions.items() if project.auth_sessions and not project.recorded_sessions else ():
        try:
            check_session_id(name, "id")
            good[name] = bytes(decode_session(content, with_id=False).parameters)
        except InvalidError as error:
            log.error(
                "session of a file refused",
                project=project.name,
                session=name,
                reason=error.reason,
                instruction=error.instruction,
            )
    return good
