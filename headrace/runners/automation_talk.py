"""
What a running function says to the server, and what it is answered: one JSON object a line, each way.

The other side is automation/headrace_automation/channel.py. All of it comes from the user's process, so all of it may be wrong: a line that
is no report is passed over, a report that cannot be kept as it is fails the call, and the limits are ours.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from headrace.core import nesting
from headrace.core.errors import HeadraceError
from headrace.core.fan_out import Wanted, is_item_name
from headrace.runners.pipe_ends import read_end, write_end

LINE_BYTES = 8 * 2**20  # a result, a kept value or an item's parameters, escaped
WANTED_BYTES = 64 * 2**20
WANTED_OVERHEAD_BYTES = (
    200  # what an item that is asked for takes here besides its name and parameters: a loop may ask for ever
)
UNREAD_BYTES = 16 * 2**20  # of answers; who does not read them is not listened to
VALUE_BYTES = 2 * 2**20

# Halves of surrogate pairs, which JSON can write and UTF-8 cannot: an exception's text has them where it names a file oddly.
_HALF = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


class KeyValues(Protocol):
    """
    Where kept values are; `headrace.store.files.FileStore` is one.
    """

    async def get(self, path: str) -> bytes | None: ...

    async def put(self, path: str, data: bytes) -> None: ...


Lend = Callable[[list[str], dict[str, str]], Awaitable[str]]


class Done(Struct, tag_field="kind", tag="done", frozen=True):
    result: Raw
    attributes: dict[str, Any] = {}


class Failure(Struct, tag_field="kind", tag="failed", frozen=True):
    code: str
    message: str
    name: str = ""
    instruction: str = ""
    retryable: bool = True


class _Extend(Struct, tag_field="kind", tag="extend", frozen=True):
    pass


class _Append(Struct, tag_field="kind", tag="append", frozen=True):
    api: str
    parameters: Raw


class _Get(Struct, tag_field="kind", tag="get", frozen=True):
    key: str


class _Set(Struct, tag_field="kind", tag="set", frozen=True):
    key: str
    value: str


class _Driver(Struct, tag_field="kind", tag="driver", frozen=True):
    argv: list[str]
    environment: dict[str, str]


class _Orderly(Struct, tag_field="kind", tag="orderly", frozen=True):
    pass


_Report = Done | Failure | _Extend | _Append | _Get | _Set | _Driver | _Orderly
_REPORT: msgspec.json.Decoder[_Report] = msgspec.json.Decoder(_Report)


class _OtherSide(asyncio.BaseProtocol):
    """
    Whoever reads the answers.
    """

    def __init__(self) -> None:
        self._reading = asyncio.Event()
        self._reading.set()

    def pause_writing(self) -> None:
        self._reading.clear()

    def resume_writing(self) -> None:
        self._reading.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._reading.set()

    async def reads(self) -> None:
        """
        Wait until no more than `UNREAD_BYTES` are unread.
        """
        await self._reading.wait()


class Talk:
    """
    One call's conversation.

    Attributes:
        end: the last word, once it was said.
        over: set with it, or when nothing more can come.
        wanted: items that the function asked for.
        extended_at: when its time last began anew, by the loop's clock.
        lent: whether it asked for the driver.
        orderly: whether it says that it leaves that as good as it found it.

    Args:
        kept: where values outlive calls.
        prefix: of the project's own values there.
        lend: gives what `ResidentDriver.lend` does for an argv and an environment; None where there is no driver to lend.
    """

    def __init__(self, kept: KeyValues, prefix: str, lend: Lend | None = None) -> None:
        self.end: Done | Failure | None = None
        self.over = asyncio.Event()
        self.wanted: list[Wanted] = []
        self.extended_at = asyncio.get_running_loop().time()
        self.lent = False
        self.orderly = False
        self._wanted_bytes = 0
        self._kept = kept
        self._prefix = prefix
        self._lend = lend

    async def hold(self, reports: int, answers: int) -> None:
        """
        Listen to *reports* and answer on *answers*, until the other side closes; both descriptors are ours.
        """
        reader = asyncio.StreamReader(limit=LINE_BYTES)
        try:
            hearing, _ = await read_end(reports, lambda: asyncio.StreamReaderProtocol(reader))
        except BaseException:
            os.close(answers)
            raise
        answering, other_side = await write_end(answers, _OtherSide)
        answering.set_write_buffer_limits(high=UNREAD_BYTES)
        try:
            while line := await reader.readline():
                await self._take(line, answering)
                await other_side.reads()
        except ValueError:  # a line over the limit: nothing behind it can be read any more
            sentence = f"A report of the function has more than {LINE_BYTES} bytes."
            self._fail("result-too-large", sentence, "Split the work.")
        finally:
            self.over.set()
            hearing.close()
            answering.close()

    async def _take(self, line: bytes, answering: asyncio.WriteTransport) -> None:
        report = self._read(line)
        if self.end is not None:
            return
        match report:
            case None:
                return
            case Done() | Failure():
                self.end = report
                self.over.set()
            case _Extend():
                self.extended_at = asyncio.get_running_loop().time()
            case _Append():
                self._append(report)
            case _Orderly():
                self.orderly = True
            case _Driver():
                self.lent = True
                lent = await self._lend(report.argv, report.environment) if self._lend else "no"
                answering.write(msgspec.json.encode({"value": lent}) + b"\n")
            case _:
                answering.write(msgspec.json.encode(await self._answer(report)) + b"\n")

    def _read(self, line: bytes) -> _Report | None:
        """
        Read one report. A failure is taken with its text mended; anything else that cannot be kept byte for byte fails the call.
        """
        if nesting.too_deep(line):
            self._fail(
                "no-output", f"What it reported nests more than {nesting.MOST_LEVELS} levels.", "Return flatter values."
            )
            return None
        try:
            return _REPORT.decode(line)
        except msgspec.MsgspecError:
            mended = _HALF.sub(rb"\\ufffd", line)
        try:
            report = _REPORT.decode(mended)
        except msgspec.MsgspecError:
            return None
        if not isinstance(report, Failure):
            self._fail(
                "no-output", "What it reported is no JSON: a text in it has half of a surrogate pair.", "Leave it out."
            )
        return report

    def _append(self, report: _Append) -> None:
        parameters = bytes(report.parameters)
        self._wanted_bytes += len(parameters) + len(report.api) + WANTED_OVERHEAD_BYTES
        if self._wanted_bytes > WANTED_BYTES:
            sentence = f"The items it asked for have more than {WANTED_BYTES} bytes."
            self._fail("result-too-large", sentence, "Split the work.")
        elif not is_item_name(report.api):
            sentence = f"It asked for an item named {report.api[:40]!a}, which cannot be the name of a function."
            self._fail("invalid", sentence, "Give the function's path below `api/`, without extension.")
        else:
            self.wanted.append(Wanted(name=report.api, input=parameters))

    def _fail(self, code: str, sentence: str, instruction: str) -> None:
        self.end = self.end or Failure(code, sentence, instruction=instruction, retryable=False)
        self.over.set()

    async def _answer(self, asked: _Get | _Set) -> dict[str, Any]:
        # Hashed: a key may hold what a path must not.
        path = f"{self._prefix}/{hashlib.sha256(asked.key.encode(errors='surrogatepass')).hexdigest()}.json"
        try:
            if isinstance(asked, _Set):
                value = asked.value.encode()
                if len(value) > VALUE_BYTES:
                    return {"error": f"A kept value has at most {VALUE_BYTES} bytes."}
                msgspec.json.decode(value, type=Raw)
                await self._kept.put(path, value)
                return {}
            found = await self._kept.get(path)
            return {"value": Raw(found) if found is not None else None}
        except HeadraceError as error:
            return {"error": error.reason}
        except (ValueError, RecursionError):
            return {"error": "The value is no JSON."}


def prefix_of(workspace_id: UUID, project: str) -> str:
    """
    Say where the kept values of a project are.
    """
    return f"automation-values/{workspace_id}/{project}"
