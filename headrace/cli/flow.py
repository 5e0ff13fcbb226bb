"""
`headrace flow`: put a flow of this machine in force on a running server, look at its versions, and go back.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.options import Home, Json, Key, Project, Url, Workspace
from headrace.cli.version_commands import add_version_commands
from headrace.cli.versions import Message, TakeOver, ask, path_of, say_deployed, versions_of, workspace_for
from headrace.core.errors import ConflictError, InvalidError, NotFoundError

if TYPE_CHECKING:
    from headrace.cli.remote import Remote

app = typer.Typer(help="Deploy flows to a running server.", no_args_is_help=True, rich_markup_mode=None)

FlowId = Annotated[str, typer.Argument(metavar="FLOW", help="The flow's id, such as flights.")]


@app.command()
def deploy(
    flow: FlowId,
    source: Annotated[
        Path | None, typer.Option("--from", help="The flow's folder; else flows/FLOW of the project folder.")
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
    Put a flow in force as its folder says, from the next job on.

    Nothing is changed when there is a mistake in it. Piped, it prints the version's number.
    """
    from headrace.store.project_files import all_files

    folder = flow_folder(flow, source, project)
    body = {"files": wire_files(all_files(folder)), "message": message, "take_over": take_over}

    async def send(remote: Remote) -> tuple[str, dict[str, Any]]:
        place = await workspace_for(remote, "flow", flow, workspace or named_workspace(folder))
        return place, await remote.put(path_of("flow", place, flow), body)

    place, made = ask(url, key, home, send)
    say_deployed(made, place, as_json=as_json)


@app.command()
def show(
    flow: FlowId,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """
    Show a flow as it is in force, and who owns it.
    """

    async def look(remote: Remote) -> dict[str, Any]:
        place = await workspace_for(remote, "flow", flow, workspace)
        found: dict[str, Any] = await remote.get(path_of("flow", place, flow))
        return found

    found = ask(url, key, home, look)
    if as_json:
        from headrace.cli.output import say_json

        say_json(found)
        return
    owner = "the server's project folder" if found["version"] is None else f"deployments, at version {found['version']}"
    for label, value in (
        ("flow", found["id"]),
        ("name", found["name"]),
        ("workspace", found["workspace"]),
        ("owned by", owner),
        ("reads", ", ".join(found["sources"])),
        ("script", "yes" if found["script"] else "none: data is passed through"),
        ("writes", ", ".join(found["targets"])),
        ("tenants", ", ".join(found["tenants"])),
    ):
        if value:
            print(f"{label:<10} {value}")


@app.command()
def pull(
    flow: FlowId,
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Where to; else FLOW in this folder.")
    ] = None,
    version: Annotated[int | None, typer.Option(min=1, help="A version's number; else the one in force.")] = None,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """
    Write the files of a deployed version to a folder that is empty or not there.
    """
    target = directory or Path(flow)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConflictError(f"{target} is not empty.", "Name a folder that is empty or does not exist.")

    async def fetch(remote: Remote) -> dict[str, Any]:
        place, found = await versions_of(remote, "flow", flow, workspace)
        number = version or next(one["number"] for one in found if one["current"])
        pulled: dict[str, Any] = await remote.get(f"{path_of('flow', place, flow)}/versions/{number}")
        return pulled

    pulled = ask(url, key, home, fetch)
    written = write_files(target, pulled["files"])
    from headrace.cli.output import say_ids, say_json, to_people

    if as_json:
        say_json({"version": pulled["number"], "files": written})
    elif to_people():
        print(f"Version {pulled['number']} of {flow} is in {target}: {len(written)} files.")
    else:
        say_ids(written)


add_version_commands(
    app,
    "flow",
    metavar="FLOW",
    example="flights",
    forgotten="; what the server's project folder says of it is in force again",
)


def flow_folder(flow: str, source: Path | None, project: Path | None) -> Path:
    """
    Find the folder of a flow on this machine.

    Raises:
        NotFoundError: there is none with a flow.yml.
    """
    named = [source] if source else [(project or Path()) / "flows" / flow, *([] if project else [Path(flow)])]
    for folder in named:
        if (folder / "flow.yml").is_file():
            return folder
    raise NotFoundError(
        f"There is no {named[0] / 'flow.yml'}.", "Name the flow's folder with --from, or the project's with --project."
    )


def named_workspace(folder: Path) -> str | None:
    """
    Give the workspace that a flow.yml names; a file with mistakes names none, the server says what is wrong with it.
    """
    from headrace.core.errors import DefinitionError
    from headrace.store.project_yaml import read_document

    try:
        value = read_document(folder, "flow.yml").value
    except DefinitionError:
        return None
    found = value.get("workspace") if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def wire_files(files: dict[str, bytes]) -> dict[str, Any]:
    """
    Write files as the API takes them: text as it is, anything else in base64.
    """
    import base64

    def shown(data: bytes) -> Any:
        try:
            return data.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(data).decode()}

    return {path: shown(data) for path, data in files.items()}


def write_files(folder: Path, files: dict[str, Any]) -> list[str]:
    """
    Write what the API gave below *folder*; gives the paths.

    Raises:
        InvalidError: a path leads out of the folder.
    """
    import base64

    for path, content in files.items():
        file = folder / path
        if not file.resolve().is_relative_to(folder.resolve()):
            raise InvalidError(f"The server names a file outside of the folder: {path!a}.", "Do not trust it.")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else base64.b64decode(content["base64"]))
    return sorted(files)
