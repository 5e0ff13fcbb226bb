"""
Calls of an automation project's functions on this machine, without a server: the same runner, environment and limits.
"""

from __future__ import annotations

import difflib
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID

import msgspec

from headrace.cli.local_login import failed_login, new_login, read_login, write_login
from headrace.core.auth_session import AuthSession
from headrace.core.batch import AutomationProject
from headrace.core.errors import DefinitionError, InvalidError, NotFoundError
from headrace.core.fan_out import ItemEnd
from headrace.core.outcome import Succeeded
from headrace.core.plan import SessionUse
from headrace.engine.login_operations import secrets_of_kept, validate
from headrace.runners.automation import AutomationRunner
from headrace.runners.environments import Environments
from headrace.runners.item_call import ItemCall
from headrace.runners.job_root import JobRoot
from headrace.runners.logs import JobLog, LogLine
from headrace.runners.machine import most_memory_bytes
from headrace.runners.process import Limits, ShimPool
from headrace.runners.redaction import Redactor
from headrace.runners.stage import Stage
from headrace.settings import Settings
from headrace.store.automation_projects import project_folders, read_automation_project
from headrace.store.dot_env import read_dot_env
from headrace.store.files import FileStore

DEFAULT_SECONDS = 600.0
_CODE = re.compile(r"\.(?:py|m?ts|m?js)$")
_HERE = UUID(int=0)  # no workspace, and no job


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """
    One call to try: `.parameters/api/<api>/<name>.json` of the project.
    """

    api: str
    name: str
    parameters: bytes


def find_project(folder: Path) -> AutomationProject:
    """
    Read the automation project that *folder* is, or the only one below its `automations/`.

    Raises:
        NotFoundError: there is none, or several.
        DefinitionError: its settings are wrong.
    """
    if any(folder.glob("Intuned.*")):
        return _read(folder.absolute(), shown=folder)
    found = project_folders(folder.absolute())
    if len(found) == 1:
        return _read(found[0], shown=folder / "automations" / found[0].name)
    names = ", ".join(each.name for each in found)
    reason = f"{folder} has several automation projects: {names}." if found else f"{folder} has no automation project."
    raise NotFoundError(reason, "Name the folder with the Intuned.json by --project-folder.")


def _read(folder: Path, *, shown: Path) -> AutomationProject:
    try:
        return read_automation_project(folder)
    except DefinitionError as error:
        file = PurePath(error.facts["file"]).relative_to(f"automations/{folder.name}")
        raise DefinitionError(error.reason, error.instruction, **{**error.facts, "file": str(shown / file)}) from None


def function_of(project: AutomationProject, name: str) -> str:
    """
    Give the name of a function, by that or by its file as a shell completes it.

    Raises:
        NotFoundError: the project has none of that name.
    """
    bare = _CODE.sub("", name.removeprefix("api/"))
    for known in (name, bare):
        if known in project.apis:
            return known
    near = difflib.get_close_matches(bare, project.apis, n=1)
    meant = f"Did you mean {near[0]}? " if near else ""
    raise NotFoundError(f"The project has no function {name}.", f"{meant}It has: {', '.join(project.apis) or 'none'}.")


def check_session(project: AutomationProject, session: str | None) -> None:
    """
    Raises:
        InvalidError: the project's functions need a session, as on a server, and none is named.
    """
    if project.auth_sessions and session is None:
        raise InvalidError(
            f"The functions of project {project.name!r} need an auth session, and none is named.",
            "Make one with `headrace automation login ID`, and name it with --session ID.",
        )


def read_parameters(text: str) -> bytes:
    """
    Read parameters: a JSON object, or `@` and the name of a file that holds one.

    Raises:
        InvalidError: it is neither.
    """
    try:
        content = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        msgspec.json.decode(content, type=dict[str, Any])
    except (OSError, ValueError) as error:
        raise InvalidError(
            f"The parameters cannot be read: {error}.", 'Give a JSON object such as {"n": 1}, or @FILE.'
        ) from None
    return content


def samples_of(project: AutomationProject, apis: Sequence[str]) -> list[Sample]:
    """
    List the sample calls of *apis*, sorted; of all functions where none is named.

    Raises:
        InvalidError: a sample is no JSON object.
        NotFoundError: the project has no such function.
    """
    return [
        Sample(api=api, name=file.stem, parameters=read_parameters(f"@{file}"))
        for api in [function_of(project, api) for api in apis] or project.apis
        for file in sorted(_samples(project, api).glob("*.json"))
    ]


