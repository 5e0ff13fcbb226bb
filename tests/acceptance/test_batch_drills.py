"""
A job of Intuned's of 200 payloads that grows while it runs, struck again and again: every run ends once, and is delivered as what it was.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import httpx2
import pytest

from acceptance.intuned_client import IntunedClient, listening
from acceptance.projects import ProjectFolder
from acceptance.running_server import RunningServer, eventually, running

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

ITEMS, DEPTH = 200, 4
BROKEN, HOPELESS, GROWING = ITEMS // 10, ITEMS // 10, ITEMS // 20
ADDED = GROWING * (2**DEPTH - 1)
FUNCTIONS = {
    "work": """
import asyncio
from headrace_automation import NonRetryableError, extend_payload
async def automation(params):
    n = params["n"]
    with open(params["began"], "a") as notes:
        notes.write(f"{n}\\n")
    await asyncio.sleep(0.1)
    if n % 10 == 3:
        raise ValueError("broken")
    if n % 10 == 7:
        raise NonRetryableError("hopeless")
    if n % 20 == 0:
        extend_payload({"api": "leaf", "parameters": {"path": str(n), "depth": 1}})
    return n
""",
    "leaf": f"""
from headrace_automation import extend_payload
async def automation(params):
    if params["depth"] < {DEPTH}:
        extend_payload([
            {{"api": "leaf", "parameters": {{"path": params["path"] + side, "depth": params["depth"] + 1}}}} for side in "lr"
        ])
    return params["path"]
""",
}  # fmt: skip


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    folder = ProjectFolder(tmp_path / "project").folder
    demo = folder / "automations" / "demo"
    (demo / "api").mkdir(parents=True)
    for name, text in FUNCTIONS.items():
        (demo / "api" / f"{name}.py").write_text(text)
    (demo / "Intuned.json").write_text(json.dumps({"replication": {"maxConcurrentRequests": 6}}))
    with running(
        tmp_path / "home",
        folder,
        HEADRACE_WORKER_TTL_SECONDS="8",
        HEADRACE_WORKER_BEAT_SECONDS="0.5",
        HEADRACE_WEBHOOK_PRIVATE_NETWORKS="true",
    ) as started:
        yield started


class Sink:
    """
    What was delivered, and taken: run, outcome and the delivery's id. Every 37th is refused.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.taken: list[tuple[str, str, str]] = []

    def take(self, body: dict[str, Any], headers: Message) -> int:
        self.asked += 1
        if self.asked % 37 == 0:
            return 503
        self.taken.append((body["apiInfo"]["runId"], body["apiInfo"]["result"]["status"], headers["webhook-id"]))
        return 204


@pytest.fixture
def sink() -> Iterator[tuple[str, Sink]]:
    kept = Sink()
    with listening(kept.take) as url:
        yield url, kept


def call(server: RunningServer, method: str, path: str, body: Any = None) -> Any:
    return IntunedClient(server, "demo", patient=True)(method, path, body)


def seen(server: RunningServer, run: str, what: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    client = IntunedClient(server, "demo", patient=True)
    record: dict[str, Any] = client.job_run("big", run, is_so, what=what, seconds=300)["jobRun"]
    return record


def many_ended(server: RunningServer, run: str, least: int) -> None:
    seen(server, run, f"{least} have ended", lambda record: record["successful_runs"] + record["failed_runs"] >= least)


def test_a_growing_job_outlives_whatever_dies(server: RunningServer, sink: tuple[str, Sink], tmp_path: Path) -> None:
    """
    Paused in the middle, its worker and then the whole server killed, twice each: no run is lost, none ends twice, each is delivered
    under one id as a success or as a failure, and what had ended is not begun again. A rerun takes what failed, and nothing else.
    """
    url, kept = sink
    began = tmp_path / "began"
    payload = [{"apiName": "work", "parameters": {"n": n, "began": str(began)}} for n in range(ITEMS)]
    configuration = {"maxConcurrentRequests": 4, "retry": {"maximumAttempts": 2}}
    body = {"id": "big", "payload": payload, "configuration": configuration, "sink": {"type": "webhook", "url": url}}
    call(server, "POST", "/jobs", body)
    run = call(server, "POST", "/jobs/big/trigger")["jobRunId"]

    many_ended(server, run, 20)
    call(server, "POST", "/jobs/big/pause")
    rest = seen(server, run, "the job rests", lambda record: record["status"] == "PAUSED")
    begun_at_rest = len(began.read_text().split())
    standing = call(server, "GET", f"/jobs/big/runs/{run}")["jobRun"]
    assert (rest["reason"]["type"], standing["updated_at"]) == ("user-request", rest["updated_at"])
    assert len(began.read_text().split()) == begun_at_rest
    call(server, "POST", "/jobs/big/resume")
    for number, strike in enumerate((server.kill_worker, server.kill_everything) * 2, 1):
        many_ended(server, run, 35 * number)
        strike()
        if number % 2 == 0:
            server.start()
    record = seen(server, run, "the job has ended", lambda record: record["end_time"] is not None)

    total, failed = ITEMS + ADDED, BROKEN + HOPELESS
    assert (record["status"], record["payloads"]) == ("SUCCESS", total)
    assert (record["successful_runs"], record["failed_runs"]) == (total - failed, failed)
    lines = [
        json.loads(line)["apiInfo"]
        for line in httpx2.get(call(server, "GET", f"/jobs/big/runs/{run}")["results"]["signed_url"]).text.splitlines()
    ]
    outcome = {line["runId"]: line["status"] for line in lines}
    assert len(lines) == len(outcome) == total
    paths = Counter(line["parameters"]["path"] for line in lines if line["name"] == "leaf")
    assert (len(paths), set(paths.values())) == (ADDED, {1})
    eventually(lambda: {run for run, _, _ in kept.taken} == set(outcome), seconds=60, what="all are delivered")
    assert {(run, status) for run, status, _ in kept.taken} == set(outcome.items())
    assert len({(run, delivery) for run, _, delivery in kept.taken}) == total
    begun = Counter(int(line) for line in began.read_text().split())
    assert set(begun) == set(range(ITEMS))
    wanted = ITEMS + BROKEN
    assert begun.total() <= wanted + 4 * 4  # of each strike, no more than what was in flight begins again

    again = call(server, "POST", f"/jobs/big/runs/{run}/rerun")["jobRunId"]
    assert seen(server, again, "the rerun ended", lambda record: record["end_time"] is not None)["payloads"] == failed
