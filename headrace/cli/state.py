"""
`headrace state`: how far a tenant's source has been read.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from headrace.cli.options import Home, Json, Key, Url, Workspace
from headrace.cli.versions import ask, path_of, workspace_for
from headrace.core.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from headrace.cli.remote import Remote

app = typer.Typer(help="How far a tenant's source has been read.", no_args_is_help=True, rich_markup_mode=None)

FlowId = Annotated[str, typer.Argument(metavar="FLOW", help="The flow's id, such as flights.")]
Tenant = Annotated[str, typer.Option("--tenant", "-t", help="Whose.")]
Tap = Annotated[str | None, typer.Option(help="Which of the tenant's taps, where several are linked.")]


@app.command()
def show(
    flow: FlowId,
    tenant: Tenant,
    tap: Tap = None,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """
    Print the Singer state that the next job starts from; null when it reads everything.
    """

    async def look(remote: Remote) -> dict[str, Any]:
        return (await _source(remote, flow, tenant, tap, workspace))[1]

    found = ask(url, key, home, look)
    print(json.dumps(found["state"], indent=None if as_json else 2, ensure_ascii=False))


@app.command("set")
def set_state(
    flow: FlowId,
    tenant: Tenant,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file with a JSON object; - reads standard input.")],
    tap: Tap = None,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """
    Make the next job read on from a Singer state.
    """
    state = _read(file)
    _save(flow, tenant, tap, workspace, url, key, home, state, as_json=as_json)


@app.command()
def clear(
    flow: FlowId,
    tenant: Tenant,
    tap: Tap = None,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """
    Make the next job read everything.
    """
    _save(flow, tenant, tap, workspace, url, key, home, None, as_json=as_json)


def _save(
    flow: str,
    tenant: str,
    tap: str | None,
    workspace: str | None,
    url: str | None,
    key: str | None,
    home: Path | None,
    state: dict[str, Any] | None,
    *,
    as_json: bool,
) -> None:
    async def save(remote: Remote) -> dict[str, Any]:
        path, found = await _source(remote, flow, tenant, tap, workspace)
        saved: dict[str, Any] = await remote.put(f"{path}/{quote(found['connector'], safe='')}", {"state": state})
        return saved

    saved = ask(url, key, home, save)
    if as_json:
        print(json.dumps(saved, ensure_ascii=False))
    elif state is None:
        print(f"The next job of {flow} for {tenant} reads {saved['connector']} from the beginning.")
    else:
        print(f"The next job of {flow} for {tenant} reads {saved['connector']} on from there.")


async def _source(
    remote: Remote, flow: str, tenant: str, tap: str | None, workspace: str | None
) -> tuple[str, dict[str, Any]]:
    """
    Find the one source that is meant, and the path of its tenant's states.

    Raises:
        NotFoundError: the tenant has linked none, or none of that name.
        InvalidError: it has several, and none was named.
    """
    place = await workspace_for(remote, "flow", flow, workspace)
    path = f"{path_of('flow', place, flow)}/tenants/{quote(tenant, safe='')}/state"
    states: list[dict[str, Any]] = (await remote.get(path))["states"]
    names = ", ".join(str(one["connector"]) for one in states) or "none"
    found = [one for one in states if tap in (None, one["connector"])]
    if not found:
        raise NotFoundError(f"{tenant} has no such source in {flow}.", f"Its sources: {names}.")
    if len(found) > 1:
        raise InvalidError(f"{tenant} has several sources in {flow}.", f"Name one with --tap: {names}.")
    return path, found[0]


def _read(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(sys.stdin.read() if str(file) == "-" else file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidError(f"{file} cannot be read: {error}.", "Give a file with a JSON object.") from None
    if not isinstance(value, dict):
        raise InvalidError(f"{file} holds no JSON object.", 'A Singer state looks like {"bookmarks": {…}}.')
    return value
