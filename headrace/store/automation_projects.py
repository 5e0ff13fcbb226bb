"""
Read the automation projects of a project folder: `automations/<name>/Intuned.json` and the functions beside it.

The layout and the names of the settings are those of Intuned's public example projects (2025); what only its own platform uses is ignored.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from headrace.core.batch import AutomationProject
from headrace.core.errors import DefinitionError

_CODE = (".py", ".ts", ".mts", ".js", ".mjs")
_NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
_NAME_LENGTH = 200
_STRING_OR_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_NOT_BLANK = re.compile(r"[^\n]")
_BYTE = re.compile(r" \(byte (\d+)\)")
_STRING_OR_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])')


class _Replication(Struct, rename="camel"):
    max_concurrent_requests: int | None = None
    max_count: int | None = None


class _ApiAccess(Struct, rename="camel"):
    enabled: bool = True


class _AuthSessions(Struct, rename="camel"):
    enabled: bool = False
    type: Literal["API", "MANUAL"] = "API"
    save_traces: bool = False


class _Deployed(Struct, rename="camel"):
    deployed: Any = None


class _Retry(Struct, rename="camel"):
    maximum_attempts: int | None = None


class _Defaults(Struct, rename="camel"):
    sink: _Deployed = field(default_factory=_Deployed)
    retry: _Retry = field(default_factory=_Retry)
    request_timeout: int | None = None


class _BrowserSize(Struct):
    width: Annotated[int, Meta(ge=200, le=3840)] = 1024
    height: Annotated[int, Meta(ge=200, le=2160)] = 800


class _Settings(Struct, rename="camel"):
    project_name: str | None = None
    workspace_id: str = ""
    replication: _Replication = field(default_factory=_Replication)
    api_access: _ApiAccess = field(default_factory=_ApiAccess)
    auth_sessions: _AuthSessions = field(default_factory=_AuthSessions)
    proxy: _Deployed = field(default_factory=_Deployed)
    defaults: _Defaults = field(default_factory=_Defaults)
    browser: bool | None = None  # ours, as the next two: Intuned starts one for every call
    keep_browser: bool = True
    save_traces: bool = False
    headful: bool = False
    browser_size: _BrowserSize = field(default_factory=_BrowserSize)


def jsonc(text: str) -> Any:
    """
    Read JSON with comments and trailing commas.

    Raises:
        ValueError: it is none; its text names the line.
    """
    bare = _STRING_OR_COMMENT.sub(lambda found: found[1] or _NOT_BLANK.sub(" ", found[0]), text)
    content = _STRING_OR_COMMA.sub(lambda found: found[1] or " ", bare).encode()
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        at = _BYTE.search(str(error))
        line = content[: int(at[1]) if at else len(content.rstrip())].count(b"\n") + 1
        raise ValueError(f"{_BYTE.sub('', str(error))} (line {line})") from None


_READERS: Mapping[str, Callable[[str], Any]] = {
    "Intuned.json": jsonc,
    "Intuned.jsonc": jsonc,
    "Intuned.yaml": lambda text: YAML(typ="safe", pure=True).load(text),
    "Intuned.yml": lambda text: YAML(typ="safe", pure=True).load(text),
    "Intuned.toml": tomllib.loads,
}
"""The settings file, by the names under which it is looked for, in this order."""


def project_folders(folder: Path) -> list[Path]:
    """
    List the folders of automation projects: those below `automations/` that have a settings file.
    """
    base = folder / "automations"
    if not base.is_dir():
        return []
    return sorted(
        path for path in base.iterdir() if path.is_dir() and any((path / name).is_file() for name in _READERS)
    )


def read_automation_project(folder: Path) -> AutomationProject:
    """
    Read one project.

    Raises:
        DefinitionError: its settings file is wrong.
    """
    file = next(folder / name for name in _READERS if (folder / name).is_file())
    settings = _settings(file)
    name = settings.project_name or folder.name
    if not _NAME.fullmatch(name) or len(name) > _NAME_LENGTH:
        raise _wrong(
            file, f"`{name}` is not the name of a project.", "Use lower-case letters, digits, and single dashes."
        )
    limit = settings.replication.max_concurrent_requests or settings.replication.max_count or 1
    if limit < 1:
        raise _wrong(file, "`replication.maxConcurrentRequests` is below 1.", "Give 1 or more.")
    jobs, sessions = _resources(folder, "jobs", "job"), _resources(folder, "auth-sessions", "auth-session")
    sink, proxy = settings.defaults.sink.deployed, settings.proxy.deployed
    return AutomationProject(
        name=name,
        folder=folder,
        workspace=settings.workspace_id,
        apis=tuple(_apis(folder / "api")),
        max_concurrent=limit,
        api_access=settings.api_access.enabled,
        auth_sessions=settings.auth_sessions.enabled,
        recorded_sessions=settings.auth_sessions.type == "MANUAL",
        jobs=jobs.good,
        sessions=sessions.good,
        problems=(*jobs.problems, *sessions.problems),
        options=_options(settings),
        proxy=proxy if isinstance(proxy, str) else None,
        sink=sink if isinstance(sink, dict) else None,
        max_attempts=settings.defaults.retry.maximum_attempts,
        timeout_seconds=settings.defaults.request_timeout,
    )


def _settings(file: Path) -> _Settings:
    try:
        return msgspec.convert(_READERS[file.name](file.read_text("utf-8")) or {}, _Settings)
    except msgspec.ValidationError as error:
        raise _wrong(file, f"A setting is not as it should be: {error}.", "Correct it, or leave it out.") from error
    except (OSError, ValueError, YAMLError) as error:
        raise _wrong(file, f"The file cannot be read: {error}.", "Correct it.") from error


def _options(settings: _Settings) -> dict[str, Any]:
    size = {"width": settings.browser_size.width, "height": settings.browser_size.height}
    wanted = {"browser": settings.browser} if settings.browser is not None else {}
    if not settings.keep_browser:
        wanted["keep_browser"] = False
    if settings.save_traces:
        wanted["save_trace"] = True
    if settings.auth_sessions.save_traces:
        wanted["save_session_traces"] = True
    return {**wanted, "headful": settings.headful, "browser_size": size}


def _apis(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).with_suffix("").as_posix()
        for path in folder.rglob("*")
        if path.suffix in _CODE
        and path.is_file()
        and not path.name.startswith(("_", "."))
        and not path.name.endswith(".d.ts")
    )


@dataclass(frozen=True, slots=True)
class _Resources:
    good: dict[str, bytes]
    problems: list[DefinitionError]


def _resources(folder: Path, kind: str, ending: str) -> _Resources:
    """
    Read the files of a kind below `intuned-resources`, such as `jobs/**/<name>.job.json`, as JSON by name; what folder one is in says nothing.
    """
    found = _Resources({}, [])
    for file in sorted((folder / "intuned-resources" / kind).rglob(f"*.{ending}.json*")):
        name, _, suffix = file.name.partition(f".{ending}.")
        if suffix not in ("json", "jsonc") or not file.is_file():
            continue
        if name in found.good:
            problem = f"Two files of the project define the {ending} {name!r}; the other one holds."
            found.problems.append(_wrong(file, problem, "Give one of them another name.", folder, resource=name))
            continue
        try:
            found.good[name] = msgspec.json.encode(jsonc(file.read_text("utf-8")))
        except (OSError, ValueError) as error:
            problem = f"The file cannot be read: {error}."
            found.problems.append(_wrong(file, problem, "Correct it.", folder, resource=name))
    return found


def _wrong(file: Path, reason: str, instruction: str, folder: Path | None = None, **facts: Any) -> DefinitionError:
    folder = folder or file.parent
    shown = f"automations/{folder.name}/{file.relative_to(folder).as_posix()}"
    return DefinitionError(reason, instruction, file=shown, **facts)
