"""
Pipelines on a whole server: `headrace up`, as users start it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
from acceptance.running_server import RunningServer, eventually, running
from matatika_rows import row
from meltano_kit import write_project

BASE = "/matatika/api"


@pytest.fixture(scope="module")
def server(environments: Path) -> Iterator[RunningServer]:
    folder = Path(tempfile.mkdtemp(prefix="headrace-matatika-", dir="/tmp"))
    folder.chmod(0o755)
    project = folder / "project"
    (project / "pipelines").mkdir(parents=True)
    (project / "headrace.yml").write_text("workspaces: {demo: {}, real: {settings: {meltano: real}}}\n")
    (project / "meltano.yml").write_text("default_environment: dev\n")
    (project / "pipelines" / "tick.yml").write_text("inline_script: echo tick\nschedule: '*/2 * * * * *'\n")
    (project / "pipelines" / "after.yml").write_text("inline_script: echo after\ntriggered_by: [tick]\n")
    (project / "pipelines" / "long.yml").write_text("inline_script: sleep 2\nschedule: '* * * * * *'\n")
    (project / "real").mkdir()
    write_project(project / "real", script="moody")
    (folder / "home").mkdir()
    (folder / "home" / "environments").symlink_to(environments)  # they are slow to build
    soon = {"HEADRACE_WORKER_TTL_SECONDS": "8", "HEADRACE_WORKER_BEAT_SECONDS": "0.5"}
    with running(folder / "home", project, HEADRACE_SLOTS="3", **soon) as server:
        yield server
    shutil.rmtree(folder)


def _get(server: RunningServer, path: str) -> dict[str, Any]:
    answer = server.client.get(f"{BASE}/{path}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _pipeline(server: RunningServer, name: str, workspace: str = "demo", **fields: Any) -> str:
    """
    Make a pipeline and wait until it is ready.
    """
    pipeline = str(uuid4())
    body = {"label": name, "dataComponents": [], **fields}
    made = server.client.put(f"{BASE}/workspaces/{workspace}/pipelines/{pipeline}", json=body)
    assert made.status_code == 201, made.text
    eventually(lambda: _get(server, f"pipelines/{pipeline}")["status"] == "READY", seconds=90, what="ready")
    return pipeline


def _ended(server: RunningServer, job_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        job = _get(server, f"jobs/{job_id}")
        return job if job["status"] not in ("QUEUED", "RUNNING") else None

    return eventually(look, seconds=60, what="the job has ended")


@row("6.4 Stuck")
def test_a_job_goes_on_when_its_worker_is_killed(server: RunningServer) -> None:
    """
    A kill -9 of the worker in a run: the job ends well elsewhere, under the same id, and nothing of the first try is left.
    """
    script = 'if [ -e "$ROOT/seen" ]; then echo again; exit 0; fi; touch "$ROOT/seen"; echo first; exec sleep 3456'
    pipeline = _pipeline(server, "resumed", script=script)
    job = server.client.post(f"{BASE}/pipelines/{pipeline}/jobs").json()
    eventually(
        lambda: "first" in server.client.get(f"{BASE}/jobs/{job['id']}/logs").text, seconds=60, what="it has begun"
    )
    sleeping = [each for each in server.processes() if each.cmdline()[-1:] == ["3456"]]

    server.kill_worker()
    ended = _ended(server, job["id"])

    assert (ended["status"], ended["exitCode"], ended["attempt"]) == ("COMPLETE", 0, 0)
    assert server.client.get(f"{BASE}/jobs/{job['id']}/logs").text == "first\nagain\n"
    assert len(sleeping) == 1
    eventually(lambda: not sleeping[0].is_running(), seconds=20, what="the first try's process is gone")


def test_files_make_scheduled_and_triggered_pipelines(server: RunningServer) -> None:
    """
    A pipeline's file, its schedule in seconds, and what it triggers, with nobody asking.
    """

    def triggered() -> dict[str, Any] | None:
        found = _get(server, "workspaces/demo/jobs?size=200").get("_embedded", {}).get("jobs", [])
        return next((job for job in found if job.get("triggeredBy") == "tick"), None)

    job = eventually(triggered, seconds=60, what="the chain has run")
    ended = _ended(server, job["id"])

    assert ended["status"] == "COMPLETE"
    assert ended["_embedded"]["pipeline"]["name"] == "after"


@pytest.mark.chaos
@row("6.4 Stuck", "6.3 Rule")
def test_a_real_run_survives_a_hard_kill_of_the_whole_server(server: RunningServer) -> None:
    """
    Every process of the server gets a SIGKILL while Meltano runs: its tap is gone with it, and after a start the same job goes on and ends
    well; until then no other is let in.
    """
    fields = {"dataComponents": ["tap-moody", "target-jsonl"], "properties": {"tap-moody.mode": "sleep-once"}}
    pipeline = _pipeline(server, "real-run", "real", **fields)
    job = server.client.post(f"{BASE}/pipelines/{pipeline}/jobs").json()

    def asleep() -> psutil.Process | None:
        said = server.client.get(f"{BASE}/jobs/{job['id']}/logs").text
        return psutil.Process(int(said.partition("asleep as ")[2].split()[0])) if "asleep as " in said else None

    tap = eventually(asleep, seconds=90, what="the tap sleeps")
    server.kill_everything()
    eventually(lambda: not tap.is_running(), seconds=20, what="the tap is gone")
    server.start()
    refused = server.client.post(f"{BASE}/pipelines/{pipeline}/jobs")
    ended = _ended(server, job["id"])

    assert refused.status_code == 409
    assert (ended["status"], ended["exitCode"], ended["attempt"]) == ("COMPLETE", 0, 0)
    (file,) = (server.home / "files" / "jobs").glob(f"*/*/*/{job['id']}/project/out/*.jsonl")
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == [1]


@row("6.3 Schedule")
def test_a_schedule_that_overlaps_itself_is_skipped_and_told(server: RunningServer) -> None:
    """
    Every second a run of two: never two at once, and subscribers hear of those that were left out.
    """
    found = _get(server, "workspaces/demo/pipelines?size=100")["_embedded"]["pipelines"]
    pipeline = next(each["id"] for each in found if each["name"] == "long")
    server.client.post(f"{BASE}/pipelines/{pipeline}/subscriptions")

    def skipped() -> bool:
        heard = _get(server, "notifications?size=200").get("_embedded", {}).get("notifications", [])
        return any(each["type"] == "PIPELINE_ACTIVITY" and "was skipped" in each["message"] for each in heard)

    def run() -> list[dict[str, Any]] | None:
        jobs = _get(server, f"pipelines/{pipeline}/jobs?size=200")["_embedded"]["jobs"]
        ended = [job for job in jobs if job["type"] == "PIPELINE_RUN" and "endTime" in job]
        return ended if len(ended) > 1 else None

    eventually(skipped, seconds=60, what="a start was skipped")
    spans = sorted(
        (job["startTime"], job["endTime"]) for job in eventually(run, seconds=60, what="two runs have ended")
    )

    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
