"""
Two folders of output, compared row by row.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.runners.output_diff import Difference, TableDifference, compare_output

ROWS = [{"id": number, "name": f"name {number}"} for number in range(1, 6)]
CHANGED = [{"id": 9, "name": "new"}, *({**row, "name": "other"} if row["id"] == 2 else row for row in ROWS[1:])]


def _write(folder: Path, form: str, rows: list[dict[str, Any]], *, keys: tuple[str, ...] = ("id",)) -> None:
    folder.mkdir()
    match form:
        case "singer":
            schema = {"type": "SCHEMA", "stream": "people", "schema": {"a": 1}, "key_properties": list(keys)}
            records = [{"type": "RECORD", "stream": "people", "record": row} for row in rows]
            (folder / "data.singer").write_text("\n".join(map(json.dumps, [schema, *records, {"type": "STATE"}])))
        case "parquet":
            pq.write_table(pa.Table.from_pylist(rows), folder / "people.parquet")
        case "csv":
            lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
            (folder / "people.csv").write_text("\n".join(lines))
        case "jsonl":
            (folder / "people.jsonl").write_text("\n".join(map(json.dumps, rows)))
        case _:
            (folder / "people.json").write_text(json.dumps(rows))


def _compared(tmp_path: Path, **options: Any) -> TableDifference:
    (found,) = compare_output(tmp_path / "old", tmp_path / "new", **options)
    return found


@pytest.mark.parametrize("form", ["singer", "parquet", "csv", "jsonl", "json"])
def test_rows_are_told_apart_by_their_key(tmp_path: Path, form: str) -> None:
    """
    In every form that scripts write; the order of rows means nothing.
    """
    _write(tmp_path / "old", form, ROWS)
    _write(tmp_path / "new", form, CHANGED)
    _write(tmp_path / "turned", form, list(reversed(ROWS)))

    found = _compared(tmp_path)

    counted = (found.rows_before, found.rows_after, found.added, found.removed, found.changed, found.schema_changed)
    assert counted == (5, 5, 1, 1, 1, False)
    number = str if form == "csv" else int
    assert found.samples[0] == Difference(
        kind="changed", key={"id": number(2)}, before={"name": "name 2"}, after={"name": "other"}
    )
    assert [one.kind for one in found.samples] == ["changed", "removed", "added"]
    (same,) = compare_output(tmp_path / "old", tmp_path / "turned")
    assert same.same


def test_without_a_key_a_change_is_one_row_less_and_one_more(tmp_path: Path) -> None:
    rows = [{"name": "a"}, {"name": "a"}, {"name": "b"}]
    _write(tmp_path / "old", "jsonl", rows)
    _write(tmp_path / "new", "jsonl", [{"name": "a"}, {"name": "b"}, {"name": "c"}])

    found = _compared(tmp_path)

    assert (found.added, found.removed, found.changed) == (1, 1, 0)
    assert found.samples == (
        Difference(kind="removed", before={"name": "a"}),
        Difference(kind="added", after={"name": "c"}),
    )


def test_fields_that_always_differ_can_be_left_out(tmp_path: Path) -> None:
    _write(tmp_path / "old", "csv", [{"id": 1, "at": "noon"}])
    _write(tmp_path / "new", "csv", [{"id": 1, "at": "one"}])

    assert not _compared(tmp_path).same
    assert _compared(tmp_path, ignore=["at"]).same


def test_another_form_is_a_difference_even_with_no_rows(tmp_path: Path) -> None:
    """
    A column more, a type changed, a stream or file that is not there.
    """
    _write(tmp_path / "old", "csv", [{"id": 1}])
    _write(tmp_path / "new", "csv", [{"id": 1, "more": ""}])
    (tmp_path / "new" / "empty.txt").touch()

    empty, people = compare_output(tmp_path / "old", tmp_path / "new")

    assert (empty.name, empty.added, empty.schema_changed) == ("empty.txt", 1, True)
    assert people.schema_changed


def test_files_are_matched_without_the_time_in_their_names(tmp_path: Path) -> None:
    """
    Unless that would make two of them one; what cannot be read as its name says is compared as a whole.
    """
    for folder, time in (("old", "20260101T120000"), ("new", "20260202T130000")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"people-{time}.csv").write_text("id\n1\n")
        (tmp_path / folder / "broken.parquet").write_text("no parquet")
        (tmp_path / folder / "odd.jsonl").write_text("no json")

    found = compare_output(tmp_path / "old", tmp_path / "new")

    assert [(one.name, one.same) for one in found] == [
        ("broken.parquet", True),
        ("odd.jsonl", True),
        ("people.csv", True),
    ]
