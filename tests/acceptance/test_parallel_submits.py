"""
A thousand callers at once for one tenant and flow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from acceptance.running_server import RunningServer, eventually

CALLERS = 1000
FLOW = "plain"


def in_parallel(server: RunningServer, tenant: str, body: dict[str, Any]) -> list[Any]:
    with ThreadPoolExecutor(40) as callers:
        return list(callers.map(lambda _: server.submit(FLOW, tenant, body), range(CALLERS)))


def jobs_of(server: RunningServer, tenant: str) -> list[dict[str, Any]]:
    """
    List the tenant's jobs, oldest first.
    """
    answer = server.client.get(f"/hotglue/demo/{FLOW}/{tenant}/jobs", params={"count": 1000})
    return list(reversed(answer.json()))


@pytest.fixture
def empty_handed(shared_server: RunningServer) -> Iterator[RunningServer]:
    """
    The server; what the test left unfinished is killed after it.
    """
    yield shared_server
    for tenant in ("endless", "queued"):
        left = [job for job in jobs_of(shared_server, tenant) if job["status"] in ("JOB_CREATED", "SYNC_STARTED")]
        with ThreadPoolExecutor(8) as killers:
            # The waiting ones first, so that none of them starts in the place of one that was killed.
            list(killers.map(shared_server.kill, reversed(left)))


def test_without_queueing_one_of_a_thousand_is_let_in(empty_handed: RunningServer) -> None:
    """
    One 200; every other caller is told that a job is running.
    """
    answers = in_parallel(empty_handed, "endless", {})

    assert Counter(answer.status_code for answer in answers) == {200: 1, 400: CALLERS - 1}
    refused = next(answer for answer in answers if answer.status_code == 400)
    assert refused.json() == {"Code": "BadRequestError", "Message": "There is a job currently running"}


def test_with_queueing_all_are_let_in_and_run_one_by_one_in_order(empty_handed: RunningServer) -> None:
    """
    One 200, the rest 202 in hotglue's own words; never two run at once, and they run in the order they came.
    """
    answers = in_parallel(empty_handed, "queued", {"queue_if_active_job": True})
    most_at_once = 0

    def five_are_done() -> list[dict[str, Any]] | None:
        nonlocal most_at_once
        jobs = jobs_of(empty_handed, "queued")
        states = [job["status"] for job in jobs]
        most_at_once = max(most_at_once, sum(state not in ("JOB_CREATED", "JOB_COMPLETED") for state in states))
        return jobs if states.count("JOB_COMPLETED") >= 5 else None

    jobs = eventually(five_are_done, seconds=120, what="five of the queued jobs have completed")

    assert Counter(answer.status_code for answer in answers) == {200: 1, 202: CALLERS - 1}
    queued = next(answer for answer in answers if answer.status_code == 202)
    assert queued.json() == {
        "message": "Job has been queued. It will run when available",
        "reason": "There is a job currently running",
    }
    assert most_at_once <= 1
    done = [number for number, job in enumerate(jobs) if job["status"] == "JOB_COMPLETED"]
    assert done == list(range(len(done)))
