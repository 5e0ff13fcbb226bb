"""
What a job's children print: read always, made safe, bounded, and handed on in batches.

The order of work for each pipe: read a piece without blocking; whole lines only; redact; split; number; hand on. A child is never held up for longer
than a pause between two reads, and memory is bounded at each step:

    too much of                  what happens
    one line                     cut at `line_bytes`, with the number of bytes it had
    bytes a second               the rest is dropped until the budget is back, with the number of lines dropped
    bytes of the whole job       the same, to the end
    a sink that does not follow  the same, until it follows; one whose store is away is waited for, a minute at most

What is dropped is still read, and the last of it is kept aside, so that the end of a flood, where the reason stands, reaches the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from headrace.core.errors import RetriableError
from headrace.runners.diagnosis import looks_like_an_error
from headrace.runners.line_splitter import LineSplitter
from headrace.runners.log_limits import Budget, Flood, LogLimits
from headrace.runners.redaction import Redactor

__all__ = ["JobLog", "LogLimits", "LogLine", "Sink"]

log = logging.getLogger(__name__)

READ_BYTES, FLOOD_READ_BYTES = 1 << 16, 1 << 18  # what is only counted can be read in larger pieces
PAUSE_SECONDS, FLOOD_PAUSE_SECONDS = 0.002, 0.005
SHORT_BYTES, SHORT_PAUSE_SECONDS = 1 << 12, 0.02  # a child that flushes each line must not wake us for each
TAIL_LINES, TAIL_ERRORS, TAIL_LINE_CHARACTERS = 200, 50, 4096
SINK_SECONDS, SINK_RETRY_SECONDS = 30.0, (0.1, 0.5, 2.0)  # a batch may come twice then; its numbers tell
AWAY_SECONDS, LONGEST_PAUSE_SECONDS = 60.0, 1.0


class LogLine(NamedTuple):
    """
    One line as it is kept: `number` counts the lines of the job from 1, `stream` is such as `tap.stderr`.

    A tuple, for one is made for each line, and a frozen dataclass takes three times as long.
    """

    number: int
    at: datetime
    stage: str
    stream: str
    text: str


Sink = Callable[[list[LogLine]], Awaitable[None]]


class JobLog:
    """
    All that one job says, in one order.

    Leaving the `async with` block waits for the pipes' ends and for the sink; by then every child must be gone, for a living one keeps its
    pipe open. `lost_lines` counts what the sink refused.
    """

    def __init__(
        self,
        sink: Sink,
        redactor: Redactor,
        *,
        limits: LogLimits | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        patience_seconds: float = 5.0,
    ) -> None:
        self.limits = limits or LogLimits()
        self.redactor = redactor
        self.lost_lines = 0
        self._sink = sink
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._numbered = 0
        self._kept_bytes = 0
        self.full = False
        self._tails: dict[tuple[str, str], Tail] = {}
        self._drains: set[Drain] = set()
        self._listeners: list[Callable[[Sequence[LogLine]], None]] = []
        self._pending: list[LogLine] = []
        self._pending_bytes = self._in_hand_bytes = 0
        self._wake = asyncio.Event()
        self._closing = False

    async def __aenter__(self) -> JobLog:
        self._loop = asyncio.get_running_loop()
        self._budget = Budget(self.limits, self._loop.time())
        self._flusher = self._loop.create_task(self._hand_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._drain_all()
        finally:
            for drain in list(self._drains):
                drain.stop()
            self._closing = True
            self._wake.set()
            await self._flusher

    async def _drain_all(self) -> None:
        try:
            async with asyncio.timeout(self._patience_seconds):
                for drain in list(self._drains):
                    await drain.over.wait()
        except TimeoutError:
            streams = [drain.stream for drain in self._drains]
            log.warning("pipes of %s are still held open by somebody; the rest of them is not read", streams)

    def drain(self, fd: int, *, stage: str, stream: str) -> Drain:
        """
        Read *fd* to its end and close it; it is ours from here on.
        """
        drain = Drain(self, fd, stage, stream, done=self._drains.discard)
        self._drains.add(drain)
        return drain

    def write(self, text: str, *, stage: str, stream: str = "headrace") -> None:
        """
        Add lines of our own, such as "started tap-x 1.2.3".
        """
        self.add(self.redactor.redact(text).splitlines(), stage, stream)

    def learn(self, redactor: Redactor) -> None:
        """
        Use another redactor from the next piece on; for secrets that came up during the run.
        """
        self.redactor = redactor
        for drain in self._drains:
            drain.splitter.redactor = redactor

    def tail(self, stage: str | None = None) -> list[LogLine]:
        """
        Give the last lines, and the last lines that look like errors, of each stream; in order.
        """
        lines = {
            line.number: line
            for (its_stage, _), tail in self._tails.items()
            if stage in (None, its_stage)
            for line in tail.lines()
        }
        return [lines[number] for number in sorted(lines)]

    @contextlib.contextmanager
    def heard_by(self, listener: Callable[[Sequence[LogLine]], None]) -> Iterator[None]:
        """
        Let somebody hear every line that is kept during the block; it must neither raise nor take long.
        """
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def forget_tail(self, stage: str) -> None:
        """
        Let no later diagnosis of a stage hear what was said so far.
        """
        self._tails = {key: tail for key, tail in self._tails.items() if key[0] != stage}

    def refuse(self, size_bytes: int, *, refusing: bool) -> str | None:
        """
        Say why *size_bytes* more cannot be kept, None if they can; a refusal lasts until there is some room again.
        """
        self.full = self.full or self._kept_bytes + size_bytes > self.limits.job_bytes
        if self.full:
            return f"the job's log is over its limit of {self.limits.job_bytes:,} bytes (log job_bytes)"
        backlog_bytes = self._pending_bytes + self._in_hand_bytes
        if backlog_bytes > self.limits.backlog_bytes // (2 if refusing else 1):
            return "the log store did not follow (log backlog_bytes)"
        if not self._budget.take(size_bytes, self._loop.time(), refusing=refusing):
            return f"more than {self.limits.bytes_per_second:,} bytes a second (log bytes_per_second)"
        self._kept_bytes += size_bytes
        return None

    def add(self, texts: Iterable[str], stage: str, stream: str) -> None:
        """
        Number, remember and hand on lines that are redacted already.
        """
        now = self._clock()
        first = self._numbered + 1
        lines = [LogLine(number, now, stage, stream, text) for number, text in enumerate(texts, first)]
        if not lines:
            return
        self._numbered += len(lines)
        self._tails.setdefault((stage, stream), Tail()).extend(lines)
        for listener in self._listeners:
            listener(lines)
        if not self._pending:
            self._loop.call_later(self.limits.flush_seconds, self._wake.set)
        self._pending += lines
        self._pending_bytes += sum(len(line.text) for line in lines)
        if self._pending_bytes >= self.limits.flush_bytes:
            self._wake.set()

    async def _hand_on(self) -> None:
        while self._pending or not self._closing:
            await self._wake.wait()
            self._wake.clear()
            batch, self._pending = self._pending, []
            self._in_hand_bytes, self._pending_bytes = self._pending_bytes, 0
            if batch:
                await self._deliver(batch)
            self._in_hand_bytes = 0

    async def _deliver(self, batch: list[LogLine]) -> None:
        for pause_seconds in (*SINK_RETRY_SECONDS, None):
            try:
                async with asyncio.timeout(SINK_SECONDS):
                    await self._sink(batch)
            except RetriableError as error:
                log.warning("%d lines of a log wait: %s", len(batch), error.reason)
                if await self._delivered_later(batch):
                    return
                break
            except Exception:  # the sink is somebody else's, and its trouble must not end the job
                log.exception("the log sink refused %d lines from number %d", len(batch), batch[0].number)
            else:
                return
            if pause_seconds is not None:
                await asyncio.sleep(pause_seconds)
        self.lost_lines += len(batch)

    async def _delivered_later(self, batch: list[LogLine]) -> bool:
        """
        Wait for a store that is away, and say whether it came back in time and took the lines.
        """
        pause_seconds, give_up_at = SINK_RETRY_SECONDS[0], self._loop.time() + AWAY_SECONDS
        while self._loop.time() < give_up_at:
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(LONGEST_PAUSE_SECONDS, 2 * pause_seconds)
            try:
                await self._sink(batch)
            except RetriableError:
                continue
            except Exception:  # as above
                log.exception("the log sink refused %d lines from number %d", len(batch), batch[0].number)
                break
            return True
        return False


class Tail:
    """
    The end of one stream, in memory, for the diagnosis.
    """

    def __init__(self) -> None:
        self._last: deque[LogLine] = deque(maxlen=TAIL_LINES)
        self._errors: deque[LogLine] = deque(maxlen=TAIL_ERRORS)

    def extend(self, lines: list[LogLine]) -> None:
        self._last.extend(map(shortened, lines[-TAIL_LINES:]))
        if looks_like_an_error(
            "\n".join(line.text for line in lines)
        ):  # seldom, so the single lines are seldom looked at
            self._errors.extend(shortened(line) for line in lines if looks_like_an_error(line.text))

    def lines(self) -> list[LogLine]:
        return [*self._errors, *self._last]


def shortened(line: LogLine) -> LogLine:
    return line if len(line.text) <= TAIL_LINE_CHARACTERS else line._replace(text=line.text[:TAIL_LINE_CHARACTERS])


class Drain:
    """
    Reads one pipe to its end, whatever happens to what it reads.
    """

    def __init__(self, job_log: JobLog, fd: int, stage: str, stream: str, *, done: Callable[[Drain], None]) -> None:
        self.stream = stream
        self.over = asyncio.Event()
        self.splitter = LineSplitter(job_log.redactor, job_log.limits.line_characters)
        self._job_log = job_log
        self._stage = stage
        self._fd = fd
        self._done = done
        self._flood: Flood | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        os.set_blocking(fd, False)
        with contextlib.suppress(OSError, AttributeError):  # no pipe, over the user's share, or not Linux
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, FLOOD_READ_BYTES)
        self._loop.add_reader(fd, self._read)

    def _read(self) -> None:
        try:
            piece = os.read(self._fd, FLOOD_READ_BYTES if self._flood else READ_BYTES)
        except BlockingIOError:
            return
        except OSError:  # EIO: a pseudo-terminal's other side is gone
            piece = b""
        if not piece:
            self.stop()
            return
        self._take(piece)
        self._loop.remove_reader(self._fd)
        seconds = (
            FLOOD_PAUSE_SECONDS if self._flood else SHORT_PAUSE_SECONDS if len(piece) < SHORT_BYTES else PAUSE_SECONDS
        )
        self._pause = self._loop.call_later(seconds, self._loop.add_reader, self._fd, self._read)

    def _take(self, piece: bytes) -> None:
        reason = self._job_log.refuse(len(piece), refusing=self._flood is not None)
        if reason is None:
            self._end_flood()
            self._add(self.splitter.feed(piece))
            return
        if self._flood is None:
            self._flood = Flood(self.splitter, reason, self._job_log.limits.kept_aside_bytes)
            if self._job_log.full:  # whoever follows the log live should know why it stands still
                self._add([f"[{reason}: from here on only the end is kept]"])
        self._flood.add(piece)

    def _end_flood(self) -> None:
        if self._flood:
            self._add(self._flood.end())
            self._flood = None

    def _add(self, lines: list[str]) -> None:
        if lines:
            self._job_log.add(lines, self._stage, self.stream)

    def stop(self) -> None:
        """
        Close the pipe and add what is still held of it.
        """
        if self.over.is_set():
            return
        if self._pause:
            self._pause.cancel()
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._end_flood()
        self._add(self.splitter.end())
        self.over.set()
        self._done(self)
