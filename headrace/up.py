"""
`headrace up`: one process tree with everything in it.

The supervisor does no work itself: it owns the embedded PostgreSQL, and keeps one `serve` and one `worker` process alive. Both
hold the read end of a pipe whose write end only the supervisor has: however it dies, they end too. It listens on the port itself
and lends the socket, so that callers wait a moment instead of being refused while `serve` is restarted.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import structlog
from pydantic import SecretStr

from headrace.core.errors import EmbeddedDatabaseError, FatalError, InvalidError
from headrace.settings import Settings
from headrace.store.embedded import EmbeddedPostgres

log = structlog.get_logger(__name__)

PARENT_FD = "HEADRACE_PARENT_FD"
LISTEN_FD = "HEADRACE_LISTEN_FD"
_RESTART_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
_HEALTHY_SECONDS = 30.0
_LOOK_SECONDS = 0.05
_HOPELESS_FAILURES = 4  # of a role, before the server was ever ready
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


async def run_up(settings: Settings, *, on_ready: Callable[[str, str | None], None]) -> int:
    """
    Start everything, call *on_ready* with the URL and, if one was made, the new admin key; run until SIGTERM or SIGINT.

    Raises:
        InvalidError: the address cannot be listened on.
        EmbeddedDatabaseError: the database could not be started.
        FatalError: the server's processes end again and again before they were ever ready.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    home = settings.home.absolute()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    listener = _listen(settings)
    postgres = None if settings.database_url else _embedded(settings, home)
    try:
        database_url = await postgres.start() if postgres else _outside_url(settings)
        key, made = _admin_key(settings, home)
        url = settings.public_url or f"http://{_shown(settings.host)}:{listener.getsockname()[1]}"
        tree = Tree(settings, _environment(settings, database_url, key, url), listener)
        duties = [asyncio.create_task(tree.keep("serve")), asyncio.create_task(tree.keep("worker"))]
        if postgres:
            duties.append(asyncio.create_task(_keep_database(postgres)))
        address = (_shown(settings.host).strip("[]"), listener.getsockname()[1])

        def ready() -> None:
            tree.was_ready.set()
            on_ready(url, key if made else None)

        told = {"url": url, "pid": os.getpid(), **({"database": database_url} if postgres else {})}
        duties.append(asyncio.create_task(_tell_ready(home, address, told, ready)))
        await _until(stop, tree)
        log.info("stopping")
        for duty in duties:
            duty.cancel()
        await asyncio.gather(*duties, return_exceptions=True)
        await tree.end()
        if tree.hopeless.is_set():
            raise FatalError(
                "The server does not start.",
                "Its log says why, just above; `headrace doctor` looks for the usual reasons.",
            )
    finally:
        _take_address_back(home)
        listener.close()
        if postgres:
            await postgres.stop()
    return 0


async def _until(stop: asyncio.Event, tree: Tree) -> None:
    """
    Wait until somebody asks for the end, or there is no hope.
    """
    waits = [asyncio.create_task(event.wait()) for event in (stop, tree.hopeless)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


class Tree:
    """
    The processes of the roles.
    """

    def __init__(self, settings: Settings, environment: Mapping[str, str], listener: socket.socket) -> None:
        self._settings = settings
        self._environment = environment
        self._listener = listener
        self._lifeline, self._our_end = os.pipe()
        self._running: dict[str, Process] = {}
        self.was_ready = asyncio.Event()
        self.hopeless = asyncio.Event()

    async def keep(self, role: str) -> None:
        """
        Start a role, and start it again whenever it ends, ever more slowly while it ends at once.
        """
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started = loop.time()
            process = await self._start(role)
            code = await process.wait()
            if loop.time() - started > _HEALTHY_SECONDS:
                failures = 0
            pause = _RESTART_SECONDS[min(failures, len(_RESTART_SECONDS) - 1)]
            failures += 1
            if failures >= _HOPELESS_FAILURES and not self.was_ready.is_set():
                self.hopeless.set()
            log.error("process ended, starting it again", role=role, code=code, pause_seconds=pause)
            await asyncio.sleep(pause)

    async def end(self) -> None:
        """
        End the worker, which hands its jobs back, then the server.
        """
        for role, patience in (
            ("worker", self._settings.drain_seconds + self._settings.grace_seconds + 10.0),
            ("serve", 15.0),
        ):
            process = self._running.get(role)
            if process is None or process.returncode is not None:
                continue
            process.terminate()
            try:
                async with asyncio.timeout(patience):
                    await process.wait()
            except TimeoutError:
                log.error("process does not end", role=role)
                process.kill()
                await process.wait()
        os.close(self._our_end)
        os.close(self._lifeline)

    async def _start(self, role: str) -> Process:
        lent = {PARENT_FD: self._lifeline} | ({LISTEN_FD: self._listener.fileno()} if role == "serve" else {})
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "headrace.app",
            role,
            env={**self._environment, **{name: str(descriptor) for name, descriptor in lent.items()}},
            pass_fds=tuple(lent.values()),
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C at the terminal is for the supervisor alone
        )
        self._running[role] = process
        return process


