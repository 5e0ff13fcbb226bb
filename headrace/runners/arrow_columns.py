"""
From Python values to Arrow columns: the strict way for a whole block, value by value where that fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from headrace.runners.coerce import YEAR_ONE_MICROSECONDS, MisfitError, coerce, text_sent
from headrace.runners.columns import Column, Kind
from headrace.runners.sync_spec import Datetimes

Array: TypeAlias = "pa.Array[Any]"  # generic in its stubs alone
OnMisfit = Callable[[int, str, str], None]
"""Gets the row in the block, the text sent and the reason; the value is null."""

_UTC: pa.DataType = pa.timestamp("us", "UTC")
_NAIVE: pa.DataType = pa.timestamp("us")
_TYPES: dict[Kind, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
    "json": pa.string(),
}
_DATETIMES: dict[Datetimes, pa.DataType] = {"naive_ms": pa.timestamp("ms"), "utc_us": _UTC}


def arrow_type(kind: Kind, datetimes: Datetimes) -> pa.DataType:
    return _DATETIMES[datetimes] if kind == "datetime" else _TYPES[kind]


def arrow_schema(columns: Sequence[Column], keys: Sequence[str], datetimes: Datetimes) -> pa.Schema:
    """
    The Arrow schema of a file; its metadata has `key_properties` as a JSON list, which gluestick's readers use.
    """
    fields = [pa.field(column.name, arrow_type(column.kind, datetimes)) for column in columns]
    return pa.schema(fields, metadata={"key_properties": json.dumps(list(keys))})


def to_array(values: Sequence[Any], kind: Kind, *, mixed: bool, datetimes: Datetimes, on_misfit: OnMisfit) -> Array:
    """
    One column of a block; *mixed* says that some values are `msgspec.Raw`, which only the tolerant way can read.
    """
    if not mixed or kind == "json":
        try:
            return _FAST[kind](values, datetimes)
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            pass  # a value beyond the column's type: each is looked at
    return _tolerant(values, kind, datetimes, on_misfit)


def _tolerant(values: Sequence[Any], kind: Kind, datetimes: Datetimes, on_misfit: OnMisfit) -> Array:
    taken: list[Any] = []
    for row, value in enumerate(values):
        try:
            taken.append(coerce(value, kind))
        except MisfitError as misfit:
            taken.append(None)
            on_misfit(row, text_sent(value), str(misfit))
    if kind == "datetime":
        return _as_datetimes(pa.array(taken, pa.int64()).cast(_UTC), datetimes)
    return pa.array(taken, _TYPES[kind])


def _plain(kind: Kind) -> Callable[[Sequence[Any], Datetimes], Array]:
    data_type = _TYPES[kind]
    return lambda values, _: pa.array(values, data_type)


def _json(values: Sequence[Any], _: Datetimes) -> Array:
    sent = [None if value is None or (text := bytes(value)) == b"null" else text for value in values]
    return pa.array(sent, pa.binary()).cast(pa.string())


def _datetime(values: Sequence[Any], datetimes: Datetimes) -> Array:
    texts: Any = pa.array(values, pa.string())
    try:
        moments = texts.cast(_UTC)
    except pa.ArrowInvalid:
        moments = texts.cast(_NAIVE)  # none has a zone: they are UTC
    first = pc.min(moments.cast(pa.int64())).as_py()
    if first is not None and first < YEAR_ONE_MICROSECONDS:
        raise ValueError("year 0")
    return _as_datetimes(moments, datetimes)


def _as_datetimes(moments: Array, datetimes: Datetimes) -> Array:
    if datetimes == "utc_us":
        return moments.cast(_UTC)
    target = _DATETIMES[datetimes]
    naive: Any = moments.cast(_NAIVE)
    try:
        exact: Array = naive.cast(target)
    except pa.ArrowInvalid:  # finer than a millisecond: cut, also before 1970, where a plain cast would round up
        exact = pc.floor_temporal(naive, unit="millisecond").cast(target)
    return exact


_FAST: dict[Kind, Callable[[Sequence[Any], Datetimes], Array]] = {
    "integer": _plain("integer"),
    "number": _plain("number"),
    "boolean": _plain("boolean"),
    "text": _plain("text"),
    "json": _json,
    "datetime": _datetime,
}
