"""
The demo project's own job, killed in the middle: a year of flights arrives whole, whatever dies under it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from acceptance.running_server import RunningServer, alive, eventually, running
from headrace.cli.demo import _read_answer as read_answer
from headrace.cli.init import write_project

FLIGHTS, AIRLINES = 336_776, 16
MIDDLE = 20_000  # records that the sync has counted when it is struck
COLD_SECONDS = 300.0  # the first job builds the environments of its connectors and its script

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """
    A folder with the project that `headrace init` writes; its home keeps the environments from one test to the next.
    """
    folder = Path(tempfile.mkdtemp(prefix="headrace-flights-", dir="/tmp"))
    folder.chmod(0o755)
    write_project(folder / "project")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def server(folder: Path) -> Iterator[RunningServer]:
    """
    A server on a warehouse and a bookmark that know of no flights yet.
    """
    for file in (folder / "project/warehouse").glob("*.duckdb*"):
        file.unlink()
    with running(folder / "home", folder / "project") as started:
        yield started


def in_the_middle(server: RunningServer) -> tuple[dict[str, Any], list[psutil.Process]]:
    """
    Start the job and wait until the tap is well under way; gives the job and the worker with all below it.
    """
    job = server.submit("flights", "acme", {"reset_source_state": True}).json()
    server.wait_for(job, lambda record: (record["processed_rows"] or 0) >= MIDDLE, seconds=COLD_SECONDS)
    worker = server.role("worker")
    return job, [worker, *worker.children(recursive=True)]


def assert_whole(server: RunningServer, record: dict[str, Any]) -> None:
    """
    Every flight was read, once; every one is in the answer, once.
    """
    assert record["status"] == "JOB_COMPLETED", record["message"]
    assert record["metrics"]["recordCount"] == {"flights": FLIGHTS, "airlines": AIRLINES}
    warehouse = server.project / "warehouse/acme.duckdb"
    columns, worst = read_answer(warehouse, server.home)
    assert columns == ["airline", "flights", "minutes late", "worst month"]
    assert worst[0] == ["AirTran Airways Corporation", 3260, 20.2, "July"]


def test_the_flights_outlive_their_worker(server: RunningServer) -> None:
    """
    kill -9 of the worker: its tap and writer end at once, another worker goes on, and not one of 336,776 rows is lost or doubled.
    """
    job, doomed = in_the_middle(server)

    server.kill_worker()
    eventually(lambda: not alive(doomed), seconds=10, what="worker, tap and writer are gone")
    record = server.wait(job, seconds=COLD_SECONDS)

    assert_whole(server, record)
    assert server.client.get(f"/api/v1/jobs/{record['task_id']}").json()["attempt"] == 2


def test_the_flights_outlive_the_whole_server(server: RunningServer) -> None:
    """
    kill -9 of the supervisor: no process of its tree is left; after a restart on the same folder the job completes.
    """
    job, doomed = in_the_middle(server)

    server.kill_everything()
    assert not alive(doomed)
    server.start()
    record = server.wait(job, seconds=COLD_SECONDS)

    assert_whole(server, record)
