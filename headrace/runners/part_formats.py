"""
How the rows of a stream are written: the two formats, each as parts while the tap runs and as one file at the end.

Parquet parts are Parquet files (zstd level 1, which costs no more than none and halves the size). CSV parts have no header, so that parts of one
shape become the file by copying bytes. Parts of several shapes, after a SCHEMA changed in mid-stream, are unified: the columns in the order they first came,
missing ones null, and a column whose kind changed is widened (integer and number to number where no integer loses a digit; anything else to text).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from headrace.runners.arrow_columns import arrow_schema
from headrace.runners.columns import Column, Kind, widened
from headrace.runners.manifest import Part, sync_path
from headrace.runners.sync_spec import CsvOptions, Datetimes

ROW_GROUP_ROWS = 100_000
ROW_GROUP_BYTES = 16 << 20
_EXACT_FLOAT = 1 << 53


class PartSink(Protocol):
    """
    One part that is being written.
    """

    def write(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


class PartFormat(Protocol):
    """
    One file format.
    """

    extension: str

    def open_part(self, path: Path, schema: pa.Schema) -> PartSink: ...

    def assemble(self, folder: Path, parts: Sequence[Part], path: Path) -> None:
        """
        Make the one file at *path* out of *parts*, durably; the parts stay.
        """


class ParquetFormat:
    extension = "parquet"

    def __init__(self, datetimes: Datetimes) -> None:
        self._datetimes: Datetimes = datetimes

    def open_part(self, path: Path, schema: pa.Schema) -> PartSink:
        return _ParquetSink(path, schema)

    def assemble(self, folder: Path, parts: Sequence[Part], path: Path) -> None:
        if len(parts) == 1:
            link_or_copy(folder / parts[0].name, path)
            return
        columns = unified_columns(parts, lambda name: _exact_in_float(folder, parts, name))
        schema = arrow_schema(columns, parts[-1].key_properties, self._datetimes)
        sink = _ParquetSink(path, schema)
        try:
            for table in _regrouped(self._tables(folder, parts, schema)):
                sink.write(table)
        finally:
            sink.close()
        sync_path(path)

    def _tables(self, folder: Path, parts: Sequence[Part], schema: pa.Schema) -> Iterator[pa.Table]:
        for part in parts:
            with pq.ParquetFile(folder / part.name) as file:
                for group in range(file.num_row_groups):
                    yield conform(file.read_row_group(group, use_threads=False), schema)


class _ParquetSink:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        # Statistics copy the smallest and the largest value of a page several times over: 100 MB for strings of 20 MB.
        measured = [field.name for field in schema if not pa.types.is_string(field.type)]
        self._writer = pq.ParquetWriter(
            path, schema, compression="zstd", compression_level=1, write_statistics=measured or False
        )

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table, row_group_size=1 << 20)

    def close(self) -> None:
        self._writer.close()


class CsvFormat:
    extension = "csv"

    def __init__(self, datetimes: Datetimes, options: CsvOptions) -> None:
        self._datetimes: Datetimes = datetimes
        self._options = options

    def open_part(self, path: Path, schema: pa.Schema) -> PartSink:
        if self._options.quotechar == '"':
            return _ArrowCsvSink(path, schema, self._options)
        return _PythonCsvSink(path, self._options)

    def assemble(self, folder: Path, parts: Sequence[Part], path: Path) -> None:
        columns = unified_columns(parts, lambda _: True)  # every value is text here already
        with path.open("wb") as file:
            file.write(self._header(columns))
            for part in parts:
                self._append(folder / part.name, part, columns, file)
            file.flush()
            os.fsync(file.fileno())

    def _header(self, columns: Sequence[Column]) -> bytes:
        quote, delimiter = self._options.quotechar, self._options.delimiter
        names = (quote + column.name.replace(quote, quote * 2) + quote for column in columns)
        return (delimiter.join(names) + "\n").encode("utf-8", "replace")

    def _append(self, source: Path, part: Part, columns: Sequence[Column], file: BinaryIO) -> None:
        if [column.name for column in part.columns] == [column.name for column in columns]:
            with source.open("rb") as rows:
                shutil.copyfileobj(rows, file, 1 << 20)
            return
        names = [column.name for column in part.columns]
        schema = pa.schema([pa.field(column.name, pa.string()) for column in columns])
        write = _write_csv if self._options.quotechar == '"' else _python_csv
        for texts in text_tables(source, names, self._options):
            write(conform(texts, schema), file, self._options)


class _ArrowCsvSink:
    def __init__(self, path: Path, schema: pa.Schema, options: CsvOptions) -> None:
        self._writer = pa_csv.CSVWriter(path, schema, write_options=_arrow_csv_options(options))

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def close(self) -> None:
        self._writer.close()


class _PythonCsvSink:
    """
    For a quote character of one's own, which Arrow's writer does not have.
    """

    def __init__(self, path: Path, options: CsvOptions) -> None:
        self._file = path.open("wb")
        self._options = options

    def write(self, table: pa.Table) -> None:
        texts = pa.table([column.cast(pa.string()) for column in table.columns], names=table.column_names)
        _python_csv(texts, self._file, self._options)

    def close(self) -> None:
        self._file.close()


def _arrow_csv_options(options: CsvOptions) -> pa_csv.WriteOptions:
    return pa_csv.WriteOptions(include_header=False, delimiter=options.delimiter, quoting_style="needed")


def _write_csv(table: pa.Table, file: BinaryIO, options: CsvOptions) -> None:
    pa_csv.write_csv(table, file, _arrow_csv_options(options))


def _python_csv(table: pa.Table, file: BinaryIO, options: CsvOptions) -> None:
    quote, delimiter = options.quotechar, options.delimiter
    for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
        fields = ("" if text is None else quote + text.replace(quote, quote * 2) + quote for text in row)
        file.write((delimiter.join(fields) + "\n").encode())


def text_tables(source: Path, names: Sequence[str], options: CsvOptions) -> Iterator[pa.Table]:
    """
    The rows of a CSV file as text, with null apart from the empty string; a header is a row like any other.
    """
    if source.stat().st_size == 0:
        return
    reader = pa_csv.open_csv(
        source,
        read_options=pa_csv.ReadOptions(column_names=list(names), use_threads=False, block_size=_block_bytes(source)),
        parse_options=pa_csv.ParseOptions(
            delimiter=options.delimiter, quote_char=options.quotechar, newlines_in_values=True, ignore_empty_lines=False
        ),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in names},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    for batch in reader:
        yield pa.Table.from_batches([batch])


def _block_bytes(source: Path) -> int:
    """
    A block has to hold the longest row, and no row is longer than its file.
    """
    return min(max(source.stat().st_size, 1 << 20), 64 << 20)


def unified_columns(parts: Sequence[Part], exact_in_float: Callable[[str], bool]) -> tuple[Column, ...]:
    """
    The columns of the one file: all that any part has, in the order they first came, each of a kind that holds all.
    """
    kinds: dict[str, set[Kind]] = {}
    for part in parts:
        for column in part.columns:
            kinds.setdefault(column.name, set()).add(column.kind)
    return tuple(Column(name, _unified(name, found, exact_in_float)) for name, found in kinds.items())


def _unified(name: str, kinds: set[Kind], exact_in_float: Callable[[str], bool]) -> Kind:
    kind = widened(kinds)
    if kind == "number" and "integer" in kinds and not exact_in_float(name):
        return "text"
    return kind


def _exact_in_float(folder: Path, parts: Sequence[Part], name: str) -> bool:
    """
    Whether every integer of column *name* is one that float64 holds exactly, by the statistics in the Parquet files.
    """
    for part in parts:
        if Column(name, "integer") not in part.columns:
            continue
        with pq.ParquetFile(folder / part.name) as file:
            at = file.schema_arrow.names.index(name)
            for group in range(file.num_row_groups):
                statistics = file.metadata.row_group(group).column(at).statistics
                bounds: tuple[Any, Any] = (statistics.min, statistics.max) if statistics else (None, None)
                if any(bound is not None and abs(bound) > _EXACT_FLOAT for bound in bounds):
                    return False
    return True


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """
    *table* with the columns of *schema*: missing ones null, others cast; a timestamp as text is ISO 8601.
    """
    names = set(table.column_names)
    columns = [
        _cast(table[field.name], field.type) if field.name in names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _cast(column: Any, data_type: pa.DataType) -> Any:
    if pa.types.is_timestamp(column.type) and pa.types.is_string(data_type):
        zone = "Z" if column.type.tz else ""
        return pc.strftime(column, format=f"%Y-%m-%dT%H:%M:%S{zone}")
    return column.cast(data_type)


def _regrouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """
    Small row groups joined to proper ones.
    """
    held: list[pa.Table] = []
    rows = size_bytes = 0
    for table in tables:
        held.append(table)
        rows += table.num_rows
        size_bytes += table.nbytes
        if rows >= ROW_GROUP_ROWS or size_bytes >= ROW_GROUP_BYTES:
            yield pa.concat_tables(held)
            held, rows, size_bytes = [], 0, 0
    if held:
        yield pa.concat_tables(held)


def link_or_copy(source: Path, target: Path) -> None:
    """
    *source* also at *target*, without copying where the file system allows it.
    """
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
        sync_path(target)
