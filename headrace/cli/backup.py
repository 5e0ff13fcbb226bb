"""
`headrace backup` and `restore`: everything a server keeps, in one file and out of it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.options import Home, Json
from headrace.core.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from headrace.settings import Settings


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not be there.")],
    keys: Annotated[
        bool | None,
        typer.Option(
            "--with-keys/--without-keys",
            help="Whether the keys of secrets are in it. With them the file opens everything; without them it needs --keys to be restored.",
        ),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """
    Write everything a server keeps to one file, whether it runs or not: database, files and, if told so, the keys of secrets.
    """
    from headrace.cli.output import byte_count, say_json, to_people

    if keys is None:
        raise ConflictError(
            "A backup with the keys of secrets opens everything; one without them is of no use when they are lost.",
            "Choose --with-keys, or --without-keys and keep a copy of the keys elsewhere.",
        )
    settings = _settings(home)
    manifest = asyncio.run(_write(settings, file, with_keys=keys))
    size = file.stat().st_size
    if as_json:
        say_json({"file": str(file), "size_bytes": size, "keys": manifest.keys, "files": manifest.files})
    elif not to_people():
        print(file)
    else:
        print(f"{file}: {byte_count(size)}, the database and {manifest.files or 0} files.")
    if manifest.files is None:
        print(f"Without the files in {settings.storage_url}: back them up there.", file=sys.stderr)
    if not keys:
        print(
            "The keys of secrets are not in it: without a copy of them its secrets cannot be opened.", file=sys.stderr
        )


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `headrace backup` wrote.")],
    keys: Annotated[
        Path | None, typer.Option("--keys", help="File with the keys of secrets, for a backup without them.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """
    Make a home out of a backup: a folder that is empty or not there, on this machine or another.
    """
    from headrace.cli.output import say_json
    from headrace.store.backup import restore_backup

    settings = _settings(home)
    if settings.database_url is not None:
        raise ConflictError(
            "HEADRACE_DATABASE_URL names a database of your own.",
            "Unset it to restore into a home with the embedded one, or restore `database.dump` out of the file by pg_restore.",
        )
    manifest = asyncio.run(
        restore_backup(file, settings.home.absolute(), keys=keys, bin_dir=settings.pg_bin, user=settings.pg_user)
    )
    if as_json:
        say_json({"home": str(settings.home), "made_at": manifest.made_at, "files": manifest.files})
    else:
        print(f"{settings.home} holds what was there at {manifest.made_at[:19].replace('T', ' ')} UTC.")
        print(f"  Start it with: headrace up --home {settings.home}", file=sys.stderr)


async def _write(settings: Settings, file: Path, *, with_keys: bool) -> Any:
    from datetime import UTC, datetime

    from headrace import __version__
    from headrace.store.backup import write_backup

    home = settings.home.absolute()
    keys = home / "secret.keys"
    if with_keys and not keys.exists():
        raise NotFoundError(
            f"There is no {keys}.", "Where HEADRACE_SECRET_KEYS holds the keys, keep them there and use --without-keys."
        )
    async with _database(settings, home) as url:
        return await write_backup(
            file,
            url=url,
            files=None if settings.storage_url else home / "files",
            keys=keys if with_keys else None,
            bin_dir=settings.pg_bin,
            version=__version__,
            now=datetime.now(UTC),
        )


@asynccontextmanager
async def _database(settings: Settings, home: Path) -> AsyncIterator[str]:
    """
    Lend the address of the database: one of the user's own, that of the server that runs on the home, or it is started for the while.
    """
    from headrace.store.embedded import EmbeddedPostgres

    running = None if settings.database_url else _running(home)
    if settings.database_url is not None or running is not None:
        yield settings.database_url.get_secret_value() if settings.database_url else str(running)
        return
    if not (home / "postgres").exists():
        raise NotFoundError(f"There is no database in {home}.", "Name the server's home with --home.")
    postgres = EmbeddedPostgres(home / "postgres", user=settings.pg_user, bin_dir=settings.pg_bin)
    try:
        yield await postgres.start()
    finally:
        await postgres.stop()


def _running(home: Path) -> str | None:
    try:
        found = json.loads((home / "server.json").read_text("utf-8")).get("database")
    except (OSError, ValueError):
        return None
    return found if isinstance(found, str) else None


def _settings(home: Path | None) -> Settings:
    from headrace.settings import load_settings

    return load_settings(home=home)
