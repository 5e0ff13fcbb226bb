"""
Blocks of RECORD lines to columns of values: one typed decoder per shape, line by line only where it refuses.

The decoder is compiled from the SCHEMA. What it refuses (a string in an integer column, NaN, a property that the schema does not
name) is found by decoding that block line by line; the lines that fail are taken apart loosely, and their odd values travel
as `msgspec.Raw`, the bytes sent, to the tolerant rules. Two things are learnt, so that dirty data does not stay slow:

- a column that was odd a few times is decoded as `Raw` from then on;
- a property that is not in the schema becomes a hidden column: it is not written, only counted.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from headrace.runners.columns import Kind, Shape
from headrace.runners.loose_json import record_text, record_values

STRIKES = 8
EXTRAS_COUNTED = 64
_TYPED: dict[Kind, Any] = {
    "integer": int | None,
    "number": float | None,
    "boolean": bool | None,
    "datetime": str | None,
    "text": str | None,
    "json": msgspec.Raw,
}
_ONE = {kind: msgspec.json.Decoder(typed).decode for kind, typed in _TYPED.items() if kind != "json"}
# msgspec's errors and UnicodeDecodeError are ValueErrors; RecursionError is what it raises for deep nesting.
_REFUSED = (ValueError, RecursionError)

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """
    A RECORD line that has no record in it, by its index in the block.
    """

    index: int
    text: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """
    A block as columns.

    Args:
        columns: the values of each column of the shape, in its order.
        mixed: indices of columns that hold `msgspec.Raw` beside or instead of typed values.
        lines: for each row the index of its line in the block; None when they are the same.
    """

    columns: Sequence[Sequence[Any]]
    rows: int
    mixed: frozenset[int]
    lines: Sequence[int] | None = None
    unreadable: Sequence[Unreadable] = ()


@dataclass(slots=True)
class _Learnt:
    strikes: dict[int, int] = field(default_factory=dict)
    raw: set[int] = field(default_factory=set)
    extras: dict[str, int] = field(default_factory=dict)
    extras_open: bool = True


class RecordDecoder:
    """
    The decoder of one shape; it learns from what it sees.

    `extra_columns` counts, by name, the properties that the schema does not have; after 64 names the others are ignored uncounted.
    """

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._width = len(shape.columns)
        self._decoder: msgspec.json.Decoder[Any]
        self._row: Callable[[Any], Row]
        self._index = {column.name: index for index, column in enumerate(shape.columns)}
        self._learnt = _Learnt()
        self._build()

    @property
    def extra_columns(self) -> dict[str, int]:
        return self._learnt.extras

    def decode(self, block: bytes, count: int) -> Decoded:
        """
        The columns of *block*, which is *count* RECORD lines separated by newlines.
        """
        try:
            messages = self._decoder.decode_lines(block)
        except _REFUSED:
            return self._by_line(block)
        if len(messages) != count:  # two messages on one line
            return self._by_line(block)
        return self._columns([self._row(message.record) for message in messages], self._raw)

    def _columns(self, rows: list[Row], mixed: frozenset[int]) -> Decoded:
        columns = list(zip(*rows, strict=True)) if rows else [()] * self._width
        for name, values in zip(self._extra_names, columns[self._width :], strict=False):
            self._learnt.extras[name] += len(values) - values.count(None)
        return Decoded(columns[: self._width], len(rows), mixed)

    def _by_line(self, block: bytes) -> Decoded:
        rows: list[Row] = []
        lines: list[int] = []
        unreadable: list[Unreadable] = []
        mixed = set(self._raw)
        for index, line in enumerate(block.split(b"\n")):
            try:
                row = self._row(self._decoder.decode(line).record)
                self._count_extras(row[self._width :])
            except _REFUSED:
                try:
                    row = self._loosely(line, mixed)
                except _REFUSED as error:
                    unreadable.append(Unreadable(index, line, _reason(error)))
                    continue
            rows.append(row[: self._width])
            lines.append(index)
        decoded = self._columns(rows, frozenset(mixed | self._raw))
        return Decoded(decoded.columns, decoded.rows, decoded.mixed, lines, unreadable)

    def _count_extras(self, values: Row) -> None:
        for name, value in zip(self._extra_names, values, strict=False):
            self._learnt.extras[name] += value is not None

    def _loosely(self, line: bytes, mixed: set[int]) -> Row:
        """
        One line that the decoder refused. Learns its odd columns and extra properties.

        Raises:
            ValueError, RecursionError: there is no record in it.
        """
        if self._shape.whole:
            text = record_text(line)
            if text is None:
                raise ValueError("no record in it")
            return (msgspec.Raw(text),)
        values = record_values(line)
        if values is None:
            raise ValueError("its record is no object")
        row = tuple(
            self._one(index, values.get(column.name), mixed) for index, column in enumerate(self._shape.columns)
        )
        self._meet_extras(values)
        return row

    def _one(self, index: int, sent: bytes | None, mixed: set[int]) -> Any:
        if sent is None:
            return None
        kind = self._shape.columns[index].kind
        if kind == "json":
            return msgspec.Raw(sent)
        if index not in self._raw:
            try:
                return _ONE[kind](sent)
            except _REFUSED:
                self._strike(index)
        mixed.add(index)
        return msgspec.Raw(sent)

    def _strike(self, index: int) -> None:
        strikes = self._learnt.strikes
        strikes[index] = strikes.get(index, 0) + 1
        if strikes[index] == STRIKES:
            self._learnt.raw.add(index)
            self._build()

    def _meet_extras(self, values: dict[str, bytes]) -> None:
        learnt = self._learnt
        known = len(learnt.extras)
        for name in values.keys() - self._index.keys():
            if name in learnt.extras or len(learnt.extras) < EXTRAS_COUNTED:
                learnt.extras[name] = learnt.extras.get(name, 0) + 1
            else:
                learnt.extras_open = False
        if len(learnt.extras) != known or not learnt.extras_open:
            self._build()

    def _build(self) -> None:
        self._extra_names = [name for name in self._learnt.extras if _is_plain(name)]
        self._raw = frozenset(self._learnt.raw)
        if self._shape.whole:
            self._decoder, self._row = _message_decoder(msgspec.Raw), lambda record: (record,)
        elif all(_is_plain(name) for name in self._index):
            self._decoder, self._row = self._struct_decoder()
        else:
            self._raw = frozenset(range(self._width))
            self._extra_names = []
            self._decoder, self._row = _message_decoder(dict[str, msgspec.Raw]), self._dict_row

    def _dict_row(self, record: dict[str, msgspec.Raw]) -> Row:
        row = tuple(record.get(name) for name in self._index)
        if len(record) > len(row) - row.count(None):
            for name in record.keys() - self._index.keys():
                self._learnt.extras[name] = self._learnt.extras.get(name, 0) + 1
        return row

    def _struct_decoder(self) -> tuple[msgspec.json.Decoder[Any], Callable[[Any], Row]]:
        typed = [
            msgspec.Raw if index in self._learnt.raw else _TYPED[column.kind]
            for index, column in enumerate(self._shape.columns)
        ]
        names = [*self._index, *self._extra_names]
        fields = [f"f{index}" for index in range(len(names))]
        types = typed + [msgspec.Raw] * len(self._extra_names)
        record = msgspec.defstruct(
            "Record",
            [(name, kind, None) for name, kind in zip(fields, types, strict=True)],
            rename=dict(zip(fields, names, strict=True)),
            # A refusal is how a property that the schema does not name is noticed, at no cost while there is none.
            forbid_unknown_fields=self._learnt.extras_open and len(self._extra_names) == len(self._learnt.extras),
            gc=False,
        )
        get = operator.attrgetter(*fields)
        return _message_decoder(record), get if len(fields) > 1 else lambda record: (get(record),)


def _message_decoder(record: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(msgspec.defstruct("Message", [("record", record)], gc=False))


def _is_plain(name: str) -> bool:
    """
    Whether msgspec can name a field so: no quote, backslash, control character or lone surrogate.
    """
    return '"' not in name and "\\" not in name and name.isprintable()


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else f"no readable record: {error}"
