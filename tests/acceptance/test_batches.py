"""
Intuned's jobs on a whole server: killed workers, schedules, files that come and go, and what the core API and the command line show.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from acceptance.intuned_client import IntunedClient, listening
from acceptance.projects import ProjectFolder
from acceptance.running_server import KEY, RunningServer, eventually, running

ITEMS = 24
FUNCTION = """
from headrace_automation import NonRetryableError, run_info
async def automation(params):
    with open(params["began"], "a") as notes:
        notes.write(str(params["n"]) + "\\n")
    import time
    time.sleep(0.2)
    print("item", params["n"], "of", run_info().job_id)
    if params["n"] % 8 == 7:
        raise NonRetryableError("no luck")
    return params["n"]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = ProjectFolder(tmp_path_factory.mktemp("project")).folder
    demo = folder / "automations" / "demo"
    (demo / "api").mkdir(parents=True)
    (demo / "api" / "work.py").write_text(FUNCTION)
    (demo / "Intuned.json").write_text(json.dumps({"replication": {"maxConcurrentRequests": 4}}))
    return folder


@pytest.fixture(scope="module")
def server(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(
        tmp_path_factory.mktemp("home"),
        project,
        HEADRACE_WORKER_TTL_SECONDS="8",
        HEADRACE_WORKER_BEAT_SECONDS="0.5",
        HEADRACE_WEBHOOK_PRIVATE_NETWORKS="true",
    ) as started:
        yield started


@pytest.fixture
def received() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """
    A sink: its address, and what it was sent.
    """
    bodies: list[dict[str, Any]] = []

    def take(body: dict[str, Any], _headers: Message) -> int:
        bodies.append(body)
        return 204

    with listening(take) as url:
        yield url, bodies


def call(server: RunningServer, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
    return IntunedClient(server, "demo")(method, path, body, status=status)


def created(server: RunningServer, job: str, notes: Path, count: int = 2, **more: Any) -> None:
    payload = [{"apiName": "work", "parameters": {"n": n, "began": str(notes)}} for n in range(count)]
    call(server, "POST", "/jobs", {"id": job, "payload": payload, "configuration": {}, **more}, status=201)


def ended(server: RunningServer, job: str, run: str, *, seconds: float = 90.0) -> dict[str, Any]:
    record: dict[str, Any] = IntunedClient(server, "demo").job_run(job, run, seconds=seconds)["jobRun"]
    return record


def test_items_outlive_their_worker(
    server: RunningServer, received: tuple[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """
    kill -9 of the worker in the midst of items: none is lost, those that had ended are not run again, and each is delivered as a success
    or as a failure, never as both.
    """
    url, bodies = received
    notes = tmp_path / "began"
    created(server, "killed", notes, ITEMS, sink={"type": "webhook", "url": url})
    run = call(server, "POST", "/jobs/killed/trigger")["jobRunId"]
    eventually(lambda: len(bodies) >= ITEMS // 4, seconds=60, what="some items have ended")

    ended_before = {body["apiInfo"]["parameters"]["n"] for body in list(bodies)}
    server.kill_worker()
    record = ended(server, "killed", run)
    eventually(
        lambda: len({body["apiInfo"]["runId"] for body in bodies}) == ITEMS, seconds=60, what="all items are delivered"
    )

    failing = sum(n % 8 == 7 for n in range(ITEMS))
    assert (record["status"], record["successful_runs"], record["failed_runs"]) == ("SUCCESS", ITEMS - failing, failing)
    outcomes = {(body["apiInfo"]["runId"], body["apiInfo"]["result"]["status"]) for body in bodies}
    assert len(outcomes) == ITEMS
    begun = Counter(int(line) for line in notes.read_text().split())
    assert set(begun) == set(range(ITEMS))
    assert all(begun[n] == 1 for n in ended_before)


def test_the_core_api_and_the_command_line_show_items(server: RunningServer, tmp_path: Path) -> None:
    created(server, "shown", tmp_path / "began", 8)
    run = call(server, "POST", "/jobs/shown/trigger")["jobRunId"]
    ended(server, "shown", run)

    def headrace(*arguments: str) -> str:
        address = ["--url", f"http://127.0.0.1:{server.port}", "--key", KEY]
        argv = [sys.executable, "-m", "headrace.cli.main", *arguments, *address]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    page = server.client.get(f"/api/v1/jobs/{run}/items", params={"limit": 5}).json()
    rest = server.client.get(f"/api/v1/jobs/{run}/items", params={"limit": 5, "after": page["next"]}).json()
    logs = server.client.get(f"/api/v1/jobs/{run}/items/3/logs").json()

    assert [item["ordinal"] for item in page["items"] + rest["items"]] == list(range(8))
    assert rest["next"] is None
    assert [item["state"] for item in rest["items"]] == ["completed", "completed", "failed"]
    assert "no luck" in rest["items"][-1]["cause"]["sentence"]
    assert [line["text"] for line in logs["lines"]] == ["item 3 of shown"]
    assert json.loads(headrace("items", run, "--state", "failed", "--json"))[0]["ordinal"] == 7
    assert "item 3 of shown" in headrace("logs", run, "--item", "3")
    assert server.client.get("/api/v1/jobs/00000000-0000-0000-0000-000000000000/items").status_code == 404


def test_a_schedule_starts_runs(server: RunningServer, tmp_path: Path) -> None:
    """
    Each second that the job is scheduled for; no run once it is paused.
    """
    created(server, "hourly", tmp_path / "began", 1, schedule={"intervals": [{"every": "1s"}]})

    def completed() -> list[dict[str, Any]]:
        runs = call(server, "GET", "/jobs/hourly/runs")["jobRuns"]
        return [run for run in runs if run["status"] == "SUCCESS"]

    eventually(lambda: len(completed()) >= 2, seconds=60, what="two runs have completed")
    call(server, "POST", "/jobs/hourly/pause")

    assert {run["type"] for run in completed()} == {"SCHEDULED"}
    assert call(server, "GET", "/jobs/hourly")["next_run_time"] is None
    call(server, "DELETE", "/jobs/hourly", status=204)


def test_jobs_of_a_project_go_with_its_folder(server: RunningServer, project: Path) -> None:
    """
    And come with it, within moments.
    """
    folder = project / "automations" / "passing"
    jobs = "/intuned/api/v1/workspace/demo/projects/passing/jobs"
    (folder / "api").mkdir(parents=True)
    (folder / "api" / "work.py").write_text("async def automation(params): ...\n")
    file = folder / "intuned-resources" / "jobs" / "crawl.job.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"payload": [{"apiName": "work", "parameters": {}}], "configuration": {}}')
    (folder / "Intuned.json").write_text("{}")

    def names() -> list[str] | None:
        reply = server.client.get(jobs)
        return [job["id"] for job in reply.json()] if reply.status_code == 200 else None

    eventually(lambda: names() == ["crawl"], seconds=30, what="the job of the file is there")
    shutil.rmtree(folder)
    eventually(lambda: names() is None, seconds=30, what="the project is gone")
    folder.mkdir()
    (folder / "Intuned.json").write_text("{}")
    eventually(lambda: names() == [], seconds=30, what="the project is back without a job")
