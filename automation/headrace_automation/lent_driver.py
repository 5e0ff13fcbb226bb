"""
Playwright's driver as the server lends it: up already, with a browser that is up, both left by a call before this one.

Playwright's client starts its driver as a child and speaks with it over the child's standard streams: each message is its length in four
bytes, the lowest first, then JSON; a request has an `id`, which its answer repeats (seen in the clients 1.40 to 1.65). A driver can be greeted
once only. So the first call's requests for a greeting and for a browser are written down with all that came of them, and a later call, whose
client knows of nothing, is answered from that; the driver never hears of it. Everything after goes to the driver and back.

Where anything is not as it should be, the client gets a driver of its own, as it would without this.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from headrace_automation.channel import Channel

DRIVER_FD = 6

_NOTES = "begun.json"
_BEGINNING = ("initialize", "launch")
_LOST = ("close", "__dispose__")
_ID = re.compile(rb'\{"id": ?("[^"]*"|-?\d+)[,}]')
_MAY_NAME_FILES = re.compile(rb'"(?:localPaths|localDirectory|zipFile|harFile|saveAs|harOpen)"')
_FILES = ("localDirectory", "zipFile", "harFile")
_FILE_OF = {"saveAs": "path", "harOpen": "file"}
# What reaches the browser itself, and so whoever has it next.
_REACHES_FAR = re.compile(rb'"method": ?"(?:newBrowserCDPSession|startTracing|launch\w*|connectOverCDP)"')
_NOT_ANSWERED = re.compile(rb'"method": ?"(?:__waitInfo__|waitForEventInfo)"')
_ASIDE = "headrace"
_ANSWER_SECONDS = 10.0
_REST_SECONDS = 2.0


class LentDriver:
    """
    Args:
        folder: the driver's own; what was written down stands in it.
        channel: to the server.
    """

    def __init__(self, folder: Path, channel: Channel) -> None:
        self.folder = folder
        self.was_up = False
        self._channel = channel
        self._relay: _Relay | None = None

    @contextlib.asynccontextmanager
    async def in_place(self) -> AsyncIterator[None]:
        """
        Let the client that is started in this block have the lent driver in place of a child.
        """
        start = asyncio.create_subprocess_exec

        async def instead(*argv: Any, **given: Any) -> Any:
            if argv[-1] != "run-driver":
                return await start(*argv, **given)
            try:
                self._relay = await self._borrow([str(each) for each in argv], given.get("env"))
            except Exception:  # noqa: BLE001 - whatever it is, a driver of its own will do
                self._relay = None
            return self._relay or await start(*argv, **given)

        asyncio.create_subprocess_exec = instead  # Playwright has no other way to be told
        try:
            yield
        finally:
            asyncio.create_subprocess_exec = start

    async def give_back(self, browser: Any) -> None:
        """
        Close what the call has open, and tell the server if the driver and its browser are as good as before.
        """
        if self._relay is None:
            await browser.close()
            return
        with contextlib.suppress(Exception):  # then they are not, and the server ends them
            async with asyncio.timeout(_ANSWER_SECONDS):
                for context in browser.contexts:
                    await context.close()
            async with asyncio.timeout(_REST_SECONDS):
                await self._relay.answered()
            # No pause from here on, in which what the call left running could open another context.
            if browser.is_connected() and not browser.contexts and self._relay.write_down():
                self._channel.say("orderly")

    async def _borrow(self, argv: list[str], environment: dict[str, str] | None) -> _Relay | None:
        lent = await self._channel.ask("driver", argv=argv, environment=dict(environment or os.environ))
        if lent["value"] not in ("new", "up"):
            return None
        reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=os.dup(DRIVER_FD)))
        relay = _Relay(reader, writer, self.folder / _NOTES)
        if lent["value"] == "up":
            async with asyncio.timeout(_ANSWER_SECONDS):
                await relay.catch_up()
            self.was_up = True
        relay.begin()
        return relay


class _Relay:
    """
    Stands for the child that the client would have: its standard input, its standard output, and its end.
    """

    returncode: int | None = None

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, notes: Path) -> None:
        self.stdin = self
        self.stdout = asyncio.StreamReader()
        self._reader = reader
        self._writer = writer
        self._file = notes
        self._notes: dict[str, Any] = {}
        self._to_begin = list(_BEGINNING)
        self._noting: tuple[bytes, dict[str, Any]] | None = None
        self._unsent = b""
        self._asked: set[bytes] = set()  # requests that the driver has not answered
        self._none_asked = asyncio.Event()
        self._over = asyncio.Event()
        self._hearing: asyncio.Task[None] | None = None
        self._good = True
        self._given_back = False

    async def catch_up(self) -> None:
        """
        Pass over what the driver still had to say to the client before; a browser that is gone is forgotten.
        """
        self._notes = json.loads(await asyncio.to_thread(self._file.read_bytes))
        browser = self._notes["launch"]["answer"]["result"]["browser"]["guid"]
        self._send(json.dumps({"id": _ASIDE, "guid": _ASIDE, "method": _ASIDE, "params": {}, "metadata": {}}).encode())
        while (said := json.loads(await self._frame())).get("id") != _ASIDE:
            if said.get("guid") == browser and said.get("method") in _LOST:
                self._notes.pop("launch", None)

    def begin(self) -> None:
        self._none_asked.set()
        self._hearing = asyncio.get_running_loop().create_task(self._hear())

    async def answered(self) -> None:
        """
        Wait until the driver has answered all it was asked: the ids of the next client may be the same.
        """
        await self._none_asked.wait()

    def write_down(self) -> bool:
        """
        Keep how this began for the next call, and send nothing any more; false when that is not to be repeated.
        """
        if not self._good or self._to_begin or self._noting or self._asked:
            return False
        self._file.write_text(json.dumps(self._notes))
        self._given_back = True
        return True

    # What the client does with a child.

    def write(self, data: bytes) -> None:
        self._unsent += data
        while len(self._unsent) >= 4 and len(self._unsent) >= (end := 4 + int.from_bytes(self._unsent[:4], "little")):
            frame, self._unsent = self._unsent[4:end], self._unsent[end:]
            self._take(frame)

    def close(self) -> None:
        if self._hearing:
            self._hearing.cancel()
        self._end()

    async def wait(self) -> int:
        await self._over.wait()
        return 0

    async def communicate(self) -> tuple[bytes, bytes]:
        await self.wait()
        return b"", b""

    # Between the client and the driver.

    def _take(self, frame: bytes) -> None:
        if self._given_back:
            return
        number = _id_of(frame)
        if self._to_begin and self._begun_before(number, json.loads(frame)):
            return
        if not number or (not self._to_begin and not self._noting and _REACHES_FAR.search(frame)):
            self._good = False
        if not _NOT_ANSWERED.search(frame):
            self._asked.add(number)
            self._none_asked.clear()
        self._send(_with_full_paths(frame) if _MAY_NAME_FILES.search(frame) else frame)

    def _begun_before(self, number: bytes, message: dict[str, Any]) -> bool:
        """
        Answer a request of the beginning from what was written down; else see to it that what comes of it is.
        """
        method = message["method"]
        if method != self._to_begin[0]:
            return False
        del self._to_begin[0]
        note = self._notes.get(method)
        if note is not None and note["params"] == message["params"]:
            for said in note["said"]:
                self._tell(said.encode())
            self._tell(json.dumps({**note["answer"], "id": message["id"]}).encode())
            return True
        self._good = note is None  # or there are two of them now
        self._notes[method] = {"params": message["params"], "said": [], "answer": None}
        self._noting = (number, self._notes[method])
        return False

    async def _hear(self) -> None:
        try:
            while True:
                self._pass_on(await self._frame())
        except (asyncio.IncompleteReadError, OSError):
            self._good = False
            self._end()

    def _pass_on(self, frame: bytes) -> None:
        number = _id_of(frame)
        if self._noting is not None:
            asked, note = self._noting
            if number == asked:
                note["answer"], self._noting = json.loads(frame), None
                self._good = self._good and "error" not in note["answer"]
            elif not number:
                note["said"].append(frame.decode())
        self._asked.discard(number)
        if not self._asked:
            self._none_asked.set()
        self._tell(frame)

    async def _frame(self) -> bytes:
        return await self._reader.readexactly(int.from_bytes(await self._reader.readexactly(4), "little"))

    def _send(self, frame: bytes) -> None:
        self._writer.write(len(frame).to_bytes(4, "little") + frame)

    def _tell(self, frame: bytes) -> None:
        self.stdout.feed_data(len(frame).to_bytes(4, "little") + frame)

    def _end(self) -> None:
        if not self._over.is_set():
            self.stdout.feed_eof()
            self._over.set()


def _id_of(frame: bytes) -> bytes:
    """
    Give the id of a request or an answer as it is written; nothing for an event.
    """
    found = _ID.match(frame)
    return found[1] if found else b""


def _with_full_paths(frame: bytes) -> bytes:
    """
    Give a request with the files it names as the call means them: the lent driver works in a folder of its own.
    """
    message = json.loads(frame)
    given = message.get("params", {})
    for name in (*_FILES, _FILE_OF.get(message.get("method", ""), "")):
        if isinstance(given.get(name), str):
            given[name] = str(Path(given[name]).absolute())
    if given.get("localPaths"):
        given["localPaths"] = [str(Path(each).absolute()) for each in given["localPaths"]]
    return json.dumps(message).encode()
