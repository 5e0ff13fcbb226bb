"""
What `headrace flow` and `headrace connector` share: versions, and which one is in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from urllib.parse import quote

import typer

from headrace.core.errors import InvalidError

if TYPE_CHECKING:
    from headrace.cli.remote import Remote

Kind = Literal["flow", "connector"]
Answer = TypeVar("Answer")

Message = Annotated[str, typer.Option("--message", "-m", help="What is new, for those who list versions.")]
TakeOver = Annotated[
    bool,
    typer.Option(
        "--take-over", help="Also when the server's project folder defines it; the folder's is then not in force."
    ),
]
Number = Annotated[int | None, typer.Argument(metavar="[VERSION]", min=1, help="A version's number.")]


def ask(url: str | None, key: str | None, home: Path | None, question: Callable[[Remote], Awaitable[Answer]]) -> Answer:
    """
    Put a question to the server that the options name.
    """
    from headrace.cli.remote import Remote, find_address

    async def asked() -> Answer:
        async with Remote(find_address(url, key, home)) as remote:
            return await question(remote)

    return asyncio.run(asked())


def path_of(kind: Kind, workspace: str, name: str) -> str:
    return f"/{kind}s/{quote(workspace, safe='')}/{quote(name, safe='')}"


async def workspace_for(remote: Remote, kind: Kind, name: str, workspace: str | None) -> str:
    """
    Find the workspace that is meant: the named one, the one that has a thing of this name, or the only one.

    Raises:
        InvalidError: it could be several, or there is none.
    """
    if workspace is not None:
        return workspace
    id_field = "id" if kind == "flow" else "name"
    having = {str(one["workspace"]) for one in (await remote.get(f"/{kind}s"))[f"{kind}s"] if one[id_field] == name}
    known = [str(one["name"]) for one in (await remote.get("/workspaces"))["workspaces"]]
    for choice in (sorted(having), known):
        if len(choice) == 1:
            return choice[0]
        if choice:
            raise InvalidError(
                f"It is not clear which workspace is meant by {kind} {name!r}.",
                f"Name one with --workspace: {', '.join(choice)}.",
            )
    raise InvalidError("The server has no workspace yet.", "Make one with `headrace workspace add NAME`.")


def say_deployed(made: Mapping[str, Any], workspace: str, *, as_json: bool) -> None:
    """
    Tell which version is in force now: in words on a terminal, its number alone in a pipe.
    """
    from headrace.cli.output import byte_count, console, say_json, to_people

    if as_json:
        say_json(made)
        return
    if not to_people():
        print(made["number"])
        return
    from rich.text import Text

    kind, name, number = made["kind"], made["name"], made["number"]
    if not made["changed"]:
        told = f"{kind.capitalize()} {name} has this content already: version {number} stays in force in {workspace}."
        console().print(Text.assemble(("= ", "dim"), told))
        return
    size = f", {made['file_count']} files" if made["file_count"] else ""
    told = f"{kind.capitalize()} {name} is at version {number} in {workspace}{size}, {byte_count(made['size_bytes'])}."
    console().print(Text.assemble(("✓ ", "green"), told))
    if number > 1 or not made["new"]:
        print(f"  Other versions: headrace {kind} versions {name}")


def say_versions(versions: list[dict[str, Any]], *, as_json: bool) -> None:
    """
    List versions: a table on a terminal, bare numbers in a pipe.
    """
    from headrace.cli.output import ago, byte_count, say_ids, say_json, say_table, to_people

    if as_json:
        say_json(versions)
        return
    if not to_people():
        say_ids(str(one["number"]) for one in versions)
        return
    from rich.text import Text

    now = datetime.now(UTC)
    say_table(
        ("version", "", "deployed", "by", "files", "size", "message"),
        (
            (
                str(one["number"]),
                Text("in force", style="green") if one["current"] else "",
                ago(one["deployed_at"], now=now),
                one["deployed_by"],
                str(one["file_count"] or ""),
                byte_count(one["size_bytes"]),
                Text(one["message"]),
            )
            for one in versions
        ),
        nothing="No versions.",
    )


async def versions_of(remote: Remote, kind: Kind, name: str, workspace: str | None) -> tuple[str, list[dict[str, Any]]]:
    """
    Give the workspace that is meant and the versions there, newest first.
    """
    place = await workspace_for(remote, kind, name, workspace)
    found: list[dict[str, Any]] = (await remote.get(f"{path_of(kind, place, name)}/versions"))["versions"]
    return place, found


async def roll_back(
    remote: Remote, kind: Kind, name: str, workspace: str | None, number: int | None
) -> tuple[str, dict[str, Any]]:
    """
    Put another version in force; gives the workspace too.
    """
    place = await workspace_for(remote, kind, name, workspace)
    made: dict[str, Any] = await remote.post(f"{path_of(kind, place, name)}/rollback", {"version": number})
    return place, made


async def forget(remote: Remote, kind: Kind, name: str, workspace: str | None) -> str:
    """
    Forget every version; gives the workspace.
    """
    place = await workspace_for(remote, kind, name, workspace)
    await remote.delete(path_of(kind, place, name))
    return place
