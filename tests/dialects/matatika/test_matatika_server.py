"""
Pipelines on a whole server: `headrace up`, as users start it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from acceptance.running_server import RunningServer, eventually, running
from matatika_rows import row

BASE = "/matatika/api"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    folder = Path(tempfile.mkdtemp(prefix="headrace-matatika-", dir="/tmp"))
    folder.chmod(0o755)
    project = folder / "project"
    (project / "pipelines").mkdir(parents=True)
    (project / "headrace.yml").write_text("workspaces:\n  demo:\n")
    (project / "meltano.yml").write_text("default_environment: dev\n")
    (project / "pipelines" / "tick.yml").write_text("inline_script: echo tick\nschedule: '*/2 * * * * *'\n")
    (project / "pipelines" / "after.yml").write_text("inline_script: echo after\ntriggered_by: [tick]\n")
    with running(folder / "home", project, HEADRACE_SLOTS="2") as server:
        yield server
    shutil.rmtree(folder)


def _get(server: RunningServer, path: str) -> dict[str, Any]:
    answer = server.client.get(f"{BASE}/{path}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _pipeline(server: RunningServer, name: str, script: str) -> str:
    """
    Make a pipeline and wait until it is ready.
    """
    pipeline = str(uuid4())
    body = {"label": name, "dataComponents": [], "script": script}
    made = server.client.put(f"{BASE}/workspaces/demo/pipelines/{pipeline}", json=body)
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
    pipeline = _pipeline(server, "resumed", script)
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
