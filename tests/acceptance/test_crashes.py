"""
Whatever is killed, an acknowledged job completes with every row, and no process is left over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from acceptance.projects import ProjectFolder
from acceptance.running_server import KEY, RunningServer, alive, eventually, running

ROWS = 400

_WHERE = """
pwd -P; ls; touch mine
test -e "$ROOT/again" || { touch "$ROOT/again"; echo asleep; exec sleep 600; }
echo done
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = ProjectFolder(tmp_path_factory.mktemp("project"))
    slow = {"mode": "slow", "records": ROWS, "pause_seconds": 0.01}
    folder.flow("slow", dict.fromkeys(("worker", "server", "stop", "database", "serve"), slow))
    return folder.folder


@pytest.fixture(scope="module")
def server(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(
        tmp_path_factory.mktemp("home"), project, HEADRACE_WORKER_TTL_SECONDS="8", HEADRACE_WORKER_BEAT_SECONDS="0.5"
    ) as started:
        yield started


def begun(server: RunningServer, tenant: str) -> dict[str, object]:
    """
    Start a job and wait until records flow.
    """
    job = server.submit("slow", tenant).json()
    server.wait_for(job, lambda record: record["processed_rows"] > 0)
    return job


def test_a_job_outlives_its_worker(server: RunningServer) -> None:
    """
    kill -9 of the worker in the middle of a sync: its children end, another worker takes the job over, no row is missing.
    """
    job = begun(server, "worker")
    worker = server.role("worker")
    children = worker.children(recursive=True)

    worker.kill()
    eventually(lambda: not alive(children), seconds=10, what="the tap and the writer are gone")
    record = server.wait(job)

    assert record["status"] == "JOB_COMPLETED", record["message"]
    assert record["processed_rows"] == ROWS
    attempts = server.client.get(f"/api/v1/jobs/{record['task_id']}").json()
    assert attempts["attempt"] == 2


def test_a_pipeline_outlives_its_worker_and_stays_where_it_was(server: RunningServer) -> None:
    """
    kill -9 of the worker in the middle of a pipeline's command: the next attempt has a fresh copy of the project at the same path.

    So has the next job; what each has written goes along with its job, and nothing stays behind.
    """
    pipeline = str(uuid4())
    bearer = {"authorization": f"Bearer {KEY}"}
    base = "/matatika/api"
    workspace = server.client.get(f"{base}/workspaces", headers=bearer).json()["_embedded"]["workspaces"][0]["id"]
    body = {"label": "where", "dataComponents": [], "script": _WHERE}
    made = server.client.put(f"{base}/workspaces/{workspace}/pipelines/{pipeline}", json=body, headers=bearer)
    assert made.status_code == 201, made.text

    def answers(path: str) -> dict[str, Any]:
        return dict(server.client.get(f"{base}/{path}", headers=bearer).json())

    def run() -> dict[str, Any]:
        return dict(server.client.post(f"{base}/pipelines/{pipeline}/jobs", headers=bearer).json())

    def said(job: dict[str, Any]) -> str:
        return server.client.get(f"{base}/jobs/{job['id']}/logs", headers=bearer).text

    def ended(job: dict[str, Any]) -> bool:
        return bool(answers(f"jobs/{job['id']}")["status"] == "COMPLETE")

    eventually(lambda: answers(f"pipelines/{pipeline}")["status"] == "READY", seconds=30, what="the pipeline is ready")
    first = run()
    eventually(lambda: "asleep" in said(first), seconds=30, what="its command has begun")
    server.kill_worker()
    eventually(lambda: ended(first), seconds=60, what="the job has completed elsewhere")
    second = run()
    eventually(lambda: "asleep" in said(second), seconds=30, what="the next command has begun")
    server.client.put(f"{base}/jobs/{second['id']}/stopped", headers=bearer)
    eventually(lambda: answers(f"jobs/{second['id']}")["status"] == "STOPPED", seconds=30, what="it was stopped")

    here = server.home / "meltano" / pipeline / "project"
    assert said(first).splitlines() == [str(here), "asleep", str(here), "done"]
    assert said(second).splitlines() == [str(here), "asleep"]
    written = {file.parent.parent.name for file in (server.home / "files" / "jobs").glob("*/*/*/*/project/mine")}
    assert written == {first["id"], second["id"]}
    assert not here.parent.exists()


def test_a_job_outlives_the_whole_server(server: RunningServer) -> None:
    """
    kill -9 of the whole server in the middle of a sync: nothing is left running; after a restart the job completes.
    """
    job = begun(server, "server")

    server.kill_everything()
    server.start()
    record = server.wait(job)

    assert record["status"] == "JOB_COMPLETED", record["message"]
    assert record["processed_rows"] == ROWS


def test_a_stop_hands_the_job_back(project: Path, tmp_path: Path) -> None:
    """
    A worker that is asked to stop hands its job back; the next start finishes it, at no cost of an attempt.
    """
    with running(tmp_path / "home", project, HEADRACE_DRAIN_SECONDS="0.1") as server:
        job = begun(server, "stop")
        tree = server.processes()
        assert server.stop() == 0
        assert not alive(tree)

        server.start()
        record = server.wait(job)

    assert record["status"] == "JOB_COMPLETED", record["message"]
    assert record["processed_rows"] == ROWS


def test_a_job_outlives_the_database(server: RunningServer) -> None:
    """
    kill -9 of the embedded PostgreSQL: the supervisor starts it again, the job completes.
    """
    job = begun(server, "database")
    postgres = next(process for process in server.processes() if process.name() == "postgres")

    postgres.kill()

    def ended() -> bool:
        try:
            return "JOB_COMPLETED" in server.status(job)["status"]
        except AssertionError:  # 503 while the database is away
            return False

    eventually(ended, seconds=60, what="the job has completed")
    assert server.status(job)["processed_rows"] == ROWS


def test_callers_do_not_notice_a_restart_of_the_api(server: RunningServer) -> None:
    """
    kill -9 of the API process: the listening socket stays, so a call made meanwhile is answered late, not refused.
    """
    server.role("serve").kill()
    server.reconnect()

    record = server.run("slow", "serve")

    assert record["status"] == "JOB_COMPLETED"
