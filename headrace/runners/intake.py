"""
Lines of many streams on their way to parts, within one budget of memory.

Lines gather per stream until there are enough for a fast decode (192 KiB), tables until there are enough for a row group. When all streams together hold
more than the budget, the biggest tables are written as they are; if that is not enough, the streams with few lines are put aside on disk.
"""

from __future__ import annotations

import gc
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import pyarrow as pa

from headrace.runners.arrow_columns import arrow_schema, to_array
from headrace.runners.columns import Shape
from headrace.runners.data_errors import TapDataError, ValueMisfitError, excerpt
from headrace.runners.decode import Decoded, RecordDecoder
from headrace.runners.part_formats import ROW_GROUP_BYTES, ROW_GROUP_ROWS
from headrace.runners.part_writer import PartWriter
from headrace.runners.quarantine import Misfit, Quarantine
from headrace.runners.spill import Spill
from headrace.runners.sync_spec import Datetimes, OnMisfit

BLOCK_BYTES = 192 << 10
BUDGET_BYTES = 48 << 20
SPILL_BYTES = 1 << 20
BIG_BLOCK_BYTES = 4 << 20
CODECS = 256
_TEXT_KEPT = 80


class Stream:
    """
    What one stream holds in memory.
    """

    __slots__ = (
        "count",
        "extras",
        "name",
        "pieces",
        "raw_bytes",
        "shape",
        "spans",
        "spill",
        "table_bytes",
        "table_rows",
        "tables",
    )

    def __init__(self, name: str, shape: Shape, spill: Spill) -> None:
        self.name = name
        self.shape = shape
        self.spill = spill
        self.pieces: list[bytes] = []
        self.spans = array("Q")  # first line number and count of each piece
        self.count = 0
        self.raw_bytes = 0
        self.tables: list[pa.Table] = []
        self.table_rows = 0
        self.table_bytes = 0
        self.extras: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class _Codec:
    decoder: RecordDecoder
    schema: pa.Schema


@dataclass(slots=True)
class _Found:
    """
    The misfits of one block, with the row before which each stands.
    """

    misfits: list[tuple[int, Misfit]] = field(default_factory=list)


class LineNumbers:
    """
    Where the lines of a block stood in the input; worked out only when somebody asks.
    """

    def __init__(self, spans: array[int]) -> None:
        self._spans = spans
        self._ends: list[int] = []

    def at(self, index: int) -> int:
        """
        The line number of the block's line *index*.
        """
        ends = self._ends = self._ends or list(accumulate(self._spans[1::2]))
        piece = bisect_right(ends, index)
        before = ends[piece - 1] if piece else 0
        return self._spans[2 * piece] + index - before


