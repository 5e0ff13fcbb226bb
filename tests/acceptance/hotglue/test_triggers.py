"""
Jobs that nobody asks for one by one: those that a link brings, and those of a schedule.
"""

from __future__ import annotations

from typing import Any

from hotglue_rows import row

from acceptance.running_server import RunningServer, eventually
from acceptance.witnesses import LINKING, link, witnessed

JOBS = f"/hotglue/{LINKING}/linked/{{tenant}}/jobs"
TAP = {"source": {"tap": "tap-seen", "config": {}}}
TARGET = {"target": {"target": "target-seen", "config": {}}}
DUE = "update schedule set next_at = now() where tenant_id = %s"


def history(server: RunningServer, tenant: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.client.get(JOBS.format(tenant=tenant)).json()
    return found


@row("6.3 SYNC_TYPE")
def test_a_link_brings_a_job_that_says_so(shared_server: RunningServer) -> None:
    """
    With the setting `job_on_link`: it is an `auto_sync` to the record and to its script, and the next job goes on from it.
    """
    link(shared_server, "linked", "arrives", "linkedTargets", TARGET, workspace=LINKING)
    link(shared_server, "linked", "arrives", "linkedSources", TAP, workspace=LINKING)

    (made,) = history(shared_server, "arrives")
    job = witnessed(shared_server, shared_server.wait(made))
    next_job = shared_server.run("linked", "arrives", environment=LINKING)

    assert (job.record["status"], job.record["processed_rows"]) == ("JOB_COMPLETED", 4), job.record["message"]
    assert job.record["sync_type"] == job.variables("script")["SYNC_TYPE"] == "auto_sync"
    assert job.record["scheduled_job"] is False
    assert next_job["sync_type"] == "incremental_sync"


@row("2.2 J7", "10 5")
def test_a_schedule_brings_a_job_of_its_own_name(shared_server: RunningServer) -> None:
    """
    Its instant comes once; the job says that a schedule started it, and runs with the options that the schedule has.
    """
    tenant = "scheduled"
    link(shared_server, "linked", tenant, "linkedTargets", TARGET, workspace=LINKING)
    link(shared_server, "linked", tenant, "linkedSources", TAP, workspace=LINKING)
    shared_server.wait(history(shared_server, tenant)[0])
    path = f"{JOBS.format(tenant=tenant)}/schedule"
    schedule = {"schedule_expression": "rate(5 hours)", "environment_variables": {"SEEN_SHARED": "the schedule's"}}
    assert shared_server.client.put(path, json=schedule).status_code == 200

    shared_server.execute(DUE, tenant)
    made = eventually(lambda: (history(shared_server, tenant)[:-1] or [None])[0], seconds=20, what="the instant is met")
    job = witnessed(shared_server, shared_server.wait(made))
    shown = shared_server.client.get(path).json()

    assert job.record["status"] == "JOB_COMPLETED", job.record["message"]
    assert job.record["scheduled_job"] is True
    assert job.record["job_name"].startswith("linked-tap-seen-")
    assert job.record["sync_type"] == "incremental_sync"
    assert job.variables("script")["SEEN_SHARED"] == "the schedule's"
    assert (shown["State"], len(shown["firings"])) == ("ENABLED", 1)
    assert len(history(shared_server, tenant)) == 2
