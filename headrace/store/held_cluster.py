"""
Run PostgreSQL's programs on a database folder that is held against everybody else.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headrace.core.errors import EmbeddedDatabaseError
from headrace.store import postgres_launch
from headrace.store.database_folder import DATABASE, LOG_LINES, ROLE, DatabaseFolder
from headrace.store.installation import Installation

Process = asyncio.subprocess.Process

ACCESS_RULES = "# Headrace's own processes alone connect, through the socket.\nlocal all all scram-sha-256\n"


@dataclass(frozen=True, slots=True)
class HeldCluster:
    """
    A folder, the programs for it, and the descriptor of its `server.lock`, which every program started here inherits.
    """

    folder: DatabaseFolder
    installation: Installation
    server_lock: int
    durable: bool

    async def prepare(self) -> None:
        """
        Make the data directory if there is none, and a password if it is lost.

        Raises:
            EmbeddedDatabaseError: a program failed, or the data belong to another user.
        """
        folder = self.folder
        folder.own(folder.log_dir)
        if folder.major() is None:
            draft = folder.path / "cluster.new"
            shutil.rmtree(draft, ignore_errors=True)
            await self._initialize(draft)
            draft.rename(folder.cluster)  # all of it or nothing, whenever we are killed
            folder.sync()
            return
        folder.check_owner()
        if not folder.password_file.exists():
            await self._set_password(folder.cluster)

    async def _initialize(self, draft: Path) -> None:
        self.folder.own(draft)
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if self.installation.major >= 17 else []
        sync = [] if self.durable else ["--no-sync"]
        cluster = ["--pgdata", str(draft), "--username", ROLE, "--auth=reject", "--data-checksums", "--no-instructions"]
        await self._run("initdb", *cluster, "--encoding=UTF8", "--no-locale", *locale, *sync)
        (draft / "pg_hba.conf").write_text(ACCESS_RULES)
        # A copy of the template's files is four times as fast as its way through the log, and nothing else runs here.
        await self._set_password(draft, f"CREATE DATABASE {DATABASE} STRATEGY file_copy;")

    async def _set_password(self, cluster: Path, *more: str) -> None:
        password = secrets.token_urlsafe(24)
        statements = "\n".join([f"ALTER ROLE {ROLE} PASSWORD '{password}';", *more, ""])
        options = ["exit_on_error=on", "fsync=on" if self.durable else "fsync=off"]
        await self._run("postgres", "--single", "-D", str(cluster), *_flags(options), "postgres", told=statements)
        self.folder.save_password(password)

    async def _run(self, program: str, *arguments: str, told: str = "") -> None:
        pipe = asyncio.subprocess.PIPE
        process = await self._start(program, *arguments, stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            _, said = await process.communicate(told.encode())
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode != 0:
            lines = said.decode(errors="replace").strip().splitlines()[-LOG_LINES:]
            raise EmbeddedDatabaseError(
                f"PostgreSQL's {program} failed with exit code {process.returncode}: {' / '.join(lines) or 'it said nothing'}",
                f"Mend what it complains of (the database is in {self.folder.path}), then start again.",
                log=lines,
            )

    async def serve(self, socket_dir: Path, settings: Mapping[str, str]) -> Process:
        """
        Start the server, which is not ready yet. What it says before its log is open goes to `start.log`.
        """
        folders = {"unix_socket_directories": str(socket_dir), "log_directory": str(self.folder.log_dir)}
        options = [f"{name}={value}" for name, value in {**settings, **folders}.items()]
        with self.folder.start_log.open("wb") as said:
            quiet = asyncio.subprocess.DEVNULL
            return await self._start(
                "postgres", "-D", str(self.folder.cluster), *_flags(options), stdin=quiet, stdout=said, stderr=said
            )

    async def _start(self, program: str, *arguments: str, **streams: object) -> Process:
        user = self.folder.user
        become = [
            sys.executable,
            "-I",
            "-S",
            postgres_launch.__file__,
            str(os.getpid()),
            "" if user.is_self else user.name,
        ]
        return await asyncio.create_subprocess_exec(
            *become,
            str(self.installation.bin_dir / program),
            *arguments,
            **streams,  # type: ignore[arg-type]  # stdin, stdout and stderr, as asyncio takes them
            cwd="/",
            env=_environment(),
            pass_fds=(self.server_lock,),
            start_new_session=True,  # a Ctrl-C at the terminal is for us, who drain before the database goes
        )


def _environment() -> dict[str, str]:
    """
    What the programs need and nothing more: our own variables hold keys, and PG* and LC_* ones would change what the programs do.
    """
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **kept}


def _flags(options: list[str]) -> list[str]:
    return [word for option in options for word in ("-c", option)]
