"""
`headrace keys`: who may ask, and the keys for secrets at rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.options import Home, Json, Key, Url, Workspace

if TYPE_CHECKING:
    from headrace.cli.remote import Remote

app = typer.Typer(help="API keys, and the keys for secrets at rest.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_keys(url: Url = None, key: Key = None, home: Home = None, as_json: Json = False) -> None:
    """
    List the API keys; the keys themselves cannot be shown again.
    """
    from headrace.cli.output import ago, say_ids, say_json, say_table, to_people

    found = _ask(url, key, home, lambda remote: remote.get("/keys"))["keys"]
    if as_json:
        say_json(found)
    elif not to_people():
        say_ids(str(one["id"]) for one in found)
    else:
        now = datetime.now(UTC)
        say_table(
            ("id", "name", "role", "workspace", "made"),
            (
                (
                    str(one["id"]),
                    f"{one['name']} (revoked)" if one.get("revoked_at") else one["name"],
                    one["role"],
                    one.get("workspace") or "all",
                    ago(one.get("created_at"), now=now),
                )
                for one in found
            ),
            nothing="No keys.",
        )


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    role: Annotated[str, typer.Option(help="admin, environment, developer, viewer or public.")] = "environment",
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """
    Make an API key and show it, once.
    """
    from headrace.cli.output import say_json, to_people

    wanted = {"name": name, "role": role, "workspace": workspace}
    made = _ask(url, key, home, lambda remote: remote.post("/keys", wanted))
    if as_json:
        say_json(made)
    elif to_people():
        print(f"{made['key']}\nKeep it now: it cannot be shown again.")
    else:
        print(made["key"])


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, from `headrace keys list`.")],
    url: Url = None,
    key: Key = None,
    home: Home = None,
) -> None:
    """
    Take an API key back; within seconds it is refused everywhere.
    """
    _ask(url, key, home, lambda remote: remote.delete(f"/keys/{key_id}"))
    print(key_id)


@app.command()
def new_secret() -> None:
    """
    Make a key for secrets at rest, for HEADRACE_SECRET_KEYS or the file secret.keys; nothing is changed by it.
    """
    from headrace.store.sealing import new_key

    print(new_key())


def _ask(url: str | None, key: str | None, home: Any, question: Callable[[Remote], Awaitable[Any]]) -> Any:
    from headrace.cli.remote import Remote, find_address

    async def ask() -> Any:
        async with Remote(find_address(url, key, home)) as remote:
            return await question(remote)

    return asyncio.run(ask())
