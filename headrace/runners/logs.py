"""
What a job's children print: read always, made safe, bounded, and handed on in batches.

The order of work for each pipe: read a piece without blocking; whole lines only; redact; split; number; hand on. A child is never held up for longer
than a pause between two reads, and memory is bounded at each step:

    too much of                  what happens
    one line                     cut at `line_bytes`, with the number of bytes it had
    bytes a second               the rest is dropped until the budget is back, with the number of lines dropped
    bytes of the whole job       the same, to the end
    a sink that does not follow  the same, until it follows

What is dropped is still read, and the last of it is kept aside, so that the end of a flood, where the reason stands, reaches the log.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from headrace.runners.diagnosis import looks_like_an_error
from headrace.runners.line_splitter import LineSplitter
from headrace.runners.redaction import Redactor

log = logging.getLogger(__name__)

READ_BYTES = 1 << 16
PAUSE_SECONDS, SHORT_READ_PAUSE_SECONDS = 0.002, 0.02  # a child that flushes each line must not wake us for each
FLOOD_PAUSE_SECONDS = 0.01
TAIL_LINES, TAIL_ERRORS, TAIL_LINE_CHARACTERS = 200, 50, 4096
SINK_SECONDS, SINK_RETRY_SECONDS = 30.0, (0.1, 0.5, 2.0)  # a batch may come twice then; its numbers tell


@dataclass(frozen=True, slots=True)
class LogLine:
    """
    One line as it is kept: *number* counts the lines of the job from 1, *stream* is such as `tap.stderr`.
    """

    number: int
    at: datetime
    stage: str
    stream: str
    text: str


Sink = Callable[[list[LogLine]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class LogLimits:
    """
    How much a job may say.
    """

    line_characters: int = 1 << 16
    job_bytes: int = 64 << 20
    bytes_per_second: int = 5_000_000
    burst_bytes: int = 20_000_000
    backlog_bytes: int = 8 << 20  # held for a sink that does not follow
    flush_bytes: int = 1 << 18
    flush_seconds: float = 0.5
    kept_aside_bytes: int = 1 << 16  # of what is dropped, for the end of a flood


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
        tail = self._tails.setdefault((stage, stream), Tail())
        for text in texts:
            self._numbered += 1
            line = LogLine(self._numbered, now, stage, stream, text)
            tail.add(line)
            if not self._pending:
                self._loop.call_later(self.limits.flush_seconds, self._wake.set)
            self._pending.append(line)
            self._pending_bytes += len(text)
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
            except Exception:  # the sink is somebody else's, and its trouble must not end the job
                log.exception("the log sink refused %d lines from number %d", len(batch), batch[0].number)
            else:
                return
            if pause_seconds is not None:
                await asyncio.sleep(pause_seconds)
        self.lost_lines += len(batch)


class Tail:
    """
    The end of one stream, in memory, for the diagnosis.
    """

    def __init__(self) -> None:
        self._last: deque[LogLine] = deque(maxlen=TAIL_LINES)
        self._errors: deque[LogLine] = deque(maxlen=TAIL_ERRORS)

    def add(self, line: LogLine) -> None:
        if len(line.text) > TAIL_LINE_CHARACTERS:
            line = replace(line, text=line.text[:TAIL_LINE_CHARACTERS])
        self._last.append(line)
        if looks_like_an_error(line.text):
            self._errors.append(line)

    def lines(self) -> list[LogLine]:
        return [*self._errors, *self._last]


class Budget:
    """
    A bucket of bytes: full at first, refilled evenly. Once it refused, it refuses until a second's worth is in it, so that a flood shows as a
    few long gaps and not as thousands.
    """

    def __init__(self, limits: LogLimits, now: float) -> None:
        self._per_second = limits.bytes_per_second
        self._burst_bytes = self._left_bytes = float(limits.burst_bytes)
        self._at = now

    def take(self, size_bytes: int, now: float, *, refusing: bool) -> bool:
        self._left_bytes = min(self._burst_bytes, self._left_bytes + (now - self._at) * self._per_second)
        self._at = now
        wanted = max(size_bytes, min(self._per_second, self._burst_bytes)) if refusing else size_bytes
        if self._left_bytes < wanted:
            return False
        self._left_bytes -= size_bytes
        return True


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
        self._loop.add_reader(fd, self._read)

    def _read(self) -> None:
        try:
            piece = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:  # EIO: a pseudo-terminal's other side is gone
            piece = b""
        if not piece:
            self.stop()
            return
        self._take(piece)
        self._loop.remove_reader(self._fd)
        short = len(piece) < READ_BYTES
        seconds = FLOOD_PAUSE_SECONDS if self._flood else SHORT_READ_PAUSE_SECONDS if short else PAUSE_SECONDS
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


class Flood:
    """
    What is dropped of one stream, from the first refusal to the next room: counted, and the last of it kept.
    """

    def __init__(self, splitter: LineSplitter, reason: str, kept_aside_bytes: int) -> None:
        self._splitter = splitter
        self._reason = reason
        self._most_bytes = kept_aside_bytes
        self._torn = splitter.cutting  # the first kept line is not whole, so it may begin within a secret
        self._last = b"" if self._torn else splitter.take_rest()
        self._lines = self._lost_bytes = 0

    def add(self, piece: bytes) -> None:
        self._lines += piece.count(b"\n")
        self._last += piece
        if len(self._last) > self._most_bytes:
            self._torn = True
            self._lost_bytes += len(self._last) - self._most_bytes
            self._last = self._last[-self._most_bytes :]

    def end(self) -> list[str]:
        """
        Give a line that says what was dropped, if anything was, and the lines that were kept.
        """
        kept = self._last
        if not self._torn:
            return self._splitter.feed(kept)
        torn, newline, kept = kept.partition(b"\n")
        self._splitter.skip_line(self._lost_bytes + len(torn))
        dropped = self._lines - kept.count(b"\n")
        marker = f"[{dropped:,} lines dropped: {self._reason}]"
        return [marker, *(self._splitter.feed(newline + kept)[1:] if newline else [])]
