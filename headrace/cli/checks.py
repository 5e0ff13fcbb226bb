"""
The checks of `headrace doctor`, in the order in which a start would stumble over them.

They change nothing: no folder is made, no database, no user. They need no server; when one answers, it is looked at as well.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
import stat
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import aiohttp

from headrace.cli.remote import Address, Remote, find_address, home_above
from headrace.cli.serving import read_settings
from headrace.core.definitions import Project
from headrace.core.errors import DefinitionError, HeadraceError
from headrace.settings import Settings

_LEAST_FREE_BYTES = 200 * 2**20
_FEW_FREE_BYTES = 2 * 2**30
_SKEW_SECONDS = 5.0
_WAIT_SECONDS = 5.0
_FIRST_TRUSTED_YEAR = 2025


@dataclass(frozen=True, slots=True)
class Finding:
    """
    Attributes:
        about: what was looked at.
        level: `fail` keeps the server from working, `warn` will one day.
        said: what was found, one sentence.
        instruction: the next move.
    """

    about: str
    level: Literal["ok", "warn", "fail"]
    said: str
    instruction: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


async def examine(*, home: Path | None, project: Path | None, url: str | None, key: str | None) -> list[Finding]:
    """
    Make every check; one that breaks down is itself a finding.
    """
    found = [_python(), await _uv()]
    try:
        settings = read_settings(home=home or home_above(Path.cwd()), project=project)
    except HeadraceError as error:
        return [*found, Finding("settings", "fail", error.reason, error.instruction)]
    found += [Finding("settings", "ok", "The settings can be read.")]
    found += [*_home(settings), _disk(settings.home), _secret_keys(settings)]
    found += [await asyncio.to_thread(_postgres, settings), *[one async for one in _database(settings)]]
    found += await asyncio.to_thread(lambda: list(_project(settings)))
    found += await _server(settings, url, key)
    return found


def _python() -> Finding:
    version = platform.python_version()
    if sys.platform != "linux":
        return Finding("system", "fail", f"This is {sys.platform}.", "Headrace needs Linux, or a container with it.")
    return Finding("python", "ok", f"Python {version} on {platform.machine()}.")


async def _uv() -> Finding:
    try:
        import uv

        child = await asyncio.create_subprocess_exec(
            uv.find_uv_bin(), "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        said, _ = await asyncio.wait_for(child.communicate(), _WAIT_SECONDS)
    except (ImportError, OSError, TimeoutError) as error:
        return Finding("uv", "fail", f"The installer of connectors cannot be run: {error}.", "Install Headrace again.")
    return Finding("uv", "ok", f"{said.decode().strip()} installs connectors.")


def _home(settings: Settings) -> Iterator[Finding]:
    home = settings.home.absolute()
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding("home", "fail", f"{there} cannot be written to.", "Choose another with --home or HEADRACE_HOME.")
    elif not home.exists():
        yield Finding("home", "ok", f"{home} will be made by the first start.")
    elif home.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield Finding("home", "warn", f"Others may write to {home}.", f"Take it back: chmod go-w {home}")
    else:
        yield Finding("home", "ok", f"{home} is ours to write.")
    for name in ("secret.keys", "admin.key"):
        file = home / name
        if file.exists() and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield Finding("home", "fail", f"Others may read {file}.", f"Take it back: chmod 600 {file}")


def _disk(home: Path) -> Finding:
    there = next(folder for folder in (home.absolute(), *home.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    said = f"{free / 2**30:.1f} GiB are free for {home}."
    if free < _LEAST_FREE_BYTES:
        return Finding("disk", "fail", said, "Make room: the database stops when the disk is full.")
    if free < _FEW_FREE_BYTES:
        return Finding("disk", "warn", said, "Make room, or shorten HEADRACE_HISTORY_DAYS.")
    return Finding("disk", "ok", said)


def _secret_keys(settings: Settings) -> Finding:
    from headrace.store.sealing import Sealer, parse_keys

    file = settings.home / "secret.keys"
    try:
        if settings.secret_keys is not None:
            Sealer(parse_keys(settings.secret_keys.get_secret_value()))
            return Finding("secrets", "ok", "HEADRACE_SECRET_KEYS can be used.")
        if not file.exists():
            return Finding("secrets", "ok", f"{file} will be made by the first start.")
        Sealer(parse_keys(file.read_text("ascii")))
    except (HeadraceError, OSError, ValueError) as error:
        reason = error.reason if isinstance(error, HeadraceError) else f"{file} cannot be read."
        remedy = "Put back the keys that the stored secrets were sealed with: without them they are lost."
        return Finding("secrets", "fail", reason, remedy)
    return Finding("secrets", "ok", f"{file} can be used. Keep a copy elsewhere: without it stored secrets are lost.")


def _postgres(settings: Settings) -> Finding:
    from headrace.store.installation import find_installation

    if settings.database_url is not None:
        return Finding("postgres", "ok", "A database of your own is used, the embedded one is not.")
    try:
        installation = find_installation(settings.pg_bin, major=None)
    except HeadraceError as error:
        return Finding("postgres", "fail", error.reason, error.instruction)
    return Finding("postgres", "ok", f"PostgreSQL {installation.version} is here to be embedded.")


async def _database(settings: Settings) -> AsyncIterator[Finding]:
    from headrace.store.database import Database

    if settings.database_url is None:
        made = (settings.home / "postgres").exists()
        yield Finding("database", "ok", "The embedded database exists." if made else "The first start makes it.")
        return
    database = Database(settings.database_url.get_secret_value(), size=1, wait_seconds=_WAIT_SECONDS)
    try:
        await database.open(wait_seconds=_WAIT_SECONDS)
        yield await _schema(database)
        row = await database.one("select extract(epoch from clock_timestamp())::float as at")
        yield _skew("the database's", row["at"] if row else 0.0)
    except HeadraceError:
        remedy = "Check HEADRACE_DATABASE_URL, the network and that server's log."
        yield Finding("database", "fail", "The database of HEADRACE_DATABASE_URL does not answer.", remedy)
    finally:
        await database.close()


async def _schema(database: Any) -> Finding:
    known = {
        entry.name[:4]
        for entry in resources.files("headrace.store.migrations.versions").iterdir()
        if entry.name[:4].isdigit()
    }
    there = await database.one("select to_regclass('alembic_version') is not null as found")
    if not there["found"]:
        return Finding("database", "ok", "The database answers and is empty; the first start makes its tables.")
    row = await database.one("select version_num from alembic_version")
    version = row["version_num"] if row else ""
    if version and version not in known:
        remedy = "Run that newer version, or restore the backup that was taken before its upgrade."
        return Finding("database", "fail", f"The database has schema {version}, newer than this program.", remedy)
    if version != max(known):
        return Finding(
            "database", "ok", f"The database has schema {version or 'none'}; the next start brings it to {max(known)}."
        )
    return Finding("database", "ok", f"The database answers and has schema {version}.")


def _skew(whose: str, at: float) -> Finding:
    now = datetime.now(UTC)
    skew = abs(now.timestamp() - at)
    if now.year < _FIRST_TRUSTED_YEAR:
        return Finding("clock", "fail", f"This machine says that it is {now:%Y-%m-%d}.", "Set its clock.")
    if skew > _SKEW_SECONDS:
        said = f"This machine's clock and {whose} are {skew:.0f} s apart."
        return Finding(
            "clock", "warn", said, "Let both follow the same time server: signatures of webhooks carry the time."
        )
    return Finding("clock", "ok", f"This machine's clock agrees with {whose}.")


def _project(settings: Settings) -> Iterator[Finding]:
    from headrace.store.project import load_project

    if settings.project is None:
        yield Finding("project", "ok", "No project folder; the server serves what the API defines.")
        return
    loaded = load_project(settings.project, os.environ, home=settings.home)
    yield from _mistakes("project", loaded.problems)
    if not loaded.problems:
        count = len(loaded.project.flows)
        yield Finding(
            "project", "ok", f"{settings.project} has {count} {'flow' if count == 1 else 'flows'} and no mistakes."
        )
    yield from _automations(settings.project)
    yield from _meltano(loaded.project)


def _automations(folder: Path) -> Iterator[Finding]:
    from headrace.cli.automation_checks import automation_problems

    count, problems = automation_problems(folder)
    yield from _mistakes("automations", problems)
    if count and not problems:
        what = "The automation project has" if count == 1 else f"The {count} automation projects have"
        yield Finding("automations", "ok", f"{what} no mistakes.")


def _mistakes(name: str, problems: Iterable[DefinitionError]) -> Iterator[Finding]:
    for problem in problems:
        place = ":".join(str(problem.facts[fact]) for fact in ("file", "line") if problem.facts.get(fact))
        yield Finding(name, "fail", f"{place}: {problem.reason}" if place else problem.reason, problem.instruction)


def _meltano(project: Project) -> Iterator[Finding]:
    from headrace.cli.meltano_checks import meltano_folders, meltano_problems

    for workspace, folder in meltano_folders(project):
        problems = meltano_problems(folder)
        for problem in problems:
            file, line = problem.facts.get("file"), problem.facts.get("line")
            place = ":".join(str(each) for each in (folder / file if file else folder, line) if each)
            said = problem.reason.removeprefix(f"{file}: ")
            yield Finding("meltano", "fail", f"{place}: {said}", problem.instruction)
        if not problems:
            yield Finding("meltano", "ok", f"The Meltano project of {workspace} in {folder} has no mistakes.")


async def _server(settings: Settings, url: str | None, key: str | None) -> list[Finding]:
    try:
        address = find_address(url, key, settings.home if url is None else None)
    except HeadraceError:
        return [
            _port(settings),
            Finding("server", "warn", "No server is running here.", "Start it with `headrace up`."),
        ]
    found = []
    try:
        timeout = aiohttp.ClientTimeout(total=_WAIT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{address.url}/readyz") as response:
            answer = await response.json()
            reasons = " ".join(answer.get("reasons", ()))
            if response.status == 200:
                found.append(Finding("server", "ok", f"The server at {address.url} is ready."))
            else:
                found.append(
                    Finding(
                        "server", "fail", f"The server at {address.url} is not ready. {reasons}", "Look at its log."
                    )
                )
            if told := response.headers.get("Date"):
                found.append(_skew("the server's", parsedate_to_datetime(told).timestamp()))
    except (aiohttp.ClientError, OSError, ValueError, TimeoutError):
        remedy = "Look at its log, or start it again with `headrace up`."
        return [Finding("server", "fail", f"The server at {address.url} does not answer.", remedy)]
    return [*found, await _workers(address)]


async def _workers(address: Address) -> Finding:
    try:
        async with Remote(address) as remote:
            nodes = (await remote.get("/nodes"))["nodes"]
    except HeadraceError as error:
        return Finding("worker", "warn", f"The workers could not be asked for. {error.reason}", error.instruction)
    alive = [node for node in nodes if node.get("alive", True) and "worker" in node.get("roles", ("worker",))]
    slots = sum(int(node.get("slots", 0)) for node in alive)
    if not alive:
        return Finding("worker", "fail", "No worker is alive: jobs wait.", "Start `headrace up` or `headrace worker`.")
    return Finding("worker", "ok", f"{len(alive)} alive, {slots} jobs at once.")


def _port(settings: Settings) -> Finding:
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            said = f"Port {settings.port} of {settings.host} cannot be used: {error.strerror}."
            return Finding("port", "fail", said, "End what uses it, or choose another with --port or HEADRACE_PORT.")
    return Finding("port", "ok", f"Port {settings.port} of {settings.host} is free.")
