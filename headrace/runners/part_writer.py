"""
The second thread: it writes parts while the first one reads and decodes.

Work comes in a short queue, so a slow disk holds the reader up instead of filling memory. A checkpoint is work like any other: when its turn
comes everything handed over before it is in parts; those are closed and fsynced, and only then is the commit called.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from headrace.core.errors import HeadraceError
from headrace.runners.columns import Shape
from headrace.runners.data_errors import DiskFullError, InternalError, OutputError, OutputLimitError
from headrace.runners.manifest import Part, sync_path
from headrace.runners.part_formats import PartFormat, PartSink

QUEUED_BYTES = 24 << 20
OPEN_PARTS = 32
log = logging.getLogger(__name__)
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

Commit = Callable[[Mapping[str, tuple[Part, ...]]], None]


class _WorkQueue:
    """
    Work in order, held back by the bytes it carries: one piece of any size may wait or be under way, more only within the limit.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._work: deque[tuple[Callable[[], None] | None, int]] = deque()
        self._pending: deque[int] = deque()
        self._changed = threading.Condition()

    def put(self, work: Callable[[], None] | None, size_bytes: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._pending or sum(self._pending) + size_bytes <= self._limit_bytes)
            self._work.append((work, size_bytes))
            self._pending.append(size_bytes)
            self._changed.notify_all()

    def get(self) -> Callable[[], None] | None:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._work))
            return self._work.popleft()[0]

    def drain(self) -> None:
        """
        Wait until nothing waits or is under way.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._pending)

    def done(self) -> None:
        """
        The piece that was got last is finished.
        """
        with self._changed:
            self._pending.popleft()
            self._changed.notify_all()


@dataclass(slots=True)
class _OpenPart:
    name: str
    shape: Shape
    sink: PartSink
    rows: int = 0


class PartWriter:
    """
    Rows of many streams into parts.

    A stream's part stays open for more row groups until its shape changes, a checkpoint comes, or more than 32 streams have one.

    Args:
        kept: parts of an earlier attempt that this one goes on from.
    """

    def __init__(
        self,
        folder: Path,
        part_format: PartFormat,
        *,
        kept: Mapping[str, tuple[Part, ...]],
        max_output_bytes: int | None = None,
    ) -> None:
        self._folder = folder
        self._format = part_format
        self._max_output_bytes = max_output_bytes
        self._parts: dict[str, list[Part]] = {stream: list(parts) for stream, parts in kept.items()}
        self._bytes = sum(part.bytes for parts in kept.values() for part in parts)
        self._number = max((int(part.name.split(".")[0]) for parts in kept.values() for part in parts), default=0)
        self._open: OrderedDict[str, _OpenPart] = OrderedDict()
        self._unsynced: list[str] = []
        self._queue = _WorkQueue(QUEUED_BYTES)
        self._error: HeadraceError | None = None
        self._thread = threading.Thread(target=self._run, name="part-writer", daemon=True)
        self._thread.start()

    @property
    def parts(self) -> dict[str, tuple[Part, ...]]:
        """
        All closed parts by stream; complete after `finish`.
        """
        return {stream: tuple(parts) for stream, parts in self._parts.items() if parts}

    def put(self, stream: str, shape: Shape, table: pa.Table) -> None:
        """
        Hand over rows of *stream*; waits while the queue is full.

        Raises:
            DiskFullError, OutputLimitError, OutputError: earlier rows could not be written.
        """
        self._hand_over(lambda: self._write(stream, shape, table), table.nbytes)

    def checkpoint(self, commit: Commit) -> None:
        """
        Have *commit* called, on the writer's thread, once all rows handed over so far are durable. Raises as `put`.
        """
        self._hand_over(lambda: self._commit(commit), 0)

    def settle(self) -> None:
        """
        Wait until all that was handed over is written. Raises as `put`.
        """
        self._queue.drain()
        self.check()

    def finish(self) -> None:
        """
        Wait until everything is written and the thread has ended. Raises as `put`.
        """
        if self._thread.is_alive():
            self._queue.put(None, 0)
            self._thread.join()
        self.check()

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def _hand_over(self, work: Callable[[], None], size_bytes: int) -> None:
        self.check()
        self._queue.put(work, size_bytes)

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            if self._error is None:
                self._error = self._attempt(work)
            del work  # and with it the rows, before the next ones are asked for
            self._queue.done()
        closing = self._attempt(self._close_all)
        self._error = self._error or closing

    def _attempt(self, work: Callable[[], None]) -> HeadraceError | None:
        try:
            work()
        except OSError as error:
            return output_error(error)
        except pa.ArrowException as error:
            return OutputError(f"A part could not be written: {error}.", "Look at the file system of the work folder.")
        except HeadraceError as error:
            return error
        except Exception as error:
            log.exception("The writer failed")
            return InternalError.of(error)
        return None

    def _write(self, stream: str, shape: Shape, table: pa.Table) -> None:
        part = self._open.get(stream)
        if part is not None and part.shape != shape:
            self._close(stream)
            part = None
        if part is None:
            part = self._start(stream, shape, table.schema)
        try:
            part.sink.write(table)
        except BaseException:
            self._discard(stream)
            raise
        part.rows += table.num_rows
        self._open.move_to_end(stream)
        self._check_limit()

    def _start(self, stream: str, shape: Shape, schema: pa.Schema) -> _OpenPart:
        while len(self._open) >= OPEN_PARTS:
            self._close(next(iter(self._open)))
        self._number += 1
        name = f"{self._number:06d}.{self._format.extension}"
        part = _OpenPart(name, shape, self._format.open_part(self._folder / name, schema))
        self._open[stream] = part
        return part

    def _close(self, stream: str) -> None:
        part = self._open[stream]
        try:
            part.sink.close()
        except BaseException:
            self._discard(stream)
            raise
        del self._open[stream]
        size_bytes = (self._folder / part.name).stat().st_size
        self._bytes += size_bytes
        done = Part(part.name, part.rows, size_bytes, part.shape.columns, part.shape.key_properties)
        self._parts.setdefault(stream, []).append(done)
        self._unsynced.append(part.name)

    def _discard(self, stream: str) -> None:
        """
        Give up a part that could not be written; what it held since the last checkpoint is not covered by any state.
        """
        part = self._open.pop(stream)
        with contextlib.suppress(OSError, pa.ArrowException):
            part.sink.close()
        (self._folder / part.name).unlink(missing_ok=True)

    def _close_all(self) -> None:
        for stream in list(self._open):
            self._close(stream)

    def _commit(self, commit: Commit) -> None:
        self._close_all()
        for name in self._unsynced:
            sync_path(self._folder / name)
        self._unsynced.clear()
        sync_path(self._folder)
        commit(self.parts)

    def _check_limit(self) -> None:
        if self._max_output_bytes is None:
            return
        open_bytes = sum((self._folder / part.name).stat().st_size for part in self._open.values())
        if self._bytes + open_bytes > self._max_output_bytes:
            raise OutputLimitError(
                f"The files of this sync are larger than {self._max_output_bytes} bytes.",
                "Raise max_output_bytes, or select fewer streams or a later start date.",
            )


def output_error(error: OSError) -> HeadraceError:
    if error.errno in _NO_SPACE:
        return DiskFullError(
            "No space is left for the files of this sync.", "Free space or raise the quota, then run it again."
        )
    return OutputError(
        f"A part could not be written: {os.strerror(error.errno or 0)}.", "Look at the file system of the work folder."
    )
