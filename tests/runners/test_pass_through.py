"""
A flow without a script: what was synced reaches a Singer target as it was sent.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hotglue_rows import row
from singer_kit import ARRAY, BOOLEAN, DATETIME, INTEGER, NUMBER, OBJECT, TEXT, record, schema, sync

from headrace.runners.job_root import JobRoot
from headrace.runners.pass_through import main

SENT: list[dict[str, Any]] = [
    {"id": 1, "code": "007", "score": 1.5, "ok": True, "at": "2024-02-29T12:00:00+02:00", "tags": ["a", 1], "more": {"b": None}},
    {"id": 2**53 + 1, "code": "", "score": 1e20, "ok": False, "at": "1969-12-31T23:59:59.5Z", "tags": [], "more": {}},
    {"id": 3, "code": None, "score": None, "ok": None, "at": None, "tags": None, "more": None},
    {"id": 4, "code": 'q"u,o\nte 2024-01-01 00:00:00', "score": -0.1, "ok": True, "at": "2024-01-01", "tags": ["é"], "more": {"c": [1]}},
]  # fmt: skip
MOMENTS = [
    datetime(2024, 2, 29, 10, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC),
    None,
    datetime(2024, 1, 1, tzinfo=UTC),
]
PROPERTIES = {
    "id": INTEGER, "code": TEXT, "score": NUMBER, "ok": BOOLEAN, "at": DATETIME, "tags": ARRAY, "more": OBJECT,
}  # fmt: skip
STREAM = "orders/open"


def passed_on(folder: Path) -> list[dict[str, Any]]:
    """
    Pass on what lies in a job's root; gives the messages.
    """
    root = JobRoot(folder)
    root.prepare()
    assert main([str(folder), "singer"]) == 0
    return [json.loads(line) for line in root.singer_output.read_text().splitlines()]


def synced(folder: Path, *lines: str, **options: Any) -> Path:
    """
    Make the root of a job that has synced *lines*.
    """
    assert sync(folder, *lines, **options).exit == 0
    (folder / "work").rename(folder / ".headrace")
    return folder


@row("6.3 no script")
@pytest.mark.parametrize("datetimes", ["naive_ms", "utc_us"])
@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_every_value_arrives_as_it_was_sent(tmp_path: Path, file_format: str, datetimes: str) -> None:
    """
    Digits that only look like a number stay text, null is not the empty string, nested values are nested, and a moment says its zone.
    """
    lines = [schema(PROPERTIES, STREAM), *(record(one, STREAM) for one in SENT)]
    synced(tmp_path, *lines, format=file_format, datetimes=datetimes)

    first, *records, state = passed_on(tmp_path)

    assert (first["stream"], first["key_properties"]) == (STREAM, ["id"])
    assert first["schema"]["properties"]["at"]["format"] == "date-time"
    assert first["schema"]["properties"]["code"] == TEXT
    got = [line["record"] for line in records]
    moments = [one.pop("at") for one in got]
    assert [None if text is None else datetime.fromisoformat(text) for text in moments] == MOMENTS
    assert got == [{name: value for name, value in one.items() if name != "at"} for one in SENT]
    assert state == {"type": "STATE", "value": {}}


@row("6.3 no script")
def test_the_catalog_names_keys_and_types_of_what_a_tap_wrote_itself(tmp_path: Path) -> None:
    """
    What it does not know is text.
    """
    root = JobRoot(tmp_path)
    root.prepare()
    (root.sync_output / "people-20260101T000000.csv").write_text('id,name,zip\n1,Ada,"007"\n2,,\n')
    metadata = [{"breadcrumb": [], "metadata": {"table-key-properties": ["id"]}}]
    stream = {
        "tap_stream_id": "people",
        "stream": "People",
        "schema": {"properties": {"id": INTEGER}},
        "metadata": metadata,
    }
    root.catalog.write_text(json.dumps({"streams": [stream]}))

    first, *records, _ = passed_on(tmp_path)

    assert (first["stream"], first["key_properties"]) == ("People", ["id"])
    assert first["schema"]["properties"] == {"id": INTEGER, "name": TEXT, "zip": TEXT}
    assert [line["record"] for line in records] == [
        {"id": 1, "name": "Ada", "zip": "007"},
        {"id": 2, "name": None, "zip": None},
    ]


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_a_column_whose_type_changed_is_passed_on_as_the_file_has_it(tmp_path: Path, file_format: str) -> None:
    lines = [schema({"id": INTEGER, "a": INTEGER}), record({"id": 1, "a": 5})]
    lines += [schema({"id": INTEGER, "a": TEXT, "b": BOOLEAN}), record({"id": 2, "a": "x", "b": True})]
    synced(tmp_path, *lines, format=file_format)

    first, *records, _ = passed_on(tmp_path)

    assert first["schema"]["properties"]["a"] == TEXT
    assert [line["record"] for line in records] == [{"id": 1, "a": "5", "b": None}, {"id": 2, "a": "x", "b": True}]


@row("6.3 file targets")
def test_a_target_of_files_gets_them_unchanged(tmp_path: Path) -> None:
    synced(tmp_path, schema({"id": INTEGER}), record({"id": 1}), format="csv")
    root = JobRoot(tmp_path)
    root.prepare()

    assert main([str(tmp_path), "files"]) == 0

    assert {file.name: file.read_bytes() for file in root.etl_output.iterdir()} == {
        file.name: file.read_bytes() for file in root.sync_output.glob("*.csv")
    }
