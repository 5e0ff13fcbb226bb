"""
Sections 6.5 and 6.6: what of a tenant outlives a job.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from hotglue_rows import row

from acceptance.running_server import RunningServer
from acceptance.witnesses import KEEPING, WORKSPACE, Witnessed, link, witnessed


def jobs_noted(found: Witnessed) -> list[str]:
    """
    List the jobs that a script found in the snapshots before it ran.
    """
    text: str = found.files("script").get("snapshots/seen.snapshot.csv", "JobId\n")
    return text.split()[1:]


def tenant_config(server: RunningServer, tenant: str) -> Any:
    return server.client.get(f"/hotglue/tenant/{WORKSPACE}/{tenant}/config").json()


@row("6.5 in", "6.5 back", "6.5 names", "6.1 snapshots/")
def test_the_next_job_finds_the_files_of_the_one_before(first: Witnessed, second: Witnessed) -> None:
    assert jobs_noted(first) == []
    assert jobs_noted(second) == [first.record["job_id"]]


@row("6.5 across flows", "10 8")
def test_another_flow_of_the_tenant_finds_them_too(second: Witnessed, passed: Witnessed) -> None:
    kept: str = passed.files("tap")["snapshots/seen.snapshot.csv"]

    assert second.record["flow_id"] != passed.record["flow_id"]
    assert second.record["job_id"] in kept


@row("6.5 lock", "10 8")
def test_half_written_files_are_left_behind(second: Witnessed, pushed: Witnessed) -> None:
    names = [name for found in (second, pushed) for name in found.files("script") if name.endswith(".lock")]

    assert names == []


@row("6.5 id map", "10 8")
def test_ids_of_what_succeeded_are_there_for_the_next_job(second: Witnessed, pushed: Witnessed) -> None:
    """
    `{Sink}_{FLOW}.snapshot.csv`, one row per record of ours: what was refused is not in it.
    """
    text: str = pushed.files("script")["snapshots/People_seen.snapshot.csv"]

    assert list(csv.DictReader(text.splitlines())) == [
        {"InputId": "1", "RemoteId": "remote-1"},
        {"InputId": "3", "RemoteId": "remote-3"},
    ]


@row("6.5 tenant-config.json")
def test_a_scripts_edit_of_the_tenants_config_is_kept(acme: RunningServer, first: Witnessed, second: Witnessed) -> None:
    """
    Beside the mapping and the metadata, which are in the same file.
    """
    seen = second.files("script")["snapshots/tenant-config.json"]

    assert set(seen) == {"hotglue_mapping", "hotglue_metadata", "edited_by"}
    assert seen["edited_by"] == first.record["job_id"]
    assert tenant_config(acme, "acme")["hotglue_metadata"] == {"metadata": {"plan": "gold"}}


@row("6.5 setting", "6.5 failed")
def test_a_failed_job_keeps_its_files_only_where_the_environment_says_so(acme: RunningServer) -> None:
    """
    The setting `save_snapshots_on_failure` is the difference.
    """
    failing = {"environment_variables": {"THEN": "fail"}}
    kept, next_kept = (acme.run("keeping", "acme", body, environment=KEEPING) for body in (failing, {}))
    link(acme, "seen", "fails", "linkedSources", {"source": {"tap": "tap-seen", "config": {}}})
    link(acme, "seen", "fails", "linkedTargets", {"target": {"target": "target-seen", "config": {}}})
    lost, next_lost = (acme.run("seen", "fails", body, environment=WORKSPACE) for body in (failing, {}))

    assert [job["status"] for job in (kept, lost)] == ["ETL_FAILED", "ETL_FAILED"]
    assert kept["message"].startswith("ERROR: the witness gave up.")
    assert jobs_noted(witnessed(acme, next_kept)) == [kept["job_id"]]
    assert jobs_noted(witnessed(acme, next_lost)) == []
    assert next_kept["sync_type"] == next_lost["sync_type"] == "full_sync"


@row("4 override_connector_config", "6.6 overrides", "10 7")
def test_what_is_given_for_one_job_is_not_saved(connected: RunningServer, read_v2: Witnessed) -> None:
    path = f"/hotglue/v2/{WORKSPACE}/seen/zeta/linkedConnectors?config=true"
    [element] = connected.client.get(path).json()

    assert read_v2.files("tap")["config.json"]["colour"] == "this job's"
    assert element["config"] == {"colour": "green"}


@row("6.1 config.json")
def test_no_settings_stay_on_disk(shared_server: RunningServer, first: Witnessed) -> None:
    """
    Nor does the tenant's config.
    """
    left = [path for path in Path(shared_server.home / "files").rglob("*config.json") if path.is_file()]

    assert left == []
