"""
`headrace workspace`: which workspaces there are, and a new one for what is deployed.
"""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.options import Home, Json, Key, Url
from headrace.cli.versions import ask

app = typer.Typer(help="Workspaces of a server.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_workspaces(url: Url = None, key: Key = None, home: Home = None, as_json: Json = False) -> None:
    """
    List the workspaces that the key opens.
    """
    from headrace.cli.output import say_ids, say_json, say_table, to_people

    found = ask(url, key, home, lambda remote: remote.get("/workspaces"))["workspaces"]
    if as_json:
        say_json(found)
    elif to_people():
        say_table(("workspace", "id"), ((one["name"], one["id"]) for one in found), nothing="No workspaces.")
    else:
        say_ids(str(one["name"]) for one in found)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Letters, digits, dots, dashes and underscores.")],
    url: Url = None,
    key: Key = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """
    Make a workspace with nothing in it; needs an administrator's key.
    """
    from headrace.cli.output import say_json, to_people

    made = ask(url, key, home, lambda remote: remote.post("/workspaces", {"name": name}))
    if as_json:
        say_json(made)
    elif to_people():
        print(f"Workspace {made['name']} is there. Deploy to it with: headrace flow deploy FLOW --workspace {name}")
    else:
        print(made["name"])
