"""
`headrace automation`: call the functions of an automation project on this machine, without a server.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    from headrace.cli.local_automation import find_project, local_calls, read_parameters

    project, given = find_project(project_folder), read_parameters(parameters)
    settings = _settings(home)

    async def call() -> ItemEnd:
        async with local_calls(settings, project) as calls:
            login = await calls.log_in(session) if session else None
            return await calls(api, given, timeout_seconds=timeout, login=login)

    end = asyncio.run(call())
    failure = _failure_of(end)
    if as_json:
        from headrace.cli.output import say_json

        say_json(_told(end, failure))
    else:
        _say(end, failure)
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
    from headrace.cli.local_automation import find_project, samples_of

    project = find_project(project_folder)
    samples = samples_of(project, apis or ())
    if not samples:
        raise NotFoundError("There are no sample parameters.", "Write .parameters/api/<api>/default.json.")
    found = asyncio.run(_call_all(_settings(home), project, samples, timeout, session))
    if as_json:
        from headrace.cli.output import say_json

        say_json(found)
    else:
        for one in found:
            mark = "failed" if one["error"] else "ok"
            print(f"{mark:<7} {one['api']} ({one['sample']}) {one['seconds']:.1f} s {one['error'] or ''}".rstrip())
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
    settings: Settings, project: AutomationProject, samples: list[Sample], timeout_seconds: float, session: str | None
) -> list[dict[str, Any]]:
    from headrace.cli.local_automation import local_calls

    found = []
    async with local_calls(settings, project) as calls:
        login = await calls.log_in(session) if session else None
        for sample in samples:
            began = time.monotonic()
            end = await calls(sample.api, sample.parameters, timeout_seconds=timeout_seconds, login=login)
            seconds = round(time.monotonic() - began, 3)
            error = _failure_of(end)
            found.append({"api": sample.api, "sample": sample.name, "seconds": seconds, "error": error or None})
    return found


def _settings(home: Path | None) -> Settings:
    from headrace.cli.serving import read_settings

    return read_settings(home=home)


def _failure_of(end: ItemEnd) -> str:
    from headrace.core.outcome import Succeeded

    if isinstance(end.outcome, Succeeded):
        return ""
    cause = getattr(end.outcome, "cause", None)
    return f"{cause.sentence} {cause.instruction}".rstrip() if cause else "The call was interrupted."


def _told(end: ItemEnd, failure: str) -> dict[str, Any]:
    wanted = [{"api": each.name, "parameters": json.loads(each.input)} for each in end.wanted]
    result = json.loads(end.result) if end.result is not None else None
    return {"result": result, "extendedPayloads": wanted, "error": failure or None}


def _say(end: ItemEnd, failure: str) -> None:
    if failure:
        print(f"Failed: {failure}", file=sys.stderr)
        return
    for each in end.wanted:
        print(f"Asks for {each.name} {each.input.decode()}", file=sys.stderr)
    print(json.dumps(json.loads(end.result or b"null"), indent=2, ensure_ascii=False))
