"""
The commands that `headrace flow` and `headrace connector` both have: versions, rollback and delete.

Annotations are evaluated here, not kept as texts: each command's own argument is in them.
"""

from typing import Annotated

import typer

from headrace.cli.options import Home, Json, Key, Url, Workspace
from headrace.cli.versions import Kind, Number, ask, forget, roll_back, say_deployed, say_versions, versions_of


def add_version_commands(app: typer.Typer, kind: Kind, *, metavar: str, example: str, forgotten: str) -> None:
    """
    Add the three to *app*.

    Args:
        app: the group of commands of that kind.
        kind: of what is deployed.
        metavar: how the usage line calls the thing.
        example: what such a thing may be called.
        forgotten: what is true after a delete, for its help.
    """
    name_argument = typer.Argument(metavar=metavar, help=f"Which {kind}, such as {example}.")

    @app.command(help=f"List the versions of a {kind} that were deployed, newest first.")
    def versions(
        name: Annotated[str, name_argument],
        workspace: Workspace = None,
        url: Url = None,
        key: Key = None,
        home: Home = None,
        as_json: Json = False,
    ) -> None:
        _, found = ask(url, key, home, lambda remote: versions_of(remote, kind, name, workspace))
        say_versions(found, as_json=as_json)

    @app.command(help=f"Put a version of a {kind} in force again; else the one before that in force.")
    def rollback(
        name: Annotated[str, name_argument],
        version: Number = None,
        workspace: Workspace = None,
        url: Url = None,
        key: Key = None,
        home: Home = None,
        as_json: Json = False,
    ) -> None:
        place, made = ask(url, key, home, lambda remote: roll_back(remote, kind, name, workspace, version))
        say_deployed(made, place, as_json=as_json)

    @app.command(help=f"Forget every deployed version of a {kind}{forgotten}.")
    def delete(
        name: Annotated[str, name_argument],
        workspace: Workspace = None,
        url: Url = None,
        key: Key = None,
        home: Home = None,
    ) -> None:
        place = ask(url, key, home, lambda remote: forget(remote, kind, name, workspace))
        print(f"{kind.capitalize()} {name} is no longer deployed in {place}.")
