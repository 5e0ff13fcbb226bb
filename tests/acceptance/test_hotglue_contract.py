"""
The files and processes of a hotglue job, seen by a tap, a script and a target that use them as hotglue's do.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from typing import Any

import psutil
import pytest
from hotglue_rows import row

from acceptance.running_server import RunningServer, eventually

FLOW = "contract"


def add_rows(server: RunningServer, tenant: str, *ids: int) -> None:
    file = server.project.parent / "source" / f"{tenant}.json"
    rows = json.loads(file.read_text())
    file.write_text(json.dumps([*rows, *({"id": number, "name": f"name {number}"} for number in ids)]))


def runs(server: RunningServer, record: dict[str, Any]) -> list[dict[str, Any]]:
    """
    Read what the script noted in the tenant's snapshots, run by run.
    """
    noted: list[dict[str, Any]] = json.loads((server.folder(record) / "snapshots/runs.json").read_text())
    return noted


def exported(server: RunningServer, record: dict[str, Any]) -> list[str]:
    lines = (server.folder(record) / "targets/target-fake/people.jsonl").read_text().splitlines()
    return [json.loads(line)["id"] for line in lines]


@row(
    "6.2 only completed",
    "6.2 last state",
    "6.5 in",
    "6.5 back",
    "6.5 failed",
    "6.5 id map",
    "6.6 failed",
    "6.6 rewritten",
    "10 7",
)
def test_only_completed_jobs_move_a_tenant_on(shared_server: RunningServer) -> None:
    """
    Source rows come between the runs. State, snapshots, id maps and the tenant's config go on from the last job that completed, the
    rotated token from the last that ran.
    """
    first = shared_server.run(FLOW, "cycle")
    add_rows(shared_server, "cycle", 4, 5)
    broken_script = shared_server.run(FLOW, "cycle", {"override_source_config": {"etl_then": "fail"}})
    broken_tap = shared_server.run(FLOW, "cycle", {"override_source_config": {"then": "fail"}})
    broken_target = shared_server.run(FLOW, "cycle", {"override_target_config": {"mode": "exit-4"}})
    second = shared_server.run(FLOW, "cycle")
    third = shared_server.run(FLOW, "cycle")

    assert [job["status"] for job in (broken_script, broken_tap, broken_target)] == [
        "ETL_FAILED",
        "SYNC_FAILED",
        "EXPORT_FAILED",
    ]
    assert broken_script["message"].startswith("ERROR: the people are gone. Cause: KeyError('people')")
    assert broken_tap["message"].startswith("the account was closed")
    for job, rows in ((first, 3), (second, 2), (third, 0)):
        assert (job["status"], job["processed_rows"]) == ("JOB_COMPLETED", rows), job["message"]
    assert exported(shared_server, first) == ["1", "2", "3"]
    assert exported(shared_server, second) == ["4", "5"]
    noted = runs(shared_server, third)
    assert [run["sync_type"] for run in noted] == ["full_sync", "incremental_sync", "incremental_sync"]
    assert [run["state"] for run in noted] == [None, {"last_id": 3}, {"last_id": 5}]
    assert [sorted(run["ids"]) for run in noted] == [[], ["1", "2", "3"], ["1", "2", "3", "4", "5"]]
    assert [run["runs_in_config"] for run in noted] == [0, 1, 2]


def test_a_script_that_finds_the_account_refused_marks_its_connection(shared_server: RunningServer) -> None:
    """
    The exceptions of hotglue are shared by taps, targets and scripts: the source is disconnected until a job of it completes.
    """
    tenant = "refused"

    def disconnected() -> bool:
        [link] = shared_server.client.get(f"/hotglue/demo/{FLOW}/{tenant}/linkedSources").json()
        return bool(link["disconnected"])

    refused = shared_server.run(FLOW, tenant, {"override_source_config": {"etl_then": "refuse"}})
    marked = disconnected()
    good = shared_server.run(FLOW, tenant)

    assert (refused["status"], refused["message"]) == ("ETL_FAILED", "ERROR: no prices. Cause: the key was revoked")
    assert marked
    assert (good["status"], disconnected()) == ("JOB_COMPLETED", False)


def test_a_script_finds_what_hotglues_scripts_look_for(shared_server: RunningServer) -> None:
    """
    The files of the root and the variables by their names, both spellings; the server answers to the job's own key.
    """
    record = shared_server.run(FLOW, "limited", {"override_selected_tables": {"people": True}})

    (seen,) = runs(shared_server, record)
    assert {
        "sync-output", "etl-output", "snapshots", "tmp", "config.json", "source-config.json", "target-config.json",
        "catalog.json", "catalog-selected.json", "job_details.json", "selectedTables.json",
    } <= set(seen["files"])  # fmt: skip
    assert {
        "TENANT", "USER_ID", "FLOW", "ENV_ID", "JOB_ID", "JOB_ROOT", "API_KEY", "API_URL", "SYNC_TYPE", "TAP", "TARGET",
        "ROOT", "ROOT_DIR", "SNAPSHOT_DIR", "TMPDIR",
    } <= set(seen["variables"])  # fmt: skip
    assert seen["api_status"] == 200
    assert seen["selected_tables"] == {"people": True}
    assert seen["home"] or os.geteuid() != 0
    assert not os.path.lexists(f"/home/hotglue/{record['job_id']}")


@row("6.1 sync-output/", "6.2 file taps")
def test_files_that_a_tap_writes_itself_count(shared_server: RunningServer) -> None:
    """
    A tap that is no Singer tap writes to `hg_sync_output`: its files, its counts and its attachments are the sync's.
    """
    record = shared_server.run(FLOW, "files", {"override_source_config": {"then": "files"}})

    assert record["status"] == "JOB_COMPLETED", record["message"]
    assert record["metrics"]["recordCount"] == {"people": 3}
    assert record["metrics"]["estimatedRecordCount"] == {"people": 30}
    assert (shared_server.folder(record) / "sync-output/attachments/1.pdf").exists()
    assert exported(shared_server, record) == ["1", "2", "3"]


@row("4 max_record_count")
def test_a_job_may_be_limited_to_a_few_records(shared_server: RunningServer) -> None:
    """
    With the variable `max_record_count` each stream is cut there; as the rest has to come, too, the state stays what it was.
    """
    tenant = "cut"
    cut = shared_server.run(FLOW, tenant, {"environment_variables": {"max_record_count": "2"}})
    whole = shared_server.run(FLOW, tenant)

    assert (cut["status"], cut["processed_rows"]) == ("JOB_COMPLETED", 2), cut["message"]
    assert (whole["sync_type"], whole["processed_rows"]) == ("full_sync", 3)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
@row("6.3 node")
def test_a_script_may_be_javascript(shared_server: RunningServer) -> None:
    record = shared_server.run("script-js", "acme")

    assert record["status"] == "JOB_COMPLETED", record["message"]
    written = (shared_server.folder(record) / "targets/target-fake/people.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in written] == ["1", "2", "3"]


@row("6.3 node")
def test_a_script_that_cannot_run_here_says_why(shared_server: RunningServer) -> None:
    """
    TypeScript needs a Node that strips types; where it runs, this script fails for it wrote nothing.
    """
    record = shared_server.run("script-ts", "acme")

    assert record["status"] == "ETL_FAILED"
    assert (
        "needs Node" in record["message"] or "does not run" in record["message"] or "wrote nothing" in record["message"]
    )


def test_a_script_may_be_allowed_to_write_nothing(shared_server: RunningServer) -> None:
    """
    With `empty_output: allow` a script that wrote nothing has done well; the target is not started.
    """
    record = shared_server.run("script-quiet", "acme")

    assert record["status"] == "JOB_COMPLETED", record["message"]


STAGES = {
    "discover": ({"override_source_config": {"stay_at_discover": True}}, "SYNC", "tap_source.py"),
    "sync": ({"override_source_config": {"then": "stay"}}, "SYNC", "tap_source.py"),
    "etl": ({"override_source_config": {"etl_then": "stay"}}, "ETL", "etl.py"),
    "export": ({"override_target_config": {"mode": "hang"}}, "EXPORT", "target.py"),
}


def begun(server: RunningServer, tenant: str, stage: str) -> tuple[dict[str, Any], psutil.Process]:
    """
    Start a job that stays in a stage; gives it and the child that stays.
    """
    options, status, program = STAGES[stage]
    job = server.submit(FLOW, tenant, options).json()
    server.wait_for(job, lambda record: record["status"] == f"{status}_STARTED", seconds=30)
    folder = str(server.folder(job))
    discovers = stage == "discover"
    child = eventually(lambda: _child(server, program, folder, discovers), seconds=20, what=f"{program} runs")
    return job, child


def _child(server: RunningServer, program: str, folder: str, discovers: bool) -> psutil.Process | None:
    for process in server.processes():
        try:
            words = process.cmdline()
            is_it = any(word.endswith(program) for word in words) and ("--discover" in words) == discovers
            if is_it and process.cwd().startswith(folder):
                return process
        except psutil.Error:
            continue
    return None


@pytest.mark.parametrize("stage", STAGES)
@row("drill 41", "6.6 discover")
def test_a_job_killed_in_any_stage_ends_there(shared_server: RunningServer, stage: str) -> None:
    """
    Within ten seconds the job has its last status and no child; the token that it spent is not lost, so the next job works.
    """
    tenant = f"at-{stage}"
    job, child = begun(shared_server, tenant, stage)

    shared_server.client.post(f"/hotglue/demo/{FLOW}/{tenant}/jobs/kill", params={"job_root": job["s3_root"]})
    record = shared_server.wait(job, seconds=10)
    again = shared_server.client.post(f"/hotglue/demo/{FLOW}/{tenant}/jobs/kill", params={"job_root": job["s3_root"]})
    next_job = shared_server.run(FLOW, tenant)

    assert record["status"] == f"{STAGES[stage][1]}_FAILED"
    assert record["message"].startswith("Job was killed")
    assert not child.is_running()
    assert again.status_code == 400
    assert shared_server.status(job) == record
    assert next_job["status"] == "JOB_COMPLETED", next_job["message"]
    assert next_job["processed_rows"] == 3


@pytest.mark.parametrize("stage", ["sync", "etl", "export"])
def test_a_child_that_is_shot_fails_its_stage(shared_server: RunningServer, stage: str) -> None:
    """
    A SIGKILL from outside is told as such, and costs nothing but this job.
    """
    tenant = f"shot-{stage}"
    job, child = begun(shared_server, tenant, stage)

    child.send_signal(signal.SIGKILL)
    record = shared_server.wait(job, seconds=15)
    next_job = shared_server.run(FLOW, tenant)

    assert record["status"] == f"{STAGES[stage][1]}_FAILED"
    assert "SIGKILL" in record["message"]
    assert next_job["status"] == "JOB_COMPLETED", next_job["message"]
