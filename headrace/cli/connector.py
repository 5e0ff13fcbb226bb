"""
`headrace connector`: put a tap or target in force on a running server, look at its versions, and go back.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.options import Home, Json, Key, Project, Url, Workspace
from headrace.cli.version_commands import add_version_commands
from headrace.cli.versions import Message, TakeOver, ask, path_of, say_deployed, workspace_for
from headrace.core.errors import NotFoundError

if TYPE_CHECKING:
    from headrace.cli.remote import Remote

app = typer.Typer(help="Deploy taps and targets to a running server.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The connector's name, such as tap-flights.")]


@app.command("list")
def list_connectors(
    workspace: Workspace = None, url: Url = None, key: Key = None, home: Home = None, as_json: Json = False
) -> None:
    """
    List the connectors that flows may name.
    """
    from headrace.cli.output import say_ids, say_json, say_table, to_people

    found = ask(url, key, home, lambda remote: remote.get("/connectors"))["connectors"]
    found = [one for one in found if workspace in (None, one["workspace"])]
    if as_json:
        say_json(found)
    elif not to_people():
        say_ids(str(one["name"]) for one in found)
    else:
        say_table(
            ("connector", "workspace", "kind", "owned by", "settings"),
            (
                (
                    one["name"],
                    one["workspace"],
                    one["kind"],
                    "folder" if one["version"] is None else f"version {one['version']}",
                    ", ".join(one["settings"]),
                )
                for one in found
            ),
            nothing="No connectors. Deploy one with: headrace connector deploy NAME",
        )


@app.command()
def deploy(
    name: Name,
    source: Annotated[
        Path | None, typer.Option("--from", help="A headrace.yml that defines it; else that of the project folder.")
    ] = None,
    message: Message = "",
    take_over: TakeOver = False,
    workspace: Workspace = None,
    project: Project = None,
    url: Url = None,
    key: Key = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """
    Put a connector in force as headrace.yml says, from the next job on, in one workspace.

    Placeholders such as ${env:TOKEN} are filled in here, from this shell. Piped, it prints the version's number.
    """
    file = source or (project or Path()) / "headrace.yml"
    body = {"connector": read_local(file, name, os.environ), "message": message, "take_over": take_over}

    async def send(remote: Remote) -> tuple[str, dict[str, Any]]:
        place = await workspace_for(remote, "connector", name, workspace)
        return place, await remote.put(path_of("connector", place, name), body)

    place, made = ask(url, key, home, send)
    say_deployed(made, place, as_json=as_json)


add_version_commands(app, "connector", metavar="NAME", example="tap-flights", forgotten=", unless a flow needs it")


def read_local(file: Path, name: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """
    Read a connector's part of a headrace.yml, placeholders filled in.

    Raises:
        DefinitionError: there is a mistake in it; told with file and line.
        NotFoundError: the file does not define it.
    """
    from headrace.store.project_placeholders import fill
    from headrace.store.project_schema import violations
    from headrace.store.project_upload import summary
    from headrace.store.project_yaml import read_document

    document, problems = fill(read_document(file.parent, file.name), lambda _at: {}, environ)
    connectors = document.value.get("connectors") if isinstance(document.value, dict) else None
    if not isinstance(connectors, dict) or name not in connectors:
        known = ", ".join(connectors) if isinstance(connectors, dict) else "none"
        raise NotFoundError(f"{file} defines no connector {name!r}.", f"It defines: {known}.")
    mine = [each for each in [*problems, *violations(document, "headrace")] if each.facts["at"][1:2] == [name]]
    if mine:
        raise summary(mine)
    body: dict[str, Any] = connectors[name]
    return body
