"""
A streaming job's pipe: tap -> relay -> target, counted on the way: `python -m headrace.runners.relay SPEC.json`.

Bytes are forwarded first and looked at second, so latency is the pipe's. Who ended first, what follows, who is to blame:

| ended first | what the relay does | `finished` says | exit | to blame |
|---|---|---|---|---|
| tap, exit 0 | forwards the rest, waits until it is read, closes the target's input | `target_closed: false`, no error | 0 | nobody; the job's end is the target's exit |
| tap, exit not 0 or killed | the same; the target keeps what it got | the same, `truncated_line` if it was cut in a line | 0, 65 if cut | the tap |
| target, exit not 0 | meets a closed pipe, closes the tap's, which gets SIGPIPE | `target_closed: true` | 0 | the target: the tap's BrokenPipeError is a consequence |
| target, exit 0 before the end of input | the same | `target_closed: true` | 0 | the target: it left early, so the job is no success |
| target hangs | waits, at a constant size of memory; no progress is reported | | | whoever the no-progress limit names |
| tap hangs, or prints only noise | waits; noise is no progress | | | the same |
| tap: a line over `max_line_bytes` | closes both sides | error `line-too-long` | 65 | the tap |
| tap: more records than `max_records` | closes both sides | error `record-limit` | 65 | the limit |
| worker | ended with its descendants by the shim | | | |
| relay, killed | both sides meet a closed pipe | none | | the relay |

The relay alone cannot tell rows two and three of the first column from one; the worker does, by the exit codes. A limit is noticed just after the bytes were
forwarded, so the target may get up to one read (256 KiB) beyond it. The state to keep is the one the *target* prints; `state` here is the tap's last, for the record.
Lines that are no messages are forwarded like all others (a target may know more than we do), told and counted.

Reports are those of `sync_output`, without checkpoints: `progress` (`counts`, `bytes`, `noise`), `noise`, and one last `finished` with `counts`, `state`, `schemas_seen`,
`noise`, `broken`, `truncated_line`, `bytes`, `target_closed`, `other_messages`, `error`.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from headrace.core.errors import HeadraceError
from headrace.runners.data_errors import (
    InputError,
    LineTruncatedError,
    RecordLimitError,
    TapDataError,
    describe,
    excerpt,
    exit_code,
)
from headrace.runners.pipes import PAUSE_SECONDS, READ_BYTES, PipeReader, drained, grow_pipe, write_all
from headrace.runners.report import PROGRESS_SECONDS, Changes, NoiseLog, Reporter
from headrace.runners.scanner import Scanner
from headrace.runners.sync_spec import MaxRecords, limit_of


@dataclass(frozen=True, slots=True)
class RelaySpec:
    """
    One streaming job's pipe.

    Args:
        tap_fd: the reading end of the tap's standard output.
        target_fd: the writing end of the target's standard input.
        report_fd: an open pipe to the worker; None reports nothing.
        max_line_bytes: a longer line ends the job.
        max_records: records a stream may have, for every stream or by stream.
        pause_seconds: how long to wait after a short read for more, which saves all three processes a wake-up per line.
    """

    tap_fd: int = 0
    target_fd: int = 1
    report_fd: int | None = None
    max_line_bytes: int = 64 << 20
    max_records: MaxRecords = None
    pause_seconds: float = PAUSE_SECONDS


def read_relay_spec(path: Path) -> RelaySpec:
    """
    Raises:
        msgspec.ValidationError: the file is no RelaySpec.
    """
    return msgspec.json.decode(path.read_bytes(), type=RelaySpec)


class Relay:
    """
    One pipe, and the sink of the scanner that looks at what went through it.

    Args:
        now: a monotonic clock in seconds.
    """

    def __init__(self, spec: RelaySpec, reporter: Reporter, *, now: Callable[[], float] = time.monotonic) -> None:
        self._spec = spec
        self._reporter = reporter
        self._now = now
        self._scanner = Scanner(self, max_line_bytes=spec.max_line_bytes)
        self._noise = NoiseLog(reporter)
        self._changes = Changes()
        self._state: bytes | None = None  # the STATE line, as sent; read once, at the end
        self._broken = 0
        self._others: dict[str, int] = {}
        self._target_closed = False
        self._told_messages = 0
        self._told_at = now() - PROGRESS_SECONDS  # the first progress is told at once

    def run(self) -> int:
        """
        Forward until one side ends, and say how it went, as the exit code of the process.
        """
        error: HeadraceError | None = None
        cut: bytes | None = None
        try:
            self._forward()
            cut = None if self._target_closed else self._scanner.close()
        except (TapDataError, InputError) as caught:
            error = caught
        os.close(self._spec.tap_fd)
        if not self._target_closed:
            os.close(self._spec.target_fd)
        if cut is not None:
            error = self._cut_error(cut)
        self._tell_end(error, None if cut is None else excerpt(cut))
        return exit_code(error)

    # What the scanner hands over.

    def records(self, stream: str, buffer: bytes, start: int, stop: int, count: int, line: int) -> None:
        if self._spec.max_records is None:
            return
        limit = limit_of(self._spec.max_records, stream)
        if limit is not None and self._scanner.counts[stream] > limit:
            raise RecordLimitError(
                f"Stream {stream!r} has more than {limit} records.",
                "Raise max_records, or have the tap stop earlier.",
                stream=stream,
                line=line,
            )

    def message(self, kind: str, stream: str, text: bytes, line: int) -> None:
        if kind == "STATE":
            self._state = text
        else:
            self._others[kind] = self._others.get(kind, 0) + 1

    def broken(self, text: bytes, line: int) -> None:
        self._broken += 1
        self._noise.add(text, line)

    def noise(self, text: bytes, line: int) -> None:
        self._noise.add(text, line)

    def _forward(self) -> None:
        tap, target = self._spec.tap_fd, self._spec.target_fd
        grow_pipe(tap)
        grow_pipe(target)
        reader = PipeReader(
            tap,
            read_bytes=min(READ_BYTES, self._spec.max_line_bytes),
            pause_seconds=self._spec.pause_seconds,
            on_idle=self._tell,
            idle_seconds=self._idle_seconds,
            peer_fd=target,
        )
        while chunk := _read(reader):
            if not write_all(target, chunk):
                self._leave_target()
                return
            self._scanner.feed(chunk)
            self._tell()
        if reader.peer_closed or not drained(target):
            self._leave_target()

    def _leave_target(self) -> None:
        self._target_closed = True
        os.close(self._spec.target_fd)

    def _idle_seconds(self) -> float | None:
        if self._scanner.messages == self._told_messages:
            return None
        return self._told_at + PROGRESS_SECONDS - self._now()

    def _tell(self) -> None:
        now = self._now()
        if now - self._told_at < PROGRESS_SECONDS:
            return
        self._told_at = now
        messages = self._scanner.messages
        if messages == self._told_messages or not self._reporter.is_free():
            return
        self._told_messages = messages
        counts = self._changes.take(self._scanner.counts)
        self._reporter.send("progress", counts=counts, bytes=self._scanner.bytes, noise=self._noise.count)

    def _tell_end(self, error: HeadraceError | None, truncated: str | None) -> None:
        self._reporter.send(
            "finished",
            counts=self._scanner.counts,
            state=_value_of(self._state),
            schemas_seen=self._others.get("SCHEMA", 0),
            noise=self._noise.count,
            broken=self._broken,
            truncated_line=truncated,
            bytes=self._scanner.bytes,
            target_closed=self._target_closed,
            other_messages={kind: count for kind, count in self._others.items() if kind != "SCHEMA"},
            error=None if error is None else describe(error),
        )

    def _cut_error(self, cut: bytes) -> LineTruncatedError:
        return LineTruncatedError(
            f"The last line of the tap (line {self._scanner.lines}) is cut off.",
            "The tap was ended while it wrote: see how it exited. The target got what came before, and the cut line.",
            line=self._scanner.lines,
            excerpt=excerpt(cut),
        )


def _read(reader: PipeReader) -> bytes:
    try:
        return reader.read()
    except OSError as error:
        raise InputError(
            f"The tap's output could not be read: {os.strerror(error.errno or errno.EIO)}.", "Run the job again."
        ) from error


class _StateMessage(msgspec.Struct):
    value: msgspec.Raw


def _value_of(state: bytes | None) -> msgspec.Raw | None:
    """
    The value of a STATE line; None where it is none.
    """
    if state is None:
        return None
    try:
        return msgspec.json.decode(state, type=_StateMessage).value
    except (ValueError, RecursionError):
        return None


def main(arguments: list[str]) -> int:
    spec = read_relay_spec(Path(arguments[0]))
    gc.disable()
    return Relay(spec, Reporter(spec.report_fd)).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
