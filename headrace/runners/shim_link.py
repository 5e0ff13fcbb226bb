"""
The worker's end of the socket to one shim.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import json
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import headrace
from headrace.runners.shim import NEVER, boot_seconds

Message = dict[str, Any]

log = logging.getLogger(__name__)

PACKAGE_FOLDER = str(Path(headrace.__file__).parent.parent)
REAP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Program:
    """
    What a shim is.

    Attributes:
        interpreter: that runs it; needs the standard library only.
        code: ends in the shim's `main`; finds the folder of our packages as its first argument.
        arguments: further ones.
    """

    interpreter: Path
    code: str
    arguments: tuple[str, ...] = ()


PLAIN = Program(
    Path(sys.executable), "import sys; sys.path.append(sys.argv[1]); from headrace.runners.shim import main; main()"
)


class Resident(Protocol):
    """
    What the worker knows of a child that a shim keeps from one step to the next.

    Attributes:
        key: says which steps may use it.
        rss_bytes: of it and all below it, when its last step ended.
    """

    key: str
    rss_bytes: int

    def close(self) -> None:
        """
        Give back what it has in this process; the child itself is the shim's to end.
        """


class ShimGoneError(Exception):
    """
    The shim does not listen any more; for this room only.
    """


class ShimLink:
    """
    Starts a shim and exchanges messages with it; to close it is to end everything below the shim.
    """

    def __init__(self, program: Program = PLAIN) -> None:
        self.program = program
        self.resident: Resident | None = None
        self._loop = asyncio.get_running_loop()
        self._socket, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = start_shim(theirs, program)
            except BaseException:
                self._socket.close()
                raise
        self._socket.setblocking(False)
        self._sending = asyncio.Lock()
        self._unread = b""
        self._on_message: Callable[[Message], None] | None = None
        self._on_gone: Callable[[], None] | None = None
        self._live_until = NEVER
        self.alive = True
        self._loop.add_reader(self._socket, self._read)

    @property
    def pid(self) -> int:
        return self._process.pid

    def listen(self, on_message: Callable[[Message], None] | None, on_gone: Callable[[], None] | None) -> None:
        self._on_message, self._on_gone = on_message, on_gone

    def _read(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.disconnect()
            # A shim that did not hear of us in time is no news: we have slept, and whoever ends this process may need a moment for it. A step
            # must not fail meanwhile.
            if self._on_gone and boot_seconds() < self._live_until:
                self._on_gone()
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            if self._on_message:
                self._on_message(json.loads(line))

    async def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """
        Send one message whole, with *fds* beside it.

        A message cut short by a cancellation would garble all that follows, so it closes the link.

        Raises:
            ShimGoneError: the shim is gone.
        """
        data = memoryview(json.dumps(message).encode() + b"\n")
        beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        async with self._sending:
            rest = data
            try:
                while rest:
                    try:
                        rest = rest[self._socket.sendmsg([rest], beside) :]
                        beside = []
                    except BlockingIOError:
                        await self._writable()
            except OSError as error:
                raise ShimGoneError from error
            except asyncio.CancelledError:
                if len(rest) < len(data):
                    self.disconnect()
                raise

    def say_live(self, until: float) -> None:
        """
        Let the shim know until when this worker may act; a message that finds the way taken is left to the next time.
        """
        if not self.alive or self._sending.locked():
            return
        self._live_until = until
        data = json.dumps({"do": "live", "until": until}).encode() + b"\n"
        # BlockingIOError is an OSError; a shim that is gone is told by the end of its socket.
        with contextlib.suppress(OSError):
            if self._socket.send(data) < len(data):
                self.disconnect()

    async def _writable(self) -> None:
        ready = asyncio.Event()
        self._loop.add_writer(self._socket, ready.set)
        try:
            await ready.wait()
        finally:
            if self.alive:
                self._loop.remove_writer(self._socket)

    def disconnect(self) -> None:
        """
        Close the socket: the shim kills all it has, and goes.
        """
        if self.alive:
            self.alive = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
            self.forget_resident()

    def forget_resident(self) -> None:
        resident, self.resident = self.resident, None
        if resident is not None:
            resident.close()

    async def close(self) -> None:
        """
        Disconnect, and wait until the shim, and so everything below it, is gone.
        """
        self.disconnect()
        self._process.send_signal(signal.SIGCONT)  # should somebody have stopped it
        try:
            await asyncio.to_thread(self._process.wait, REAP_SECONDS)
        except subprocess.TimeoutExpired:
            log.critical("shim %d still has children that cannot be killed; it goes on trying", self.pid)


def start_shim(theirs: socket.socket, program: Program) -> subprocess.Popen[bytes]:
    """
    Start a shim on its end of a socketpair; takes about a millisecond, for it is a vfork.

    It says what went wrong inside it, if ever, on our own standard error.
    """
    return subprocess.Popen(
        [program.interpreter, "-I", "-S", "-c", program.code, PACKAGE_FOLDER, *program.arguments],
        stdin=theirs.fileno(),
        stdout=subprocess.DEVNULL,
        cwd="/",
        env={},
        start_new_session=True,
    )
