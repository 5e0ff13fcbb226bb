"""
Jobs and sessions as code: files `intuned-resources/jobs/**/<job>.job.json` of an automation project, in the words of Create Job without its
`id`, and `intuned-resources/auth-sessions/**/<session>.auth-session.json` with the `parameters` that a session is made with.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from headrace.core.batch import AutomationProject, CodeBatch
from headrace.core.errors import DefinitionError, InvalidError
from headrace.dialects.intuned.bodies import decode_job
from headrace.dialects.intuned.checks import check_session_id, is_job_id
from headrace.dialects.intuned.secrets import masked, secrets_of
from headrace.dialects.intuned.session_use import session_of_job
from headrace.dialects.intuned.session_wire import decode_session
from headrace.services.auth_sessions import AuthSessions
from headrace.services.automations import Automations, Workspace
from headrace.services.batches import Batches


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
        problems: dict[str, DefinitionError] = {}
        for workspace in await self._workspaces():
            for project in self._automations.of_workspace(workspace):
                found = read_resources(project)
                problems |= {f"{project.folder} {each.facts['file']} {each.reason}": each for each in found.problems}
                for name, parameters in found.sessions.items():
                    await self._sessions.keep_code(workspace.id, project.name, name, parameters=parameters)
                await self._batches.keep_code(workspace.id, project.name, found.jobs, spared=found.spared)
        self._automations.note(tuple(problems.values()))
        self._due = False


@dataclass(frozen=True, slots=True)
class Resources:
    """
    What the files of a project define.

    Attributes:
        sessions: what each is made with, by name.
        problems: of the files that define nothing.
    """

    jobs: tuple[CodeBatch, ...]
    sessions: Mapping[str, bytes]
    problems: tuple[DefinitionError, ...]

    @property
    def spared(self) -> list[str]:
        """
        The names of what stays as it was, for its file is wrong.
        """
        return [str(each.facts["resource"]) for each in self.problems]


def read_resources(project: AutomationProject) -> Resources:
    """
    Read what the files of a project define.
    """
    problems = list(project.problems)
    jobs: list[CodeBatch] = []
    sessions: dict[str, bytes] = {}
    for name, content in project.jobs.items():
        with _noting(problems, project, "jobs", name):
            jobs.append(_job(project, name, content))
    for name, content in project.sessions.items() if project.auth_sessions and not project.recorded_sessions else ():
        with _noting(problems, project, "auth-sessions", name):
            check_session_id(name, "id")
            sessions[name] = bytes(decode_session(content, with_id=False).parameters)
    return Resources(tuple(jobs), sessions, tuple(problems))


def _job(project: AutomationProject, name: str, content: bytes) -> CodeBatch:
    if not is_job_id(name):
        raise InvalidError(f"{name!r} is no name of a job.", "Use letters, digits, - and _ alone.")
    body = msgspec.structs.replace(decode_job(content, with_id=False), id=name)
    session_of_job(body.session, project)
    return CodeBatch(name=name, definition=msgspec.json.encode(masked(body)), secrets=secrets_of(body))


@contextmanager
def _noting(problems: list[DefinitionError], project: AutomationProject, kind: str, name: str) -> Iterator[None]:
    """
    Write down what is wrong with the file that defines *name*; whatever folder below that of its kind it is in.
    """
    try:
        yield
    except InvalidError as error:
        folder = f"automations/{project.folder.name}/intuned-resources/{kind}"
        facts = {"workspace": project.workspace} if project.workspace else {}
        problems.append(
            DefinitionError(f"{name}: {error.reason}", error.instruction, file=folder, resource=name, **facts)
        )
