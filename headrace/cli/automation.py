"""
`headrace automation`: call the functions of an automation project on this machine, without a server.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from headrace.cli.failures import COMPLETED, FAILED
from headrace.cli.options import Home, Json
from headrace.core.errors import NotFoundError

if TYPE_CHECKING:
    from headrace.cli.local_automation import Sample
    from headrace.core.batch import AutomationProject
    from headrace.core.fan_out import ItemEnd
    from headrace.settings import Settings

app = typer.Typer(help="Call an automation project's functions here.", no_args_is_help=True, rich_markup_mode=None)

Folder = Annotated[
    Path,
    typer.Option(
        "--project-folder", help="Folder with the Intuned.json, or a project folder with one such folder below it."
    ),
]
Seconds = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds that a call may take.")]
Session = Annotated[
    str | None,
    typer.Option("--session", metavar="ID", help="The auth session to call with, of `headrace automation login`."),
]
_DEFAULT_SECONDS = 600.0


@app.command("run")
def call_one(
    api: Annotated[str, typer.Argument(help="The function: its path below api/, without extension.")],
    parameters: Annotated[
        str, typer.Option("--parameters", "-p", metavar="JSON", help="A JSON object, or @FILE.")
    ] = "{}",
    session: Session = None,
    project_folder: Folder = Path(),
    timeout: Seconds = _DEFAULT_SECONDS,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """
    Call one function and print its result.

    What it prints itself, and the payloads that it asks for, go to standard error. Exit codes: 0 it returned, 1 it failed.
    """
    from headrace.cli.local_automation import check_session, find_project, function_of, local_calls, read_parameters

    project, given = find_project(project_folder), read_parameters(parameters)
    name, settings = function_of(project, api), _settings(home)
    check_session(project, session)

    async def call() -> tuple[ItemEnd, str]:
        async with local_calls(settings, project) as calls:
            login = await calls.log_in(session) if session else None
            return await calls(name, given, timeout_seconds=timeout, login=login), calls.shown.last

    end, last = asyncio.run(call())
    failure = _failure_of(end)
    if as_json:
        from headrace.cli.output import say_json

        say_json(_told(end, failure))
    elif failure is not None:
        _say_failure(failure, last)
    else:
        _say(end)
    raise typer.Exit(FAILED if failure else COMPLETED)


@app.command("test")
def call_samples(
    apis: Annotated[list[str] | None, typer.Argument(metavar="[API]...", help="Only these functions.")] = None,
    session: Session = None,
    project_folder: Folder = Path(),
    timeout: Seconds = _DEFAULT_SECONDS,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """
    Call every function with its sample parameters.

    The samples are the files .parameters/api/<api>/<name>.json of the project. Exit codes: 0 every call returned, 1 one failed.
    """
    from headrace.cli.local_automation import check_session, find_project, samples_of, without_sample

    project = find_project(project_folder)
    samples = samples_of(project, apis or ())
    if not samples:
        whose = f"{', '.join(apis)} has" if apis else "The project has"
        raise NotFoundError(f"{whose} no sample parameters.", "Write .parameters/api/<api>/default.json.")
    check_session(project, session)
    tell = (lambda _one: None) if as_json else _say_sample
    found = asyncio.run(_call_all(_settings(home), project, samples, timeout, session, tell))
    if as_json:
        from headrace.cli.output import say_json

        say_json(found)
    elif not apis and (others := without_sample(project)):
        print(f"Not called, for they have no .parameters/api/<api>/default.json: {', '.join(others)}", file=sys.stderr)
    raise typer.Exit(FAILED if any(one["error"] for one in found) else COMPLETED)


@app.command("login")
def log_in(
    session: Annotated[str, typer.Argument(metavar="ID", help="What the session is to be called.")],
    parameters: Annotated[
        str | None,
        typer.Option(
            "--parameters",
            "-p",
            metavar="JSON",
            help="A JSON object, or @FILE; else the sample .parameters/auth-sessions/create/default.json.",
        ),
    ] = None,
    project_folder: Folder = Path(),
    home: Home = None,
) -> None:
    """
    Make an auth session by the project's create, check it, and keep it in the project's folder.

    Exit codes: 0 it is valid, 1 it could not be made.
    """
    from headrace.cli.local_automation import find_project, local_calls, read_parameters

    project = find_project(project_folder)
    sample = Path(project.folder, ".parameters", "auth-sessions", "create", "default.json")
    given = read_parameters(parameters or f"@{sample}")

    async def make() -> None:
        async with local_calls(_settings(home), project) as calls:
            await calls.log_in(session, given)

    asyncio.run(make())
    print(session)


async def _call_all(
    settings: Settings,
    project: AutomationProject,
    samples: list[Sample],
    timeout_seconds: float,
    session: str | None,
    tell: Callable[[dict[str, Any]], None],
) -> list[dict[str, Any]]:
    from headrace.cli.local_automation import local_calls

    found = []
    async with local_calls(settings, project) as calls:
        login = await calls.log_in(session) if session else None
        for sample in samples:
            began = time.monotonic()
            end = await calls(sample.api, sample.parameters, timeout_seconds=timeout_seconds, login=login)
            seconds = round(time.monotonic() - began, 3)
            failure = _failure_of(end)
            error = str(failure) if failure else None
            found.append({"api": sample.api, "sample": sample.name, "seconds": seconds, "error": error})
            tell(found[-1])
    return found


def _say_sample(one: dict[str, Any]) -> None:
    mark = "failed" if one["error"] else "ok"
    print(f"{mark:<7} {one['api']} ({one['sample']}) {one['seconds']:.1f} s", flush=True)
    if one["error"]:
        print(f"        {one['error']}", flush=True)


def _settings(home: Path | None) -> Settings:
    from headrace.cli.serving import read_settings

    return read_settings(home=home)


class _Failure(NamedTuple):
    sentence: str
    instruction: str

    def __str__(self) -> str:
        return f"{self.sentence} {self.instruction}".rstrip()


def _failure_of(end: ItemEnd) -> _Failure | None:
    from headrace.core.outcome import Succeeded

    if isinstance(end.outcome, Succeeded):
        return None
    cause = getattr(end.outcome, "cause", None)
    return _Failure(cause.sentence, cause.instruction) if cause else _Failure("The call was interrupted.", "")


def _told(end: ItemEnd, failure: _Failure | None) -> dict[str, Any]:
    wanted = [{"api": each.name, "parameters": json.loads(each.input)} for each in end.wanted]
    result = json.loads(end.result) if end.result is not None else None
    return {"result": result, "extendedPayloads": wanted, "error": str(failure) if failure else None}


def _say_failure(failure: _Failure, last: str) -> None:
    """
    Say what a call failed of; what stands above it already, as the *last* line of its log, is not said again.
    """
    if str(failure) != last:
        print(f"Failed: {failure.sentence}", file=sys.stderr)
        if failure.instruction:
            print(f"  {failure.instruction}", file=sys.stderr)


def _say(end: ItemEnd) -> None:
    for each in end.wanted:
        print(f"Asks for {each.name} {each.input.decode()}", file=sys.stderr)
    print(json.dumps(json.loads(end.result or b"null"), indent=2, ensure_ascii=False))