async def _keep_database(postgres: EmbeddedPostgres) -> None:
    """
    Start the database again whenever it ends by itself.
    """
    while True:
        await postgres.watch()
        log.error("the embedded database ended, starting it again")
        try:
            await postgres.start()
        except EmbeddedDatabaseError as error:
            log.error("the embedded database does not start", reason=error.reason)
            await asyncio.sleep(_RESTART_SECONDS[-1])


async def _tell_ready(
    home: Path, address: tuple[str, int], told: Mapping[str, object], on_ready: Callable[[], None]
) -> None:
    """
    Wait until the server answers `GET /readyz` with 200, then leave word of it in the home: where it and its embedded database are.
    """
    while not await _answers(*address):  # noqa: ASYNC110 - another process answers; there is nothing to wait on
        await asyncio.sleep(_LOOK_SECONDS)
    write_private(home / "server.json", json.dumps(told))
    on_ready()


def _take_address_back(home: Path) -> None:
    """
    Remove the address that was left in the home, unless another server has left it there.
    """
    file = home / "server.json"
    with suppress(OSError, ValueError, LookupError, TypeError):
        if json.loads(file.read_text("utf-8"))["pid"] == os.getpid():
            file.unlink()


async def _answers(host: str, port: int) -> bool:
    with suppress(OSError, ValueError, TimeoutError):
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    return False


def _listen(settings: Settings) -> socket.socket:
    if settings.host not in _LOOPBACK and not settings.admin_key and not (settings.home / "admin.key").exists():
        raise InvalidError(
            f"Listening on {settings.host} without an admin key is refused.",
            "Set HEADRACE_ADMIN_KEY, or listen on 127.0.0.1.",
        )
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise InvalidError(
            f"Port {settings.port} of {settings.host} cannot be used: {error.strerror}.",
            "Choose another with --port; 0 takes a free one.",
        ) from error
    listener.listen(1024)
    return listener


def _embedded(settings: Settings, home: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(home / "postgres", user=settings.pg_user, bin_dir=settings.pg_bin)


def _outside_url(settings: Settings) -> str:
    return settings.database_url.get_secret_value() if settings.database_url else ""


def _admin_key(settings: Settings, home: Path) -> tuple[str, bool]:
    """
    Give the admin key, and whether it was made just now.
    """
    file = home / "admin.key"
    if settings.admin_key:
        return settings.admin_key.get_secret_value(), False
    if file.exists():
        return file.read_text("ascii").strip(), False
    key = f"hr_{secrets.token_urlsafe(32)}"
    write_private(file, key + "\n")
    return key, True


def write_private(path: Path, text: str) -> None:
    """
    Write a file that only its owner may read, whole or not at all.
    """
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)


def _environment(settings: Settings, database_url: str, key: str, url: str) -> dict[str, str]:
    """
    Give the roles their settings: ours, the supervisor's own environment below them.
    """
    explicit = {
        f"HEADRACE_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else value
        for name in settings.model_fields_set
        if (value := getattr(settings, name)) is not None
    }
    texts = {name: json.dumps(value) if isinstance(value, dict) else str(value) for name, value in explicit.items()}
    return {
        **os.environ,
        **texts,
        "HEADRACE_HOME": str(settings.home.absolute()),
        "HEADRACE_DATABASE_URL": database_url,
        "HEADRACE_ADMIN_KEY": key,
        "HEADRACE_PUBLIC_URL": url,
    }


def _shown(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 - shown, not bound
