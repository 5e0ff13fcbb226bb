"""
The rows in a folder of output, whatever the files' form: Singer messages, Parquet, CSV, JSON lines; other files are one row each.
"""

from __future__ import annotations

import csv
import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

Row = dict[str, Any]

# A script that names its files after the time names them otherwise each time.
_TIME = re.compile(r"[-_]\d{8}T?\d{6}(?=[.-])")


@dataclass(frozen=True, slots=True)
class Table:
    """
    The rows of one stream or file; they can be read more than once.

    Attributes:
        keys: names of the fields that tell rows apart; none when nothing says so.
        schema: what the file itself says of its form.
    """

    name: str
    rows: Callable[[], Iterator[Row]]
    keys: tuple[str, ...] = ()
    schema: Any = None


def tables_of(folder: Path) -> dict[str, Table]:
    """
    Find the tables in the files of a folder, by name: of a stream its own, of a file its path without the time in it.

    A file that is not what its name says is a file like any other.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    names = _names([path.relative_to(folder).as_posix() for path in files])
    found: dict[str, Table] = {}
    for path, name in zip(files, names, strict=True):
        try:
            tables = _READERS.get(path.suffix.lower(), _whole)(path, name)
        except (ValueError, OSError, csv.Error):
            tables = _whole(path, name)
        found |= {table.name: table for table in tables}
    return found


def _names(paths: list[str]) -> list[str]:
    short = [_TIME.sub("", path) for path in paths]
    return [one if short.count(one) == 1 else path for one, path in zip(short, paths, strict=True)]


def _singer(path: Path, name: str) -> list[Table]:
    schemas: dict[str, Any] = {}
    keys: dict[str, tuple[str, ...]] = {}
    for message in _messages(path):
        if message.get("type") == "SCHEMA":
            schemas[message["stream"]] = message.get("schema")
            keys[message["stream"]] = tuple(message.get("key_properties") or ())
        elif message.get("type") == "RECORD":
            schemas.setdefault(message["stream"], None)

    def rows_of(stream: str) -> Callable[[], Iterator[Row]]:
        return lambda: (
            each["record"] for each in _messages(path) if each.get("type") == "RECORD" and each["stream"] == stream
        )

    return [
        Table(stream, rows_of(stream), keys.get(stream, ()), schema) for stream, schema in schemas.items()
    ] or _whole(path, name)


def _messages(path: Path) -> Iterator[Row]:
    with path.open("rb") as lines:
        for line in lines:
            if line.strip():
                yield msgspec.json.decode(line, type=dict[str, Any])


def _parquet(path: Path, name: str) -> list[Table]:
    import pyarrow.parquet as pq  # heavy; most folders have none

    def rows() -> Iterator[Row]:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=10_000):
                yield from batch.to_pylist()

    with pq.ParquetFile(path) as file:
        return [Table(name, rows, schema=str(file.schema_arrow.remove_metadata()))]


def _csv(path: Path, name: str) -> list[Table]:
    csv.field_size_limit(sys.maxsize)

    def rows() -> Iterator[Row]:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as lines:
            for row in csv.DictReader(lines):
                yield {str(field): value for field, value in row.items()}

    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as lines:
        header = next(csv.reader(lines), [])
    return [Table(name, rows, schema=header)]


def _json_lines(path: Path, name: str) -> list[Table]:
    for _ in _messages(path):  # or it is no such file
        pass
    return [Table(name, lambda: _messages(path))]


def _json(path: Path, name: str) -> list[Table]:
    rows = msgspec.json.decode(path.read_bytes(), type=list[dict[str, Any]])
    return [Table(name, lambda: iter(rows))]


def _whole(path: Path, name: str) -> list[Table]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    row = {"file": name, "size_bytes": path.stat().st_size, "sha256": digest}
    return [Table(name, lambda: iter([row]), keys=("file",))]


_READERS: dict[str, Callable[[Path, str], list[Table]]] = {
    ".singer": _singer,
    ".parquet": _parquet,
    ".csv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
}
