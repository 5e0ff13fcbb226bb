"""
The job that Headrace exists for: a real tap, script and target, from the run call to the files.
"""

from __future__ import annotations

import json

import pytest
from hotglue_rows import row

from acceptance.running_server import RunningServer


def test_a_job_goes_through_every_stage(shared_server: RunningServer) -> None:
    """
    A run call is answered at once with JOB_CREATED; polled, the job reaches JOB_COMPLETED with counts and sizes.
    """
    created = shared_server.submit("plain", "good").json()

    record = shared_server.wait(created)

    assert created["status"] == "JOB_CREATED"
    assert (record["status"], record["message"]) == ("JOB_COMPLETED", "Job completed")
    assert record["metrics"]["recordCount"] == {"people": 3}
    assert record["processed_rows"] == 3
    stamps = [
        "JOB_CREATED",
        "SYNC_STARTED",
        "SYNC_SUCCESS",
        "ETL_STARTED",
        "ETL_SUCCESS",
        "EXPORT_STARTED",
        "JOB_COMPLETED",
    ]
    assert [name for name in record["status_timestamp"] if name in stamps] == stamps
    assert sorted(record["status_timestamp"].values()) == list(record["status_timestamp"].values())


def test_the_job_root_holds_the_details_and_the_data(shared_server: RunningServer) -> None:
    """
    `job_details.json` says in the job's root what the poll says; the records are where targets put them; no settings are left.
    """
    record = shared_server.run("plain", "good", {"job_name": "by name", "reset_source_state": True})
    folder = shared_server.folder(record)

    details = json.loads((folder / "job_details.json").read_text())
    assert details["job_name"] == record["job_name"] == "by name"
    assert details["status"] == "EXPORT_STARTED"  # written while the job still runs
    assert len((folder / "targets/target-fake/people.jsonl").read_text().splitlines()) == 3
    assert not list(folder.rglob("*config.json"))


def test_the_next_job_goes_on_from_the_bookmark(shared_server: RunningServer) -> None:
    """
    Without a saved state a job is a full sync; the next one is incremental and gets nothing twice; a reset starts over.
    """
    first = shared_server.run("many", "t7")
    second = shared_server.run("many", "t7")
    third = shared_server.run("many", "t7", {"reset_source_state": True})

    assert (first["sync_type"], first["processed_rows"]) == ("full_sync", 3)
    assert (second["sync_type"], second["processed_rows"]) == ("incremental_sync", 0)
    assert (third["sync_type"], third["processed_rows"]) == ("full_sync", 3)


@row("6.2 api tap")
def test_data_sent_with_the_job_is_its_source(shared_server: RunningServer) -> None:
    """
    With the API tap, the lists in `state` are the records.
    """
    people = [{"id": 1, "name": "Ada", "score": 1}, {"id": 2, "name": None, "score": 2.5}]

    record = shared_server.run("plain", "good", {"tap": "api", "state": {"people": people}})

    assert record["status"] == "JOB_COMPLETED", record["message"]
    assert record["state"] == {"people": people}
    written = (shared_server.folder(record) / "targets/target-fake/people.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in written] == ["Ada", None]


@row("3.1 streaming")
def test_a_streaming_job_has_no_etl_stage(shared_server: RunningServer) -> None:
    """
    A streaming job pipes the tap into the target; SYNC_STARTED and SYNC_SUCCESS, then JOB_COMPLETED.
    """
    record = shared_server.run("many", "t6", {"streaming_job": True})

    assert record["status"] == "JOB_COMPLETED", record["message"]
    assert record["metrics"]["recordCount"] == {"people": 3}
    assert not [name for name in record["status_timestamp"] if name.startswith(("ETL", "EXPORT"))]


def test_a_script_turns_the_records_into_what_the_target_gets(shared_server: RunningServer) -> None:
    record = shared_server.run("script-good", "acme", {"environment_variables": {"GREETING": "hello"}})

    written = (shared_server.folder(record) / "targets/target-fake/people.jsonl").read_text().splitlines()
    assert record["status"] == "JOB_COMPLETED", record["message"]
    assert [json.loads(line)["greeting"] for line in written] == ["hello"] * 3


@row("3.1 records", "10 6")
def test_a_targets_report_becomes_summary_and_details(shared_server: RunningServer) -> None:
    """
    A target of hotglue's SDK tells each record's end; a record that failed does not fail the job.
    """
    record = shared_server.run("target", "sdk-failures")

    summary = record["metrics"]["exportSummary"]["people"]
    assert record["status"] == "JOB_COMPLETED"
    assert (summary["success"], summary["fail"]) == (1000, 1000)
    assert len(record["metrics"]["exportDetails"]["people"]) == 2000


@pytest.mark.parametrize(
    ("flow", "mode", "environment", "stage"),
    [("plain", "ignore-term", "demo", "SYNC"), ("discovered", "silent", "discovering", "DISCOVER")],
)
def test_a_killed_job_ends_in_the_stage_it_was_in(
    shared_server: RunningServer, flow: str, mode: str, environment: str, stage: str
) -> None:
    """
    A kill ends the children and leaves a status that pollers understand.
    """
    created = shared_server.submit(flow, mode, environment=environment).json()
    shared_server.wait_for(created, lambda record: record["status"] == f"{stage}_STARTED")

    shared_server.kill(created)
    record = shared_server.wait(created, seconds=15)

    assert record["status"] == f"{stage}_FAILED"
    assert record["message"].startswith("Job was killed")


def test_an_environment_may_ask_for_a_discover_before_each_sync(shared_server: RunningServer) -> None:
    """
    With the job setting `force_discover`, DISCOVER_STARTED comes first, and a tap that cannot discover ends in DISCOVER_FAILED.
    """
    good = shared_server.run("discovered", "good", environment="discovering")
    failed = shared_server.run("discovered", "exit-3", environment="discovering")

    assert good["status"] == "JOB_COMPLETED", good["message"]
    assert list(good["status_timestamp"])[:3] == ["JOB_CREATED", "DISCOVER_STARTED", "SYNC_STARTED"]
    assert failed["status"] == "DISCOVER_FAILED"


@row("2.2 W3")
def test_an_uploaded_file_is_where_the_tap_looks_for_it(shared_server: RunningServer) -> None:
    """
    What a tenant uploaded for the flow stands in the job's `snapshots/uploads/`, byte by byte.
    """
    path = "/hotglue/demo/many/t5/taps/file"
    shared_server.client.post(path, files={"people.csv": ("people.csv", b"id\r\n1\r\n")})

    record = shared_server.run("many", "t5")

    assert record["status"] == "JOB_COMPLETED"
    uploaded = shared_server.folder(record) / "snapshots" / "uploads" / "many" / "people.csv"
    assert uploaded.read_bytes() == b"id\r\n1\r\n"
    assert shared_server.client.get(path).json() == ["people.csv"]
