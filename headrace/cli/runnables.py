"""
`headrace pipeline` and `headrace batch`: list what is run by its name, run it, and pause batches.

Annotations are evaluated here, not kept as texts: each group's own argument is in them.
"""

import asyncio
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import quote

import typer

from headrace.cli.options import Follow, Home, Json, Key, Url, Workspace
from headrace.cli.run import EXIT_CODES, say_submitted, stay_with
from headrace.core.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from headrace.cli.remote import Remote


@dataclass(frozen=True, slots=True)
class Kind:
    """
    What is run by a name.

    Attributes:
        word: singular, as in paths and messages.
        plural: as the API's collection is called.
        called: how the usage line calls one.
        example: a name of one.
        pausable: whether it can be paused.
    """

    word: Literal["pipeline", "batch"]
    plural: str
    called: str
    example: str
    pausable: bool = False


PIPELINE = Kind("pipeline", "pipelines", "PIPELINE", "flights-daily")
BATCH = Kind("batch", "batches", "[PROJECT/]BATCH", "demo/demo-batch", pausable=True)


def group(kind: Kind) -> typer.Typer:
    """
    Make the commands of one kind.
    """
    app = typer.Typer(help=f"List and run {kind.plural}.", no_args_is_help=True, rich_markup_mode=None)
    name_argument = typer.Argument(metavar=kind.called, help=f"Its name, such as {kind.example}.")

    @app.command("list", help=f"List the {kind.plural} that can be run.")
    def list_them(
        workspace: Workspace = None, url: Url = None, key: Key = None, home: Home = None, as_json: Json = False
    ) -> None:
        from headrace.cli.output import say_ids, say_json, to_people
        from headrace.cli.versions import ask

        found = ask(url, key, home, lambda remote: _listed(remote, kind, workspace))
        if as_json:
            say_json(found)
        elif to_people():
            _say(kind, found)
        else:
            say_ids(_called(one) for one in found)

    @app.command(
        help=f"Run a {kind.word}.\n\n"
        "Exit codes: 0 completed (without --follow: accepted), 1 failed, 2 wrong usage, 3 cancelled, 4 refused because a job of it is "
        "active, 69 the server cannot be reached."
    )
    def run(
        name: Annotated[str, name_argument],
        workspace: Workspace = None,
        follow: Follow = False,
        url: Url = None,
        key: Key = None,
        home: Home = None,
        as_json: Json = False,
    ) -> None:
        from headrace.cli.output import say_json
        from headrace.cli.remote import Remote, find_address

        address = find_address(url, key, home)

        async def submit() -> dict[str, Any]:
            async with Remote(address) as remote:
                path = _path(kind, _one(kind, name, await _listed(remote, kind, workspace)), "runs")
                job: dict[str, Any] = await remote.post(path, {}, Idempotency_Key=uuid.uuid4().hex)
                return job

        job = asyncio.run(submit())
        say_submitted(job, as_json=as_json, follow=follow)
        if not follow:
            return
        job = stay_with(address, job, quiet=as_json and not sys.stderr.isatty())
        if as_json:
            say_json(job)
        raise typer.Exit(EXIT_CODES[job["state"]])

    if kind.pausable:
        _add_pausing(app, kind, name_argument)
    return app


def _add_pausing(app: typer.Typer, kind: Kind, name_argument: Any) -> None:
    @app.command(
        help=f"Start no more jobs of a {kind.word}, by its schedule neither.\n\n"
        "Of a job that runs no more items are started; those that run go on to their end."
    )
    def pause(
        name: Annotated[str, name_argument],
        workspace: Workspace = None,
        url: Url = None,
        key: Key = None,
        home: Home = None,
        as_json: Json = False,
    ) -> None:
        from headrace.cli.versions import ask

        found = ask(url, key, home, lambda remote: _set(remote, kind, name, workspace, "pause"))
        called = _called(found)
        said = f"{kind.word.capitalize()} {called} is paused: neither its schedule nor anybody starts it."
        _say_one(found, f"{said}\nGo on with: headrace {kind.word} resume {called}", as_json=as_json)

    @app.command(help=f"Let a paused {kind.word} be started again, and its paused job go on where it was.")
    def resume(
        name: Annotated[str, name_argument],
        workspace: Workspace = None,
        url: Url = None,
        key: Key = None,
        home: Home = None,
        as_json: Json = False,
    ) -> None:
        from headrace.cli.versions import ask

        found = ask(url, key, home, lambda remote: _set(remote, kind, name, workspace, "resume"))
        _say_one(found, f"{kind.word.capitalize()} {_called(found)} goes on.", as_json=as_json)


async def _set(remote: "Remote", kind: Kind, name: str, workspace: str | None, word: str) -> dict[str, Any]:
    path = _path(kind, _one(kind, name, await _listed(remote, kind, workspace)), word)
    found: dict[str, Any] = await remote.post(path)
    return found


def _say_one(found: Mapping[str, Any], sentence: str, *, as_json: bool) -> None:
    from headrace.cli.output import say_json, to_people

    if as_json:
        say_json(found)
    else:
        print(sentence if to_people() else _called(found))


async def _listed(remote: "Remote", kind: Kind, workspace: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await remote.get(f"/{kind.plural}", workspace=workspace))[kind.plural]
    return found


def _called(one: Mapping[str, Any]) -> str:
    return f"{one['project']}/{one['name']}" if one["project"] else str(one["name"])


def _one(kind: Kind, name: str, known: list[dict[str, Any]]) -> dict[str, Any]:
    """
    Find what a name means.

    Raises:
        NotFoundError: nothing.
        InvalidError: several things.
    """
    found = [one for one in known if name in (_called(one), one["name"], one["id"])]
    if not found:
        names = ", ".join(sorted({_called(one) for one in known})) or "none"
        raise NotFoundError(f"There is no {kind.word} {name!r}.", f"Known {kind.plural}: {names}.")
    if len(found) > 1:
        which = ", ".join(f"{_called(one)} in {one['workspace']}" for one in found)
        raise InvalidError(
            f"Several {kind.plural} are called {name!r}.",
            f"Say which, by its whole name and --workspace: {which}.",
        )
    return found[0]


def _path(kind: Kind, one: Mapping[str, Any], what: str) -> str:
    names = [one["workspace"], *([one["project"]] if one["project"] else []), one["name"]]
    return f"/{kind.plural}/{'/'.join(quote(str(name), safe='') for name in names)}/{what}"


def _say(kind: Kind, found: list[dict[str, Any]]) -> None:
    from headrace.cli.output import say_table

    say_table(
        (kind.word, "workspace", "about"),
        ((_called(one), one["workspace"], one["held"] or one["description"]) for one in found),
        nothing=f"No {kind.plural} yet. `headrace problems` lists files with mistakes.",
    )
