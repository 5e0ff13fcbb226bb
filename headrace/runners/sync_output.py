"""
A Singer stream on standard input becomes one Parquet or CSV file per stream: `python -m headrace.runners.sync_output SPEC.json`.

Left behind in `output_dir`: `{stream}-{timestamp}.{parquet|csv}` for every stream that had a record, and `job_metrics.json`
with `{"recordCount": {stream: n}}`. In `work_dir`: parts and manifest, from which another attempt can go on, and the quarantine; whoever
started the sync removes the folder once the result is recorded.

Reports, one JSON line each on `report_fd`:

| kind | when | facts |
|---|---|---|
| `progress` | at most twice a second, and only if a Singer message came | `counts` of the streams that changed, `bytes`, `quarantined`, `noise` |
| `noise` | the first 20 lines that are no Singer messages | `line`, `excerpt` |
| `checkpoint` | parts and manifest are durable | `state`, which covers nothing that is not in them |
| `finished` | once, last | `counts`, `state`, `schemas_seen`, `quarantined`, `noise`, `truncated_line`, `files`, `error`, `bytes`, `extra_columns`, `other_messages`, `peak_bytes` |

How it ends. Whatever happened, what came before is kept and the finished report says so; a kill -9 leaves the last checkpoint.

| what happened | error | exit |
|---|---|---|
| end of input | none | 0 |
| the last line is cut: the tap died while it wrote | `line-truncated` | 65 |
| a RECORD before its SCHEMA, a SCHEMA or STATE that is none, a BATCH that cannot be read | `record-before-schema`, `schema-invalid`, `state-not-an-object`, `batch-unreadable` | 65 |
| a line, a stream or the files over a limit | `line-too-long`, `record-limit`, `output-limit` | 65 |
| a value fits no rule and the policy is `fail` | `value-misfit` | 65 |
| a fault of this process | `data-plane-internal` | 70 |
| no space, or the disk fails | `disk-full`, `output-failed` | 74 |

At the first error reading stops, so the tap meets a closed pipe; its own exit code is then a consequence.
Lines that are no messages are told and counted and end nothing. ACTIVATE_VERSION needs nothing done, since each sync writes new files; it and unknown types are
counted. `{"type": "STATE", "value": null}` says nothing and is skipped.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from headrace.core.errors import HeadraceError
from headrace.runners.batches import read_batch
from headrace.runners.columns import read_schema
from headrace.runners.data_errors import (
    InternalError,
    LineTruncatedError,
    RecordBeforeSchemaError,
    RecordLimitError,
    StateInvalidError,
    ValueMisfitError,
    describe,
    excerpt,
    exit_code,
)
from headrace.runners.intake import Intake
from headrace.runners.part_writer import output_error
from headrace.runners.pipes import READ_BYTES, PipeReader, grow_pipe
from headrace.runners.quarantine import UNREADABLE, Misfit, Quarantine
from headrace.runners.report import PROGRESS_SECONDS, Changes, NoiseLog, Reporter, peak_bytes
from headrace.runners.scanner import Scanner
from headrace.runners.sync_files import SyncFiles
from headrace.runners.sync_spec import SyncSpec, limit_of, read_spec

METRICS_SECONDS = 1.0
log = logging.getLogger(__name__)


class _StateMessage(msgspec.Struct, gc=False):
    value: msgspec.Raw = msgspec.Raw(b"null")


_decode_state = msgspec.json.Decoder(_StateMessage).decode


class SyncOutput:
    """
    One sync: the sink of the scanner's lines.

    Args:
        now: a monotonic clock in seconds.
    """

    def __init__(self, spec: SyncSpec, reporter: Reporter, *, now: Callable[[], float] = time.monotonic) -> None:
        self._spec = spec
        self._limits = spec.limits
        self._reporter = reporter
        self._now = now
        self._files = SyncFiles(spec)
        self._quarantine = Quarantine(
            spec.work_dir / "quarantine", self._files.names, keep=spec.on_misfit == "quarantine"
        )
        self._writer, kept = self._files.prepare(self._quarantine)
        self._intake = Intake(
            self._writer,
            self._quarantine,
            spill_dir=spec.work_dir / "spill",
            datetimes=spec.datetimes,
            on_misfit=spec.on_misfit,
        )
        self._intake.counts.update(kept)
        self._scanner = Scanner(self, max_line_bytes=self._limits.max_line_bytes)
        self._noise = NoiseLog(reporter)
        self._changes = Changes()
        self._schemas = 0
        self._others: dict[str, int] = {}
        self._dropped: dict[str, int] = {}
        self._state: bytes | None = None  # the last STATE seen, as sent
        self._covered: bytes | None = None  # the last one handed to a checkpoint
        self._covered_bytes = 0
        self._told_messages = 0
        self._told_at = now() - PROGRESS_SECONDS  # the first progress is told at once
        self._measured_at = self._covered_at = now()

    def run(self, fd: int) -> int:
        """
        Read *fd* to its end and say how it went, as the exit code of the process.
        """
        error: HeadraceError | None = None
        truncated: str | None = None
        try:
            truncated = self._read(fd)
        except HeadraceError as caught:
            error = caught
        except Exception as unplanned:
            log.exception("Reading the tap failed")
            error = InternalError.of(unplanned)
        os.close(fd)  # a tap that still writes learns now that nobody reads
        if truncated is not None:
            error = LineTruncatedError(
                f"The last line of the tap (line {self._scanner.lines}) is cut off.",
                "The tap was ended while it wrote: see how it exited. What came before is kept.",
                line=self._scanner.lines,
                excerpt=truncated,
            )
        return self._finish(error, truncated)

    # What the scanner hands over.

    def records(self, stream: str, buffer: bytes, start: int, stop: int, count: int, line: int) -> None:
        if not self._intake.knows(stream):
            raise RecordBeforeSchemaError(
                f"Line {line} of the tap is a RECORD of stream {stream!r}, which had no SCHEMA before.",
                "Have the tap write the SCHEMA of a stream before its first RECORD.",
                stream=stream,
                line=line,
                excerpt=excerpt(buffer[start : start + 200]),
            )
        limit = limit_of(self._limits.max_records, stream)
        if limit is not None and self._intake.counts.get(stream, 0) + count > limit:
            self._take_up_to(limit, stream, buffer[start:stop], count, line)
            return
        self._intake.add(stream, buffer[start:stop], count, line)

    def message(self, kind: str, stream: str, text: bytes, line: int) -> None:
        match kind:
            case "STATE":
                self._take_state(text, line)
            case "SCHEMA":
                name, shape = read_schema(text, line=line, decimals=self._spec.decimals)
                self._schemas += 1
                self._files.names.stem(name)  # claimed here, so that the writer's thread only reads it
                self._intake.open(name, shape)
            case "BATCH":
                self._take_batch(stream, text, line)
            case _:
                self._others[kind] = self._others.get(kind, 0) + 1

    def broken(self, text: bytes, line: int) -> None:
        if self._spec.on_misfit == "fail":
            raise ValueMisfitError(
                f"Line {line} of the tap is a RECORD that is no JSON.",
                "See whether several threads of the tap write at once.",
                line=line,
                excerpt=excerpt(text),
            )
        misfit = Misfit(line, None, "no JSON", text.decode("utf-8", "backslashreplace"))
        self._quarantine.add(UNREADABLE, [misfit])

    def noise(self, text: bytes, line: int) -> None:
        self._noise.add(text, line)

    def _read(self, fd: int) -> str | None:
        """
        The excerpt of the last line if it was cut off.
        """
        grow_pipe(fd)
        reader = PipeReader(
            fd,
            read_bytes=min(READ_BYTES, self._limits.max_line_bytes),
            on_idle=self._on_idle,
            idle_seconds=self._idle_seconds,
        )
        while chunk := reader.read():
            self._scanner.feed(chunk)
            self._writer.check()
            self._tell()
        cut = self._scanner.close()
        return None if cut is None else excerpt(cut)

    def _take_state(self, text: bytes, line: int) -> None:
        try:
            value = bytes(_decode_state(text).value).strip()
        except (ValueError, RecursionError):
            value = b""
        if value == b"null":
            return
        if not value.startswith(b"{"):
            raise StateInvalidError(
                f"The STATE on line {line} of the tap is no object.",
                "Have the tap write its state as an object under value.",
                line=line,
                excerpt=excerpt(text),
            )
        self._state = value
        if self._checkpoint_in() <= 0 or self._scanner.bytes - self._covered_bytes >= self._limits.checkpoint_bytes:
            self._checkpoint()

    def _take_batch(self, stream: str, text: bytes, line: int) -> None:
        if not self._intake.knows(stream):
            self.records(stream, text, 0, len(text), 1, line)
        blocks = read_batch(text, line=line, roots=self._spec.batch_roots, max_line_bytes=self._limits.max_line_bytes)
        for block in blocks:
            self.records(stream, block.lines, 0, len(block.lines), block.count, line)

    def _take_up_to(self, limit: int, stream: str, lines: bytes, count: int, line: int) -> None:
        room = max(limit - self._intake.counts.get(stream, 0), 0)
        if room > 0:
            self._intake.add(stream, b"\n".join(lines.split(b"\n", room)[:room]), room, line)
        if self._limits.drop_beyond:
            self._dropped[stream] = self._dropped.get(stream, 0) + count - room
            return
        raise RecordLimitError(
            f"Stream {stream!r} has more than {limit} records.",
            "Raise max_records, or have the tap stop earlier.",
            stream=stream,
            line=line + room,
        )

    # What is told, and when.

    def _tell(self) -> None:
        now = self._now()
        if now - self._told_at >= PROGRESS_SECONDS:
            self._tell_progress(now)
        if now - self._measured_at >= METRICS_SECONDS:
            self._measured_at = now
            self._files.write_metrics(self._intake.counts)

    def _tell_progress(self, now: float) -> None:
        self._told_at = now
        messages = self._scanner.messages
        if messages == self._told_messages or not self._reporter.is_free():
            return
        self._told_messages = messages
        self._reporter.send(
            "progress",
            counts=self._changes.take(self._intake.counts),
            bytes=self._scanner.bytes,
            quarantined=self._quarantine.counts,
            noise=self._noise.count,
        )

    def _idle_seconds(self) -> float | None:
        """
        How long nothing needs to be done while no bytes come.
        """
        waits = []
        if self._scanner.messages != self._told_messages:
            waits.append(self._told_at + PROGRESS_SECONDS - self._now())
        if self._state != self._covered:
            waits.append(self._checkpoint_in())
        return min(waits) if waits else None

    def _on_idle(self) -> None:
        self._tell()
        if self._state != self._covered and self._checkpoint_in() <= 0:
            self._checkpoint()

    def _checkpoint_in(self) -> float:
        return self._covered_at + self._files.checkpoint_seconds(self._limits.checkpoint_seconds) - self._now()

    def _checkpoint(self) -> None:
        """
        Have the last STATE made durable with all that came before it.
        """
        self._covered_at, self._covered_bytes = self._now(), self._scanner.bytes
        if self._state == self._covered:
            return
        self._intake.flush_all()
        self._hand_over_checkpoint(lambda state: self._reporter.send("checkpoint", state=state))

    def _hand_over_checkpoint(self, on_done: Callable[[msgspec.Raw | None], None]) -> None:
        self._covered = self._state
        self._writer.checkpoint(self._files.commit(self._state, self._quarantine, on_done))

    # The end.

    def _finish(self, error: HeadraceError | None, truncated: str | None) -> int:
        for step in (self._intake.flush_all, self._final_checkpoint, self._writer.finish):
            try:
                step()
            except HeadraceError as caught:
                error = error or caught
            except Exception as unplanned:
                log.exception("Finishing the sync failed")
                error = error or InternalError.of(unplanned)
        files, failed = self._assemble()
        error = error or failed
        counts = {name: count for name, count in self._intake.counts.items() if count}
        self._reporter.send(
            "finished",
            counts=counts,
            state=self._files.durable_state,
            schemas_seen=self._schemas,
            quarantined=self._quarantine.counts,
            noise=self._noise.count,
            truncated_line=truncated,
            files=files,
            error=None if error is None else describe(error),
            bytes=self._scanner.bytes,
            extra_columns=self._intake.extra_columns,
            other_messages=self._others,
            dropped=self._dropped,
            peak_bytes=peak_bytes(),
        )
        return exit_code(error)

    def _final_checkpoint(self) -> None:
        self._hand_over_checkpoint(lambda _: None)

    def _assemble(self) -> tuple[list[dict[str, Any]], HeadraceError | None]:
        try:
            files = self._files.assemble(self._writer.parts)
            self._files.write_metrics(self._intake.counts)
        except OSError as error:
            return [], output_error(error)
        return files, None


def main(arguments: list[str]) -> int:
    spec = read_spec(Path(arguments[0]))
    gc.disable()  # rows make no cycles, and looking for them costs a twentieth of the time
    pa.set_memory_pool(
        pa.system_memory_pool()
    )  # gives memory back at once: 50 MB less at the peak than the default one
    return SyncOutput(spec, Reporter(spec.report_fd)).run(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
