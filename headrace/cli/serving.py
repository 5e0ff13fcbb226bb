"""
`headrace init`, `up`, `serve`, `worker`: a project to serve, and the processes that serve it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.options import Home, Json, Project
from headrace.core.errors import InvalidError

if TYPE_CHECKING:
    from headrace.settings import Settings

Port = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one. Else HEADRACE_PORT, else 8450."),
]
Host = Annotated[str | None, typer.Option(help="Address to listen on. Else HEADRACE_HOST, else 127.0.0.1.")]
PROJECT_FILE = "headrace.yml"


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make; what is there is not overwritten.")],
    automation: Annotated[
        bool, typer.Option("--automation", help="Make one that reads web pages by functions in Python.")
    ] = False,
    as_json: Json = False,
) -> None:
    """
    Write a project that runs as it is.
    """
    from headrace.cli.init import write_project
    from headrace.cli.output import say_json, to_people

    files = write_project(folder, "automation" if automation else "demo", on_line=say_progress)
    if as_json:
        say_json({"project": str(folder), "files": [str(file) for file in files]})
    elif to_people():
        print(f"The project is in {folder}. Serve it with: headrace up --project {shlex.quote(str(folder))}")
        print(_TRY_A_CALL.format(folder=shlex.quote(str(folder))) if automation else _WHAT_IT_HAS)
    else:
        print(folder)


_TRY_A_CALL = "Call its functions without a server: cd {folder} && headrace automation test"
_WHAT_IT_HAS = """
Then, with the KEY that `headrace up` prints:
  the flow flights           headrace run flights --tenant acme --follow
  the batch demo-batch       curl -X POST -H "x-api-key: KEY" http://127.0.0.1:8450/intuned/api/v1/workspace/demo/projects/demo/jobs/demo-batch/trigger
  the pipeline flights-daily see README.md in it: a call of Matatika's API
and `headrace jobs`, `headrace items ID`, `headrace logs ID` show how they went."""


def say_progress(line: str) -> None:
    """
    Say on standard error what takes time.
    """
    print(line, file=sys.stderr, flush=True)


def up(
    home: Home = None,
    project: Project = None,
    port: Port = None,
    host: Host = None,
    with_parent: Annotated[
        bool, typer.Option("--with-parent", hidden=True, help="End when standard input does.")
    ] = False,
    as_json: Json = False,
) -> None:
    """
    Run everything in one process tree, until Ctrl-C.

    The database is embedded, unless HEADRACE_DATABASE_URL names one.
    """
    settings = read_settings(home=home, project=project, port=port, host=host)
    import headrace.lean  # noqa: F401 - before whatever imports structlog

    # isort: split

    from headrace.telemetry import configure_logging
    from headrace.up import run_up

    async def main() -> int:
        if with_parent:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _end_at_eof)
        return await run_up(settings, on_ready=lambda url, key: _say_ready(settings, url, key, as_json=as_json))

    configure_logging(level=settings.log_level, format=settings.log_format)
    raise typer.Exit(asyncio.run(main()))


def _end_at_eof() -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        os.kill(os.getpid(), signal.SIGTERM)


def _say_ready(settings: Settings, url: str, key: str | None, *, as_json: bool) -> None:
    """
    Say that the server answers, and the admin key if it was made just now: the only time that it is shown.
    """
    if as_json:
        print(json.dumps({"url": url, "admin_key": key}), flush=True)
        return
    print(f"Headrace serves {url}")
    print(f"Console: {url}{'/console' if settings.root_dialect else '/'}")
    if key:
        print(f"Admin key, shown this once and kept in {settings.home / 'admin.key'}: {key}")
    print(f"Try: curl -H 'x-api-key: {key or 'KEY'}' {url}/api/v1/flows", flush=True)


def serve(home: Home = None, project: Project = None, port: Port = None, host: Host = None) -> None:
    """
    Answer requests, on HEADRACE_DATABASE_URL.

    This role also keeps definitions in force, admits jobs and sends deliveries.
    """
    _run_role("serve", home=home, project=project, port=port, host=host)


def worker(home: Home = None, project: Project = None) -> None:
    """
    Run jobs, on HEADRACE_DATABASE_URL.
    """
    _run_role("worker", home=home, project=project)


def _run_role(role: str, **flags: Any) -> None:
    settings = read_settings(**flags)
    from headrace.app import run_role

    raise typer.Exit(run_role(settings, role))


def read_settings(*, project: Path | None = None, **flags: Any) -> Settings:
    """
    Read the server's settings: the project's headrace.yml, then the environment, then *flags*.

    A working directory with a headrace.yml is the project when none is named.

    Raises:
        InvalidError: a setting or the file cannot be read; the reason holds no value, which may be a secret.
    """
    from pydantic import ValidationError
    from ruamel.yaml.error import YAMLError

    from headrace.settings import load_settings

    folder = project or (Path.cwd() if Path(PROJECT_FILE).is_file() else None)
    if folder is not None and not folder.is_dir():
        raise InvalidError(f"There is no project folder {folder}.", f"Make one with `headrace init {folder}`.")
    file = folder / PROJECT_FILE if folder else None
    try:
        return load_settings(file=file, project=folder, **flags)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise InvalidError(
            f"The setting {name} is not as it should be: {first['msg']}.",
            f"Correct HEADRACE_{name.upper()}, the option, or `server` in {PROJECT_FILE}.",
        ) from None
    except (YAMLError, AttributeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise InvalidError(
            f"{file}{place} is not readable as a project file.", "Correct it; `headrace doctor` shows every mistake."
        ) from None