def without_sample(project: AutomationProject) -> list[str]:
    """
    List the functions that have no sample.
    """
    return [api for api in project.apis if not any(_samples(project, api).glob("*.json"))]


def _samples(project: AutomationProject, api: str) -> Path:
    return Path(project.folder, ".parameters", "api", api)


class Shown:
    """
    Prints what calls say to standard error, as it comes.

    Attributes:
        last: the line that was printed last.
    """

    def __init__(self) -> None:
        self.last = ""
        self._installs = False

    async def __call__(self, lines: list[LogLine]) -> None:
        for line in lines:
            if line.stream != "install":
                self.last = line.text
            elif self._installs:
                continue  # an installer's own words help nobody; what it fails of is in the error
            else:
                self._installs = True
            text = (
                line.text if line.stream != "install" else "Installing what the project requires, once for all calls."
            )
            print(text, file=sys.stderr)


class LocalCalls:
    """
    What calls on this machine share; made by `local_calls`.
    """

    def __init__(self, pool: ShimPool, settings: Settings, project: AutomationProject) -> None:
        home = settings.home.absolute()
        kept = FileStore(str(home / "local-automations"), scratch=home / "local-automations")
        self._pool = pool
        self._project = project
        self._variables = read_dot_env(Path(project.folder) / ".env")  # on this machine alone: a server never copies it
        self.shown = Shown()
        self._run = AutomationRunner(Environments(home / "environments"), kept)
        self._limits = Limits(
            memory_bytes=settings.memory_bytes, wall_seconds=settings.wall_seconds, grace_seconds=settings.grace_seconds
        )

    async def __call__(
        self,
        api: str,
        parameters: bytes,
        *,
        timeout_seconds: float = DEFAULT_SECONDS,
        login: AuthSession | None = None,
    ) -> ItemEnd:
        """
        Call a function; what it prints goes to standard error, and nothing is left of it but what it keeps on purpose.

        Raises:
            EnvironmentBuildError: the project's environment could not be built.
        """
        return await self._one(self._call(api, parameters, timeout_seconds, login), login)

    async def log_in(self, name: str, parameters: bytes | None = None) -> AuthSession:
        """
        Give a login that is kept in the project's folder, checked; made again when it is bad, or when *parameters* are given.

        Raises:
            NotFoundError: there is none, and no parameters are given.
            InvalidError: it could not be made; the reason says why.
            EnvironmentBuildError: the project's environment could not be built.
        """
        folder = Path(self._project.folder)
        login = new_login(name, parameters) if parameters is not None else read_login(folder, name)
        use = SessionUse(name=name)
        call = self._call("auth-sessions/check", b"{}", DEFAULT_SECONDS, login)
        end = await validate(call, use, login, lambda call: self._one(call, login))
        if not isinstance(end.outcome, Succeeded):
            raise failed_login(name, end.outcome)
        if end.session is not None and end.session.state is not None:
            login = replace(login, state=end.session.state)
            write_login(folder, login, now=datetime.now(UTC))
        return login

    def _call(self, api: str, parameters: bytes, timeout_seconds: float, login: AuthSession | None) -> ItemCall:
        return ItemCall(
            folder=Path(self._project.folder),
            name=api,
            parameters=parameters,
            timeout_seconds=timeout_seconds,
            attempt=1,
            workspace_id=_HERE,
            project=self._project.name,
            job_id=_HERE,
            item_id="local",
            grows=False,
            proxy=self._project.proxy,
            options=self._project.options,
            session=login.state if login else None,
            session_parameters=login.parameters if login else None,
            session_name=login.name if login else None,
        )

    async def _one(self, call: ItemCall, login: AuthSession | None) -> ItemEnd:
        secrets = secrets_of_kept(login) if login else set()
        with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
            root = JobRoot(Path(folder))
            root.prepare()
            async with (
                JobLog(self.shown, Redactor(secrets), clock=lambda: datetime.now(UTC)) as book,
                self._pool.lease(self._limits, stage=call.name) as children,
            ):
                stage = Stage(
                    name=call.name,
                    root=root,
                    children=children,
                    book=book,
                    variables=self._variables,
                    progress=lambda _output: None,
                )
                return await self._run(stage, call)


@asynccontextmanager
async def local_calls(settings: Settings, project: AutomationProject) -> AsyncIterator[LocalCalls]:
    """
    Lend what calls functions of *project*.
    """
    async with ShimPool(warm=1, spare=1, most_memory_bytes=most_memory_bytes()) as pool:
        yield LocalCalls(pool, settings, project)
