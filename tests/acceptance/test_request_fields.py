"""
Every field of hotglue's run request, seen from inside the job: what the script of a job finds in its folder and its environment.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hotglue_rows import row

from acceptance.projects import ProjectFolder
from acceptance.running_server import RunningServer, running

TENANTS = (
    "dates", "end", "state", "fields", "tables", "source", "target", "variables", "beside", "named", "reset", "stream",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """
    A server with the flow `witness`: each of its tenants has three rows to sync.
    """
    folder = tmp_path_factory.mktemp("fields")
    rows = folder / "rows.json"
    rows.write_text(json.dumps([{"id": number, "name": f"name {number}"} for number in (1, 2, 3)]))
    environment = {"SEEN_SHARED": "the workspace's", "SEEN_OTHER": "the workspace's"}
    project = ProjectFolder(folder / "project", workspaces={"demo": {"environment": environment}})
    source = {"rows": str(rows), "colour": "red", "start_date": "2000-01-01T00:00:00Z"}
    links: dict[str, Any] = {tenant: (source, {"mode": "good", "colour": "red"}) for tenant in TENANTS}
    project.flow("witness", links, script="etl_witness.py", source="tap-source", files={"format": "csv"})
    with running(folder / "home", project.folder) as started:
        yield started


def seen(server: RunningServer, tenant: str, body: dict[str, Any] | None = None) -> tuple[dict[str, Any], Any]:
    """
    Run a job to its end; gives its record and what its script saw.
    """
    record = server.run("witness", tenant, body)
    assert record["status"] == "JOB_COMPLETED", record["message"]
    return record, json.loads((server.folder(record) / "snapshots/seen.json").read_text())


@row("4 override_start_date")
def test_a_start_date_reaches_the_tap_instead_of_the_state(server: RunningServer) -> None:
    """
    The tap gets the date in its config and no state file, so that all is read again; the next job goes on from the state and the tenant's own date.
    """
    seen(server, "dates")
    again, saw = seen(server, "dates", {"override_start_date": "2022-08-08T00:00:00.000Z"})
    later, saw_later = seen(server, "dates")

    assert saw["config.json"]["start_date"] == "2022-08-08T00:00:00.000Z"
    assert "state.json" not in saw["files"]
    assert (again["sync_type"], again["processed_rows"]) == ("full_sync", 3)
    assert again["override_start_date"] == "2022-08-08T00:00:00.000Z"
    assert saw_later["config.json"]["start_date"] == "2000-01-01T00:00:00Z"
    assert (later["sync_type"], later["processed_rows"]) == ("incremental_sync", 0)


@row("4 override_end_date")
def test_an_end_date_reaches_the_tap_beside_the_state(server: RunningServer) -> None:
    """
    An end date alone bounds an incremental sync; it is this job's alone.
    """
    seen(server, "end")
    bounded, saw = seen(server, "end", {"override_end_date": "2022-08-09T00:00:00.000Z"})
    _, saw_later = seen(server, "end")

    assert saw["config.json"]["end_date"] == "2022-08-09T00:00:00.000Z"
    assert saw["state.json"] == {"last_id": 3}
    assert bounded["sync_type"] == "incremental_sync"
    assert "end_date" not in saw_later["config.json"]


@row("4 reset_source_state")
def test_a_reset_starts_over_and_is_kept(server: RunningServer) -> None:
    first, _ = seen(server, "reset")
    reset, saw = seen(server, "reset", {"reset_source_state": True})
    next_job, _ = seen(server, "reset")

    assert "state.json" not in saw["files"]
    assert [one["processed_rows"] for one in (first, reset, next_job)] == [3, 3, 0]


@row("4 override_field_map")
def test_a_field_map_selects_in_the_catalog(server: RunningServer) -> None:
    """
    Just what the map names is selected in `catalog-selected.json`, for this job alone; without a map everything is.
    """
    field_map = {"people": {"name": "people", "selected": ["id"]}}
    record, saw = seen(server, "fields", {"override_field_map": field_map})
    _, saw_later = seen(server, "fields")

    assert selected(saw) == {(): True, ("properties", "id"): True, ("properties", "name"): False}
    assert selected(saw_later) == {(): True, ("properties", "id"): True, ("properties", "name"): True}
    assert record["override_field_map"] == field_map


def selected(saw: dict[str, Any]) -> dict[tuple[str, ...], bool]:
    (stream,) = saw["catalog-selected.json"]["streams"]
    return {tuple(entry["breadcrumb"]): entry["metadata"]["selected"] for entry in stream["metadata"]}


@row("4 override_selected_tables")
def test_selected_tables_are_a_file_for_the_script(server: RunningServer) -> None:
    record, saw = seen(server, "tables", {"override_selected_tables": {"Vendors": True, "Bills": {"a": 1}}})
    _, saw_later = seen(server, "tables")

    assert saw["selectedTables.json"] == {"Vendors": True, "Bills": {"a": 1}}
    assert record["override_selected_tables"] == {"Vendors": True, "Bills": {"a": 1}}
    assert "selectedTables.json" not in saw_later["files"]


@pytest.mark.parametrize(
    ("tenant", "field", "file"),
    [("source", "override_source_config", "config.json"), ("target", "override_target_config", "target-config.json")],
)
@row("4 override_source_config", "4 override_target_config", "6.6 overrides")
def test_an_overridden_config_is_merged_for_one_job_and_not_shown(
    server: RunningServer, tenant: str, field: str, file: str
) -> None:
    """
    The request's values go before the tenant's, which stay beside them; they are neither saved nor shown by any call.
    """
    record, saw = seen(server, tenant, {field: {"colour": "blue-and-private"}})
    _, saw_later = seen(server, tenant)
    shown = [
        server.client.get(f"/hotglue/demo/witness/{tenant}/{kind}", params={"config": "true"}).text
        for kind in ("linkedSources", "linkedTargets")
    ]
    core = server.client.get(f"/api/v1/jobs/{record['task_id']}").text

    assert saw[file]["colour"] == "blue-and-private"
    assert set(saw_later[file]) <= set(saw[file])
    assert saw_later[file]["colour"] == "red"
    assert "blue-and-private" not in "".join([json.dumps(record), core, *shown, server.logs(record)])
    assert b"blue-and-private" not in (server.folder(record) / "job_details.json").read_bytes()


@row("4 environment_variables", "6.3 custom")
def test_variables_of_the_request_go_before_the_workspaces(server: RunningServer) -> None:
    """
    Each process of the job gets them, as text; their values are not shown.
    """
    asked = {"SEEN_SHARED": "the request's", "SEEN_NUMBER": 7, "SEEN_FLAG": True}
    record, saw = seen(server, "variables", {"environment_variables": asked})

    assert saw["variables"] == {
        "TENANT": "variables",
        "SEEN_SHARED": "the request's",
        "SEEN_OTHER": "the workspace's",
        "SEEN_NUMBER": "7",
        "SEEN_FLAG": "true",
    }
    assert "the request's" not in json.dumps(record)


@row("4 ignore_parallel_jobs")
def test_a_parallel_job_runs_beside_the_active_one(server: RunningServer, tmp_path: Path) -> None:
    """
    While a job stays, another is refused with 400, but one with `ignore_parallel_jobs` runs to its end beside it.
    """
    gate = tmp_path / "gate"
    first = server.submit("witness", "beside", {"environment_variables": {"WAIT_FOR": str(gate)}}).json()
    server.wait_for(first, lambda record: record["status"] == "ETL_STARTED")

    refused = server.submit("witness", "beside")
    beside, _ = seen(server, "beside", {"ignore_parallel_jobs": True})
    status_then = server.status(first)["status"]
    gate.touch()
    ended = server.wait(first)

    assert (refused.status_code, set(refused.json())) == (400, {"Code", "Message"})
    assert beside["job_id"] != first["job_id"]
    assert status_then == "ETL_STARTED"
    assert ended["status"] == "JOB_COMPLETED"


@pytest.mark.parametrize("body", [{"job_name": "A name, with Ümlaut"}, {"job": {"job_name": "A name, with Ümlaut"}}])
@row("4 job_name")
def test_a_name_is_the_jobs_name(server: RunningServer, body: dict[str, Any]) -> None:
    record, _ = seen(server, "named", body)

    assert record["job_name"] == "A name, with Ümlaut"


def test_a_streaming_job_leaves_the_script_out(server: RunningServer) -> None:
    record = server.run("witness", "stream", {"streaming_job": True})

    assert (record["status"], record["streaming_job"], record["processed_rows"]) == ("JOB_COMPLETED", True, 3)
    assert not [name for name in record["status_timestamp"] if name.startswith(("ETL", "EXPORT"))]
    assert not (server.folder(record) / "snapshots/seen.json").exists()
