"""
What stands in for a script when a flow has none: the synced files as they are, or as a Singer stream.

`python -m headrace.runners.pass_through ROOT singer|files` is a child process of the etl step: it reads `sync-output/` and writes
`etl-output/`. For a Singer target every file becomes SCHEMA and RECORD lines in `data.singer`, under the stream's own name and with
the primary keys that the catalog, the tap's SCHEMA or the file's metadata names.

What a column holds is known from the sync itself (its manifest), or else from the catalog; a column of a CSV file that neither knows is
text: types are never guessed from values, or `007` would arrive as 7.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.runners.columns import Kind, kind_of, widened
from headrace.runners.job_root import JobRoot, read_json
from headrace.runners.manifest import StreamParts, read_manifest
from headrace.runners.part_formats import text_tables
from headrace.runners.sync_spec import CsvOptions

_BATCH_ROWS = 10_000
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_ZONE = re.compile(r"(Z|[+-]\d\d:?\d\d)$")
_TYPES: Mapping[Kind, dict[str, Any]] = {
    "integer": {"type": ["null", "integer"]},
    "number": {"type": ["null", "number"]},
    "boolean": {"type": ["null", "boolean"]},
    "datetime": {"type": ["null", "string"], "format": "date-time"},
    "text": {"type": ["null", "string"]},
    "json": {"type": ["null", "object", "array", "string", "number", "boolean"]},
}


@dataclass(frozen=True)
class _Stream:
    """
    What is known of the stream in a file.

    Attributes:
        kinds: of its columns, as the sync wrote them.
        catalog: its entry there.
    """

    name: str
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    catalog: Mapping[str, Any] = field(default_factory=dict)

    def kind(self, column: str) -> Kind:
        """
        Say what a column of a CSV file holds.
        """
        return self.kinds.get(column) or (kind_of(self._property(column)) if self._property(column) else "text")

    def described(self, column: str, kind: Kind) -> dict[str, Any]:
        """
        Describe a column in JSON schema: in the catalog's words, unless the file holds something else.
        """
        given = self._property(column)
        return dict(given) if given and kind_of(given) == kind else dict(_TYPES[kind])

    def primary_keys(self, stored: bytes | None) -> list[str]:
        """
        Name the columns of the primary key; *stored* is the file's own word.
        """
        for entry in self.catalog.get("metadata") or []:
            keys = (entry.get("metadata") or {}).get("table-key-properties")
            if not entry.get("breadcrumb") and keys:
                return list(keys)
        return list(self.catalog.get("key_properties") or self.keys or (json.loads(stored) if stored else ()))

    def _property(self, column: str) -> Mapping[str, Any]:
        found = ((self.catalog.get("schema") or {}).get("properties") or {}).get(column)
        return found if isinstance(found, Mapping) else {}


def main(arguments: list[str]) -> int:
    root, form = JobRoot(Path(arguments[0])), arguments[1]
    files = sorted(path for path in root.sync_output.iterdir() if path.suffix in (".parquet", ".csv"))
    if form == "files":
        for file in files:
            shutil.copy2(file, root.etl_output / file.name)
        return 0
    streams = _known_streams(root)
    with root.singer_output.open("wb") as out:
        for file in files:
            stem = file.stem.rsplit("-", 1)[0]
            _convert(file, streams.get(stem, _Stream(stem)), out)
        state = read_json(root.state) or {}
        out.write(msgspec.json.encode({"type": "STATE", "value": state}) + b"\n")
    return 0


def _known_streams(root: JobRoot) -> dict[str, _Stream]:
    """
    Give what is known of streams, by what stands for them in file names.
    """
    catalog: dict[str, Mapping[str, Any]] = {}
    for entry in (read_json(root.catalog) or {}).get("streams", []):
        catalog |= {str(name): entry for name in (entry.get("tap_stream_id"), entry.get("stream")) if name}
    known = {name: _Stream(str(entry.get("stream", name)), catalog=entry) for name, entry in catalog.items()}
    for folder in (root.work, root.work / "payload"):
        manifest = read_manifest(folder)
        for name, parts in (manifest.streams if manifest else {}).items():
            entry = catalog.get(name, {})
            keys = parts.parts[-1].key_properties if parts.parts else ()
            known[parts.stem or name] = _Stream(str(entry.get("stream", name)), _kinds(parts), keys, entry)
    return known


def _kinds(stream: StreamParts) -> dict[str, Kind]:
    found: dict[str, set[Kind]] = {}
    for part in stream.parts:
        for column in part.columns:
            found.setdefault(column.name, set()).add(column.kind)
    return {name: widened(kinds) for name, kinds in found.items()}


def _convert(file: Path, stream: _Stream, out: IO[bytes]) -> None:
    """
    Write one file as the messages of its stream.
    """
    rows, stored_keys, kinds = _parquet(file, stream) if file.suffix == ".parquet" else _csv(file, stream)
    properties = {name: stream.described(name, kind) for name, kind in kinds.items()}
    message = {
        "type": "SCHEMA",
        "stream": stream.name,
        "schema": {"type": "object", "properties": properties},
        "key_properties": stream.primary_keys(stored_keys),
    }
    encode = msgspec.json.Encoder(enc_hook=str).encode
    out.write(encode(message) + b"\n")
    for row in rows:
        out.write(encode({"type": "RECORD", "stream": stream.name, "record": row}) + b"\n")


def _parquet(file: Path, stream: _Stream) -> tuple[Iterator[dict[str, Any]], bytes | None, dict[str, Kind]]:
    parquet = pq.ParquetFile(file)
    schema = parquet.schema_arrow
    kinds = {each.name: _kind_in_parquet(each, stream) for each in schema}
    shapes = {name: shape for name, kind in kinds.items() if (shape := _IN_PARQUET.get(kind))}
    rows = (row for batch in parquet.iter_batches(batch_size=_BATCH_ROWS) for row in batch.to_pylist())
    return _shaped(rows, shapes), (schema.metadata or {}).get(b"key_properties"), kinds


def _kind_in_parquet(column: pa.Field[Any], stream: _Stream) -> Kind:
    kind = column.type
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "datetime"
    return "json" if pa.types.is_nested(kind) or stream.kind(column.name) == "json" else "text"


def _csv(file: Path, stream: _Stream) -> tuple[Iterator[dict[str, Any]], None, dict[str, Kind]]:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        names = next(csv.reader(lines), [])
    kinds = {name: stream.kind(name) for name in names}
    shapes = {name: shape for name, kind in kinds.items() if (shape := _IN_CSV.get(kind))}
    rows = (row for table in text_tables(file, names, CsvOptions()) for row in table.to_pylist())
    return _shaped(itertools.islice(rows, 1, None), shapes), None, kinds


def _shaped(rows: Iterator[dict[str, Any]], shapes: Mapping[str, Callable[[Any], Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        for name, shape in shapes.items():
            value = row[name]
            if value is not None:
                row[name] = shape(value)
        yield row


def _as_sent(value: Any) -> Any:
    """
    Take the text of a JSON value for the value itself, digit by digit; any other text stays text.
    """
    if not isinstance(value, str):
        return value
    try:
        msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value
    return msgspec.Raw(value.encode())


def _number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return msgspec.Raw(f"{value:f}".encode())
    return _as_sent(value)


def _date_time(value: Any) -> Any:
    """
    Write a moment as RFC 3339 does; one without a zone is UTC, in files of ours.
    """
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        return value
    return value.replace(" ", "T") + ("" if _ZONE.search(value) else "Z")


_IN_PARQUET: Mapping[Kind, Callable[[Any], Any]] = {"json": _as_sent, "datetime": _date_time, "number": _number}
_IN_CSV: Mapping[Kind, Callable[[Any], Any]] = {
    "json": _as_sent,
    "datetime": _date_time,
    "number": _as_sent,
    "integer": _as_sent,
    "boolean": _as_sent,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