class Intake:
    """
    Gathers, decodes and hands over. `counts` are the records by stream, less those that could not be read.
    """

    def __init__(
        self,
        writer: PartWriter,
        quarantine: Quarantine,
        *,
        spill_dir: Path,
        datetimes: Datetimes,
        on_misfit: OnMisfit,
    ) -> None:
        self._writer = writer
        self._quarantine = quarantine
        self._spill_dir = spill_dir
        self._datetimes: Datetimes = datetimes
        self._on_misfit: OnMisfit = on_misfit
        self._held_bytes = 0
        self._streams: dict[str, Stream] = {}
        self._codecs: OrderedDict[str, _Codec] = OrderedDict()
        self._evicted = 0
        self.counts: dict[str, int] = {}

    def open(self, name: str, shape: Shape) -> None:
        """
        Take the SCHEMA of a stream. A changed one starts a new part; the same again changes nothing.
        """
        stream = self._streams.get(name)
        if stream is None:
            self._streams[name] = Stream(name, shape, Spill(self._spill_dir, len(self._streams)))
        elif stream.shape != shape:
            self._flush(stream)
            self._drop_codec(stream)
            stream.shape = shape

    def knows(self, name: str) -> bool:
        return name in self._streams

    def add(self, name: str, lines: bytes, count: int, line: int) -> None:
        """
        Take *count* RECORD lines, without the last newline; the first is line *line* of the input.

        Raises:
            ValueMisfitError: a value fits no rule and the policy is `fail`; the rows before it are kept.
        """
        stream = self._streams[name]
        stream.pieces.append(lines)
        stream.spans.extend((line, count))
        stream.count += count
        stream.raw_bytes += len(lines)
        self._held_bytes += len(lines)
        self.counts[name] = self.counts.get(name, 0) + count
        if stream.raw_bytes >= BLOCK_BYTES:
            self._decode(stream)
        if self._held_bytes > BUDGET_BYTES:
            self._relieve()

    def flush_all(self) -> None:
        """
        Hand everything that is held to the writer.

        Raises:
            TapDataError: the first one of any stream, after all streams were flushed as far as they can be.
        """
        first: TapDataError | None = None
        for stream in self._streams.values():
            try:
                self._flush(stream)
            except TapDataError as error:
                first = first or error
        if first is not None:
            raise first

    @property
    def extra_columns(self) -> dict[str, dict[str, int]]:
        """
        Properties that came without being in the schema, with how often, by stream.
        """
        for name, codec in self._codecs.items():
            self._collect_extras(self._streams[name], codec)
        return {name: dict(stream.extras) for name, stream in self._streams.items() if stream.extras}

    def _flush(self, stream: Stream) -> None:
        try:
            self._decode(stream)
        finally:
            self._hand_over(stream)

    def _hand_over(self, stream: Stream) -> None:
        if not stream.tables:
            return
        table = pa.concat_tables(stream.tables)
        self._held_bytes -= stream.table_bytes
        stream.tables, stream.table_rows, stream.table_bytes = [], 0, 0
        if table.num_rows:
            self._writer.put(stream.name, stream.shape, table)

    def _decode(self, stream: Stream) -> None:
        if stream.spill.bytes:
            lines, spans = stream.spill.take()
            stream.pieces.insert(0, lines)
            stream.spans = spans + stream.spans
            stream.raw_bytes += len(lines)
            self._held_bytes += len(lines)
        if not stream.pieces:
            return
        block = stream.pieces[0] if len(stream.pieces) == 1 else b"\n".join(stream.pieces)
        spans, count = stream.spans, stream.count
        self._held_bytes -= stream.raw_bytes
        stream.pieces, stream.spans, stream.count, stream.raw_bytes = [], array("Q"), 0, 0
        is_big = len(block) >= BIG_BLOCK_BYTES
        table, found = self._table(stream, block, count, spans)
        del block
        self._keep(stream, table)
        del table
        if is_big:  # a line of 20 MB is not decoded while the one before it is being compressed
            self._hand_over(stream)
            self._writer.settle()
        if found.misfits and self._on_misfit == "fail":
            raise _misfit_error(stream.name, found)

    def _table(self, stream: Stream, block: bytes, count: int, spans: array[int]) -> tuple[pa.Table, _Found]:
        codec = self._codec(stream)
        decoded = codec.decoder.decode(block, count)
        found, lines = _Found(), LineNumbers(spans)
        arrays = [
            to_array(
                values,
                column.kind,
                mixed=index in decoded.mixed,
                datetimes=self._datetimes,
                on_misfit=_collector(found, decoded, column.name, lines),
            )
            for index, (column, values) in enumerate(zip(stream.shape.columns, decoded.columns, strict=True))
        ]
        table = pa.Table.from_arrays(arrays, schema=codec.schema)
        self._take_unreadable(stream, decoded, found, lines)
        if found.misfits:
            table = self._take_misfits(stream, table, found)
        return table, found

    def _keep(self, stream: Stream, table: pa.Table) -> None:
        size_bytes = table.nbytes
        stream.tables.append(table)
        stream.table_rows += table.num_rows
        stream.table_bytes += size_bytes
        self._held_bytes += size_bytes
        if stream.table_rows >= ROW_GROUP_ROWS or stream.table_bytes >= ROW_GROUP_BYTES:
            self._hand_over(stream)

    def _take_unreadable(self, stream: Stream, decoded: Decoded, found: _Found, lines: LineNumbers) -> None:
        for number, item in enumerate(decoded.unreadable):
            text = item.text.decode("utf-8", "backslashreplace")
            found.misfits.append((item.index - number, Misfit(lines.at(item.index), None, item.reason, text)))
            self.counts[stream.name] -= 1

    def _take_misfits(self, stream: Stream, table: pa.Table, found: _Found) -> pa.Table:
        found.misfits.sort(key=lambda item: item[1].line)
        if self._on_misfit == "fail":
            first = found.misfits[0][0]
            self.counts[stream.name] -= table.num_rows - first
            self._quarantine.count(stream.name)
            return table.slice(0, first)
        self._quarantine.add(stream.name, [misfit for _, misfit in found.misfits])
        return table

    def _codec(self, stream: Stream) -> _Codec:
        codec = self._codecs.get(stream.name)
        if codec is None:
            if len(self._codecs) >= CODECS:
                self._drop_codec(self._streams[next(iter(self._codecs))])
            schema = arrow_schema(stream.shape.columns, stream.shape.key_properties, self._datetimes)
            codec = self._codecs[stream.name] = _Codec(RecordDecoder(stream.shape), schema)
        self._codecs.move_to_end(stream.name)
        return codec

    def _drop_codec(self, stream: Stream) -> None:
        codec = self._codecs.pop(stream.name, None)
        if codec is None:
            return
        self._collect_extras(stream, codec)
        self._evicted += 1
        if self._evicted % CODECS == 0:
            gc.collect()  # compiled record types are cycles, and the collector is off in this process

    def _collect_extras(self, stream: Stream, codec: _Codec) -> None:
        extras = codec.decoder.extra_columns
        for name, count in extras.items():
            stream.extras[name] = stream.extras.get(name, 0) + count
            extras[name] = 0

    def _relieve(self) -> None:
        enough = BUDGET_BYTES // 2
        for stream in sorted(self._streams.values(), key=lambda stream: -stream.table_bytes):
            if self._held_bytes <= enough or not stream.tables:
                break
            self._hand_over(stream)
        if self._held_bytes > enough:
            self._put_aside(enough)

    def _put_aside(self, enough: int) -> None:
        self._spill_dir.mkdir(parents=True, exist_ok=True)
        for stream in sorted(self._streams.values(), key=lambda stream: -stream.raw_bytes):
            if self._held_bytes <= enough or not stream.pieces:
                return
            if stream.spill.bytes + stream.raw_bytes >= SPILL_BYTES:
                self._flush(stream)
                continue
            stream.spill.append(b"\n".join(stream.pieces), stream.spans)
            self._held_bytes -= stream.raw_bytes
            stream.pieces, stream.spans, stream.raw_bytes = [], array("Q"), 0


def _collector(found: _Found, decoded: Decoded, name: str, lines: LineNumbers) -> Callable[[int, str, str], None]:
    def collect(row: int, text: str, reason: str) -> None:
        index = row if decoded.lines is None else decoded.lines[row]
        found.misfits.append((row, Misfit(lines.at(index), name, reason, text)))

    return collect


def _misfit_error(stream: str, found: _Found) -> ValueMisfitError:
    misfit = found.misfits[0][1]
    where = (
        f"field {misfit.field!r} of stream {stream!r}" if misfit.field is not None else f"a record of stream {stream!r}"
    )
    return ValueMisfitError(
        f"Line {misfit.line} of the tap: {where} is {misfit.reason}.",
        "Mend the tap or its schema, or let the sync go on with on_misfit: quarantine.",
        stream=stream,
        field=misfit.field,
        line=misfit.line,
        excerpt=excerpt(misfit.text.encode("utf-8", "backslashreplace"))[:_TEXT_KEPT],
    )
