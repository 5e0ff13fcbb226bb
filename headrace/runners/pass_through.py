"""
What stands in for a script when a flow has none: the synced files as they are, or as a Singer stream.

`python -m headrace.runners.pass_through ROOT singer|files` is a child process of the etl step: it reads `sync-output/` and writes
`etl-output/`. For a Singer target every file becomes SCHEMA and RECORD lines in `data.singer`, with the primary keys that the
file's metadata or `catalog.json` names; the schema of the catalog where there is one, that of the columns otherwise.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from headrace.runners.job_root import JobRoot, read_json

_BATCH_ROWS = 10_000


def main(arguments: list[str]) -> int:
    root, form = JobRoot(Path(arguments[0])), arguments[1]
    files = sorted(path for path in root.sync_output.iterdir() if path.suffix in (".parquet", ".csv"))
    if form == "files":
        for file in files:
            shutil.copy2(file, root.etl_output / file.name)
        return 0
    schemas = _catalog_streams(root)
    with root.singer_output.open("wb") as out:
        for file in files:
            _convert(file, schemas, out)
        state = read_json(root.state) or {}
        out.write(msgspec.json.encode({"type": "STATE", "value": state}) + b"\n")
    return 0


def _convert(file: Path, schemas: dict[str, dict[str, Any]], out: IO[bytes]) -> None:
    stream = file.stem.rsplit("-", 1)[0]
    batches, schema = _read(file)
    known = schemas.get(stream, {})
    message = {
        "type": "SCHEMA",
        "stream": known.get("stream", stream),
        "schema": {"type": "object", "properties": {field.name: _json_type(field) for field in schema}},
        "key_properties": _keys(schema, known),
    }
    out.write(msgspec.json.encode(message) + b"\n")
    nested = [field.name for field in schema if _is_nested(known, field.name)]
    for batch in batches:
        for record in batch.to_pylist():
            for name in nested:
                if isinstance(record.get(name), str):
                    record[name] = msgspec.Raw(record[name].encode())
            line = {"type": "RECORD", "stream": message["stream"], "record": record}
            out.write(msgspec.json.encode(line, enc_hook=str) + b"\n")


def _read(file: Path) -> tuple[Iterator[pa.RecordBatch], pa.Schema]:
    if file.suffix == ".parquet":
        parquet = pq.ParquetFile(file)
        return parquet.iter_batches(batch_size=_BATCH_ROWS), parquet.schema_arrow
    reader = pyarrow.csv.open_csv(file)
    return iter(reader), reader.schema


def _catalog_streams(root: JobRoot) -> dict[str, dict[str, Any]]:
    catalog = read_json(root.catalog) or {}
    return {
        str(name): stream
        for stream in catalog.get("streams", [])
        for name in (stream.get("tap_stream_id"), stream.get("stream"))
        if name
    }


def _keys(schema: pa.Schema, known: dict[str, Any]) -> list[str]:
    for entry in known.get("metadata") or []:
        keys = (entry.get("metadata") or {}).get("table-key-properties")
        if not entry.get("breadcrumb") and keys:
            return list(keys)
    if known.get("key_properties"):
        return list(known["key_properties"])
    stored = (schema.metadata or {}).get(b"key_properties")
    return list(json.loads(stored)) if stored else []


def _is_nested(known: dict[str, Any], name: str) -> bool:
    types = ((known.get("schema") or {}).get("properties") or {}).get(name, {}).get("type", [])
    return bool({"object", "array"} & set([types] if isinstance(types, str) else types))


def _json_type(field: pa.Field[Any]) -> dict[str, Any]:
    kind = field.type
    if pa.types.is_boolean(kind):
        return {"type": ["null", "boolean"]}
    if pa.types.is_integer(kind):
        return {"type": ["null", "integer"]}
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return {"type": ["null", "number"]}
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return {"type": ["null", "string"], "format": "date-time"}
    return {"type": ["null", "string"]}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
