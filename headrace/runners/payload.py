"""
Records that came with the job itself, as if a tap had sent them.

`{"Contacts": [{...}], "Deals": [{...}]}` becomes one file per key. A column has the narrowest type that holds all its values;
values that no type holds together are kept as text.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from headrace.core.outcome import Failed, Succeeded
from headrace.core.plan import SyncFiles
from headrace.runners.job_root import write_json
from headrace.runners.reports import Reports, close, own_program
from headrace.runners.stage import REPORT_FD, Stage
from headrace.runners.sync_spec import SyncSpec, write_spec


async def write(stage: Stage, payload: Mapping[str, Any], *, files: SyncFiles, timestamp: str) -> Succeeded | Failed:
    """
    Write every list of objects in *payload* to `sync-output/`; the whole of it to `state.json`, where scripts look for it.
    """
    root = stage.root
    write_json(root.state, payload)
    lines = root.work / "payload.singer"
    await asyncio.to_thread(_write_lines, lines, payload)
    spec = SyncSpec(
        output_dir=root.sync_output,
        work_dir=root.work / "payload",
        timestamp=timestamp,
        format=files.format,
        datetimes=files.datetimes,
        on_misfit=files.on_misfit,
        report_fd=REPORT_FD,
    )
    write_spec(spec, root.work / "payload.json")
    reports = Reports(stage)
    report_read, report_write = os.pipe()
    source = os.open(lines, os.O_RDONLY)
    try:
        writer = await stage.start(
            "writer",
            own_program("sync_output", str(root.work / "payload.json")),
            stdin=source,
            pass_fds={REPORT_FD: report_write},
        )
    finally:
        close(source, report_write)
    await reports.listen(report_read)
    ended = await writer.wait()
    output = {"record_count": reports.counts, "bytes": reports.finished.get("bytes", 0)}
    if error := reports.finished.get("error"):
        return Failed(stage.refused(error), fatal=True, output=output)
    if not ended.succeeded:
        return await stage.diagnose([ended])
    return Succeeded(output)


def _write_lines(path: Path, payload: Mapping[str, Any]) -> None:
    with path.open("wb") as file:
        for message in _messages(payload):
            file.write(msgspec.json.encode(message) + b"\n")


def _messages(payload: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for stream, records in payload.items():
        if not isinstance(records, list):
            continue
        objects = [record for record in records if isinstance(record, dict)]
        if not objects:
            continue
        yield {"type": "SCHEMA", "stream": stream, "schema": schema_of(objects), "key_properties": []}
        for record in objects:
            yield {"type": "RECORD", "stream": stream, "record": record}


def schema_of(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """
    Infer the JSON schema that holds all *records*.
    """
    seen: dict[str, set[str]] = {}
    for record in records:
        for name, value in record.items():
            seen.setdefault(name, set()).add(_type_of(value))
    return {
        "type": "object",
        "properties": {name: {"type": ["null", _together(types)]} for name, types in seen.items()},
    }


def _type_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _together(types: set[str]) -> str:
    some = types - {"null"}
    if len(some) == 1:
        return next(iter(some))
    return "number" if some == {"integer", "number"} else "string"
