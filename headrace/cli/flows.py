"""
`headrace flows` and `problems`: what can be run, and which files keep something from being run.
"""

from __future__ import annotations

import asyncio
from typing import Any

import typer

from headrace.cli.failures import FAILED
from headrace.cli.options import Home, Json, Key, Url, Workspace


def flows(
    workspace: Workspace = None, url: Url = None, key: Key = None, home: Home = None, as_json: Json = False
) -> None:
    """
    List the flows that can be run.
    """
    from headrace.cli.output import say_ids, say_json, say_table, to_people

    found = [one for one in _ask("/flows", "flows", url, key, home) if workspace in (None, one["workspace"])]
    if as_json:
        say_json(found)
    elif not to_people():
        say_ids(str(one["id"]) for one in found)
    else:
        say_table(
            ("flow", "workspace", "owned by", "reads", "writes", "tenants"),
            (
                (
                    one["id"],
                    one["workspace"],
                    "folder" if one.get("version") is None else f"version {one['version']}",
                    *(_listed(one.get(name)) for name in ("sources", "targets", "tenants")),
                )
                for one in found
            ),
            nothing="No flows. Add one as flows/<id>/flow.yml in the project folder, or deploy one with `headrace flow deploy`; `headrace problems` lists files with mistakes.",
        )


def _listed(values: Any) -> str:
    names = [str(one["tenant"] if isinstance(one, dict) else one) for one in values or ()]
    return ", ".join(names)


def problems(url: Url = None, key: Key = None, home: Home = None, as_json: Json = False) -> None:
    """
    List the mistakes in the project folder.

    The exit code is 1 if there are any.
    """
    from headrace.cli.output import say_json

    found = _ask("/problems", "problems", url, key, home)
    if as_json:
        say_json(found)
    elif not found:
        print("The project folder has no mistakes.")
    else:
        for one in found:
            say_problem(one)
    if found:
        raise typer.Exit(FAILED)


def say_problem(one: dict[str, Any]) -> None:
    """
    Show a mistake as compilers do: where, what, and the remedy below.
    """
    place = ":".join(str(one[name]) for name in ("file", "line") if one.get(name))
    print(f"{place}: {one['reason']}" if place else one["reason"])
    if one.get("instruction"):
        print(f"  {one['instruction']}")


def _ask(path: str, name: str, url: str | None, key: str | None, home: Any) -> list[dict[str, Any]]:
    from headrace.cli.remote import Remote, find_address

    async def ask() -> list[dict[str, Any]]:
        async with Remote(find_address(url, key, home)) as remote:
            found: list[dict[str, Any]] = (await remote.get(path))[name]
            return found

    return asyncio.run(ask())
