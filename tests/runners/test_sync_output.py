"""
The sync-output process: how it ends, what is durable when, what it uses.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hotglue_rows import row

from headrace.runners.manifest import read_manifest
from headrace.runners.resume import plan_resume
from tests.runners.singer_kit import (
    INTEGER,
    REPOSITORY,
    TEXT,
    TIMESTAMP,
    bookmark,
    record,
    schema,
    start_sync,
    state,
    stream_of,
    sync,
    synced,
)

KEYED = {"id": INTEGER, "a": TEXT}
AT_EVERY_STATE = {"checkpoint_seconds": 0}


def records(first: int, last: int, stream: str = "t") -> list[str]:
    return [record({"id": number, "a": "x"}, stream) for number in range(first, last)]


def test_a_whole_sync_as_a_process(tmp_path: Path):
    """
    Files, metrics, exit code and the one last report.
    """
    child, spec = start_sync(tmp_path)
    child.write(schema(KEYED), *records(0, 5000), bookmark(4999), schema(KEYED, "u"), *records(0, 10, "u"))
    done = synced(child, spec)

    assert done.exit == 0
    assert done.finished["counts"] == done.metrics() == {"t": 5000, "u": 10}
    assert done.finished["state"]["bookmarks"]["t"]["replication_key_value"] == 4999
    assert [(file["stream"], file["rows"]) for file in done.finished["files"]] == [("t", 5000), ("u", 10)]
    assert done.files() == [f"t-{TIMESTAMP}.parquet", f"u-{TIMESTAMP}.parquet"]
    assert [row["id"] for row in done.rows()] == list(range(5000))


def test_an_empty_input_is_a_sync_of_nothing(tmp_path: Path):
    """
    Whether that is a success is for the worker to say: it sees that no SCHEMA came.
    """
    done = sync(tmp_path)

    assert (done.exit, done.files(), done.metrics(), done.finished["schemas_seen"]) == (0, [], {}, 0)


def test_progress_is_told_while_the_tap_is_silent_and_noise_is_none(tmp_path: Path):
    """
    What came last is told within a second although nothing more comes; noise alone tells of no progress.
    """
    child, spec = start_sync(tmp_path)
    child.write(*["noise"] * 3)
    child.wait_for("noise")
    assert not [report for report in child.reports if report["kind"] == "progress"]
    child.write(schema(KEYED), *records(0, 3))

    assert child.wait_for("progress")["counts"] == {"t": 3}
    assert synced(child, spec).finished["noise"] == 3


def test_a_checkpoint_is_durable_before_it_is_told(tmp_path: Path):
    """
    The manifest has the state and the parts hold every record before it.
    """
    child, spec = start_sync(tmp_path, limits=AT_EVERY_STATE)
    child.write(schema(KEYED), *records(0, 1000), bookmark(999))
    told = child.wait_for("checkpoint")
    manifest = read_manifest(spec.work_dir)
    child.kill()

    assert manifest is not None
    assert manifest.state == told["state"]
    assert manifest.streams["t"].rows == 1000


def test_a_pending_state_is_made_durable_while_the_tap_is_silent(tmp_path: Path):
    """
    A tap that waits an hour for its next page does not keep the last one at risk.
    """
    child, spec = start_sync(tmp_path, limits={"checkpoint_seconds": 0.2})
    child.write(schema(KEYED), *records(0, 10), bookmark(9))

    assert child.wait_for("checkpoint")["state"] == json.loads(bookmark(9))["value"]
    assert synced(child, spec).finished["counts"] == {"t": 10}


@row("drill 29")
def test_a_killed_sync_goes_on_from_its_last_checkpoint(tmp_path: Path):
    """
    Guarantee 3: after a kill -9 no row is lost, and only rows since the last STATE come twice; streams without a position start anew.
    """
    child, spec = start_sync(tmp_path, limits=AT_EVERY_STATE)
    reached = {"bookmarks": {"t": {"replication_key_value": 999}, "full": {}}}
    child.write(schema(KEYED), schema(KEYED, "full"), *records(0, 500, "full"), *records(0, 1000), record({"id": "x"}))
    child.write(state(reached), *records(1000, 1200))
    child.wait_for("checkpoint")
    child.kill()

    plan = plan_resume(spec.work_dir, None)
    assert plan.state == {"bookmarks": {"t": {"replication_key_value": 999}}}
    assert (plan.kept_streams, plan.dropped_streams) == ({"t"}, {"full"})
    child, spec = start_sync(tmp_path, resume=True)
    child.write(
        schema(KEYED), schema(KEYED, "full"), *records(0, 600, "full"), *records(1000, 2000), state({"bookmarks": {}})
    )
    done = synced(child, spec)

    assert [row["id"] for row in done.rows() if row["id"] is not None] == list(range(2000))
    assert [row["id"] for row in done.rows("full")] == list(range(600))
    assert done.metrics() == {"t": 2001, "full": 600}
    assert len(done.files()) == 2
    assert done.finished["quarantined"] == {"t": 1}
    assert len(done.quarantine()) == 1


def test_a_second_death_before_any_checkpoint_changes_nothing(tmp_path: Path):
    """
    The resumed attempt decides the same again.
    """
    lines = [schema(KEYED), *records(0, 10), bookmark(9)]
    first = sync(tmp_path, *lines)
    child, spec = start_sync(tmp_path, resume=True)
    child.write(schema(KEYED), *records(10, 20))
    child.wait_for("progress")
    child.kill()

    plan = plan_resume(spec.work_dir, None)

    assert plan.state == first.finished["state"]
    again = sync(tmp_path, schema(KEYED), *records(10, 20), resume=True)
    assert [row["id"] for row in again.rows()] == list(range(20))


def test_another_attempt_leaves_no_second_file(tmp_path: Path):
    """
    Readers take the first file per stream: what an earlier attempt made under another time is removed, other files are not.
    """
    first = sync(tmp_path, schema(KEYED), *records(0, 3))
    old = first.path().rename(first.spec.output_dir / f"t-{TIMESTAMP}.parquet")
    (first.spec.output_dir / "attachment.pdf").write_text("of the tap")
    second = sync(tmp_path, schema(KEYED, "u"), *records(0, 3, "u"))

    assert not old.exists()
    assert second.files() == ["attachment.pdf", f"u-{TIMESTAMP}.parquet"]


def test_a_data_error_keeps_the_last_state_before_it(tmp_path: Path):
    """
    Another attempt need not read again what was read well.
    """
    done = sync(tmp_path, schema(KEYED), *records(0, 10), bookmark(9), *records(10, 12), record({}, "unknown"))

    assert done.exit == 65
    assert done.finished["state"] == json.loads(bookmark(9))["value"]
    assert len(done.rows()) == 12


@pytest.mark.parametrize("limit", [7, {"t": 7}])
def test_records_over_their_limit_end_the_sync_exactly(tmp_path: Path, limit: int | dict[str, int]):
    """
    As many as allowed are kept, and the error names limit and line.
    """
    done = sync(tmp_path, schema(KEYED), *records(0, 10), limits={"max_records": limit})

    assert (done.exit, done.error_code, done.finished["error"]["line"]) == (65, "record-limit", 9)
    assert [row["id"] for row in done.rows()] == list(range(7))


@row("drill 32")
def test_a_line_over_its_limit_ends_the_sync(tmp_path: Path):
    """
    Before it is whole; what came before is kept.
    """
    long = record({"id": 2, "a": "x" * 100_000})
    done = sync(tmp_path, schema(KEYED), *records(0, 2), long, limits={"max_line_bytes": 10_000})

    assert (done.exit, done.error_code, done.finished["error"]["line"]) == (65, "line-too-long", 4)
    assert len(done.rows()) == 2


@row("drill 36")
def test_files_over_their_limit_end_the_sync(tmp_path: Path):
    """
    The disk is not filled by one job.
    """
    lines = [schema(KEYED)]
    for page in range(5):
        lines += [*records(page * 1000, page * 1000 + 1000), bookmark(page)]
    done = sync(tmp_path, *lines, limits={"max_output_bytes": 6000, "checkpoint_seconds": 0})

    assert (done.exit, done.error_code) == (65, "output-limit")
    assert 0 < len(done.rows()) < 5000


@pytest.mark.parametrize("file_format", ["parquet", "csv"])
@row("drill 36")
def test_a_full_disk_is_told_and_keeps_what_was_durable(tmp_path: Path, file_format: str):
    """
    Exit 74, a named error, the last durable state; no half file among the outputs.
    """
    child, spec = start_sync(tmp_path, limit_file_bytes=200_000, limits=AT_EVERY_STATE, format=file_format)
    child.write(schema(KEYED), *records(0, 100), bookmark(99))
    child.wait_for("checkpoint")
    noise = [record({"id": number, "a": f"{number * 2654435761 % 2**64:x}" * 8}) for number in range(60_000)]
    with contextlib.suppress(BrokenPipeError):  # it ended in the middle
        child.write(*noise, bookmark(60_000))
    done = synced(child, spec)

    assert (done.exit, done.error_code) == (74, "disk-full")
    assert done.finished["state"] == json.loads(bookmark(99))["value"]
    assert done.metrics()["t"] >= 100
    assert [name for name in done.files() if name.startswith(".")] == []
    if file_format == "parquet":
        assert [row["id"] for row in done.rows()][:100] == list(range(100))


def test_a_tap_that_still_writes_meets_a_closed_pipe(tmp_path: Path):
    """
    At the first error reading stops, so an endless tap does not hold the job.
    """
    child, spec = start_sync(tmp_path)
    line = record({}, "unknown")
    with pytest.raises(BrokenPipeError):
        child.write_without_end(*[line] * 100)

    assert synced(child, spec).error_code == "record-before-schema"


@row("drill 33")
def test_memory_stays_within_bounds_for_many_streams_and_rows(tmp_path: Path):
    """
    100,000 records over 1,000 streams in turn: all kept, in order, at a bounded size of the process.
    """
    columns = {"id": INTEGER, **{f"c{number}": TEXT for number in range(10)}}
    child, spec = start_sync(tmp_path)
    streams = [f"s{number}" for number in range(1000)]
    child.write(*[schema(columns, stream) for stream in streams])
    for turn in range(100):
        child.write(*[record({"id": turn, "c1": "v" * 200, "c2": "w" * 100}, stream) for stream in streams])
    done = synced(child, spec)

    assert done.exit == 0
    assert sum(done.metrics().values()) == 100_000
    assert [row["id"] for row in done.rows("s123")] == list(range(100))
    assert len(done.files()) == 1000
    assert done.finished["peak_bytes"] < 200 << 20


@pytest.mark.parametrize("checkpoint_share", [0, 1, 20, 1000])
def test_streams_put_aside_on_disk_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint_share: int):
    """
    With a tiny budget every way of relief is taken; order, counts and line numbers stay right.
    """
    monkeypatch.setattr("headrace.runners.intake.BUDGET_BYTES", 20_000)
    monkeypatch.setattr("headrace.runners.intake.SPILL_BYTES", 4_000)
    monkeypatch.setattr("headrace.runners.intake.BLOCK_BYTES", 3_000)
    monkeypatch.setattr("headrace.runners.part_writer.OPEN_PARTS", 3)
    monkeypatch.setattr("headrace.runners.sync_files._CHECKPOINT_SHARE", checkpoint_share)
    streams = [f"s{number}" for number in range(50)]
    lines = [schema(KEYED, stream) for stream in streams]
    for turn in range(200):
        values = [{"id": "odd" if turn == 150 else turn, "a": "x" * (turn % 90)} for _ in streams]
        lines += [record(value, stream) for value, stream in zip(values, streams, strict=True)]
        if turn % 60 == 0:
            lines.append(bookmark(turn))
    done = sync(tmp_path, *lines, limits=AT_EVERY_STATE)

    wanted = [None if turn == 150 else turn for turn in range(200)]
    assert all([row["id"] for row in done.rows(stream)] == wanted for stream in streams)
    assert [done.quarantine(stream)[0]["line"] for stream in streams] == [
        50 + 150 * 50 + 3 + 1 + index for index in range(50)
    ]


def test_a_fault_of_our_own_is_reported_and_never_green(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    An exception that nobody planned, in the writer's thread or in the reader's, ends in a finished report and exit 70.
    """

    def fail(*_: object) -> None:
        raise RuntimeError("planned by the test")

    monkeypatch.setattr("headrace.runners.quarantine.Quarantine.sync", fail)
    in_thread = sync(tmp_path / "a", schema(KEYED), *records(0, 3), bookmark(3))
    monkeypatch.setattr("headrace.runners.sync_output.SyncOutput._take_state", fail)
    in_reader = sync(tmp_path / "b", schema(KEYED), *records(0, 3), bookmark(3))

    assert [(done.exit, done.error_code, done.finished["state"]) for done in (in_thread, in_reader)] == [
        (70, "data-plane-internal", None)
    ] * 2


def test_a_spec_that_is_none_is_refused(tmp_path: Path):
    """
    The worker's own mistake shows as what it is.
    """
    (tmp_path / "spec.json").write_text('{"output_dir": 5}')
    command = [sys.executable, "-m", "headrace.runners.sync_output", str(tmp_path / "spec.json")]

    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False, input=stream_of())

    assert ended.returncode == 1
    assert b"ValidationError" in ended.stderr
