"""
What a receiver hears of jobs on a whole server: each status once, in order, signed, with the job as it stood.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hotglue_rows import case, row
from standardwebhooks import Webhook

from acceptance.projects import ProjectFolder
from acceptance.running_server import RunningServer, alive, eventually, running

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="
WHOLE = ["JOB_CREATED", "SYNC_STARTED", "SYNC_SUCCESS", "ETL_STARTED", "ETL_SUCCESS", "EXPORT_STARTED", "JOB_COMPLETED"]


@dataclass
class Mailbox:
    """
    What a receiver has got, and whether it is well: an ill one answers 503.
    """

    url: str = ""
    ill: bool = False
    refused: int = 0
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def of(self, job: dict[str, Any]) -> list[tuple[dict[str, str], dict[str, Any]]]:
        """
        List what came of one job, in order of arrival, and check the signatures of each.
        """
        found = []
        for headers, body in list(self.received):
            details = json.loads(body)
            if details.get("job_id") == job["job_id"]:
                Webhook(SECRET).verify(body, headers)
                digest = hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
                assert headers["x-hub-signature"] == digest
                found.append((headers, details))
        return found

    def has_end_of(self, job: dict[str, Any]) -> bool:
        end = [details for _, details in self.of(job) if details["status"].endswith(("_FAILED", "JOB_COMPLETED"))]
        return bool(end)


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if box.ill:
                box.refused += 1
            else:
                box.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(503 if box.ill else 204)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """
            Keep the test's output clean.
            """

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        box.url = f"http://127.0.0.1:{listening.server_port}/hook"
        yield box
        listening.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(mailbox: Mailbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("webhooks")
    hook = {"url": mailbox.url, "secret": SECRET, "events": ["job-lifecycle"]}
    discovering = {"webhooks": [hook], "settings": {"force_discover": True}}
    project = ProjectFolder(folder / "project", workspaces={"demo": {"webhooks": [hook]}, "discovering": discovering})
    slow = {"mode": "slow", "records": 200, "pause_seconds": 0.02}
    project.flow("plain", {"good": {}, "ill": {}, "exit-3": {"mode": "exit-3"}, "hang": {"mode": "hang"}, "slow": slow})
    project.flow("script-raises", {"acme": {}}, script="etl_raises.py")
    project.flow("refused", {"acme": ({}, {"mode": "exit-4"})})
    project.flow("whole", {"good": {}, "exit-3": {"mode": "exit-3"}}, workspace="discovering")
    with running(folder / "home", project.folder, HEADRACE_WEBHOOK_PRIVATE_NETWORKS="true") as started:
        yield started


def heard(mailbox: Mailbox, job: dict[str, Any], *, seconds: float = 20) -> list[tuple[dict[str, str], dict[str, Any]]]:
    eventually(lambda: mailbox.has_end_of(job), seconds=seconds, what="the end is told")
    return mailbox.of(job)


@row("10 11")
def test_each_status_is_told_once_in_order_and_signed(server: RunningServer, mailbox: Mailbox) -> None:
    """
    The body is what a poll would have said at that moment, the last one just what it says now.
    """
    record = server.run("plain", "good")
    messages = heard(mailbox, record)

    assert [details["status"] for _, details in messages] == WHOLE
    assert [headers["x-headrace-topic"] for headers, _ in messages] == WHOLE
    assert len({headers["webhook-id"] for headers, _ in messages}) == len(WHOLE)
    assert {headers["content-type"] for headers, _ in messages} == {"application/json"}
    assert messages[-1][1] == record
    for _, details in messages:
        assert set(details) == set(record)
        assert details["status"] in details["status_timestamp"]
        assert list(details["status_timestamp"].items()) == list(record["status_timestamp"].items())[: len(details["status_timestamp"])]  # fmt: skip


@pytest.fixture(scope="module")
def statuses(server: RunningServer, mailbox: Mailbox) -> Callable[[str, str], list[str]]:
    """
    Gives the statuses that a receiver hears of a job of a flow and tenant; each job runs once.
    """
    heard_of: dict[tuple[str, str], list[str]] = {}

    def of(flow: str, tenant: str) -> list[str]:
        if (flow, tenant) not in heard_of:
            job = server.run(flow, tenant, environment="discovering" if flow == "whole" else "demo")
            heard_of[flow, tenant] = [details["status"] for _, details in heard(mailbox, job)]
            assert heard_of[flow, tenant][-1] == job["status"]
        return heard_of[flow, tenant]

    return of


@pytest.mark.parametrize(
    ("status", "flow", "tenant", "before"),
    [
        case("3.1 JOB_CREATED", "JOB_CREATED", "whole", "good", None),
        case("3.1 DISCOVER_STARTED", "DISCOVER_STARTED", "whole", "good", "JOB_CREATED"),
        case("3.1 DISCOVER_FAILED", "DISCOVER_FAILED", "whole", "exit-3", "DISCOVER_STARTED"),
        case("3.1 SYNC_STARTED", "SYNC_STARTED", "whole", "good", "DISCOVER_STARTED"),
        case("3.1 SYNC_FAILED", "SYNC_FAILED", "plain", "exit-3", "SYNC_STARTED"),
        case("3.1 SYNC_SUCCESS", "SYNC_SUCCESS", "whole", "good", "SYNC_STARTED"),
        case("3.1 ETL_STARTED", "ETL_STARTED", "whole", "good", "SYNC_SUCCESS"),
        case("3.1 ETL_FAILED", "ETL_FAILED", "script-raises", "acme", "ETL_STARTED"),
        case("3.1 ETL_SUCCESS", "ETL_SUCCESS", "whole", "good", "ETL_STARTED"),
        case("3.1 EXPORT_STARTED", "EXPORT_STARTED", "whole", "good", "ETL_SUCCESS"),
        case("3.1 EXPORT_FAILED", "EXPORT_FAILED", "refused", "acme", "EXPORT_STARTED"),
        case("3.1 JOB_COMPLETED", "JOB_COMPLETED", "whole", "good", "EXPORT_STARTED"),
    ],
)
def test_a_status_is_reached_behind_the_one_before_it(
    statuses: Callable[[str, str], list[str]], status: str, flow: str, tenant: str, before: str | None
) -> None:
    """
    Each once, by a job that really was there; final ones are the last.
    """
    told = statuses(flow, tenant)
    at = told.index(status)

    assert told.count(status) == 1
    assert (told[at - 1] if at else None) == before
    assert (at == len(told) - 1) == (status.endswith("_FAILED") or status == "JOB_COMPLETED")


@pytest.mark.parametrize(
    ("flow", "tenant", "statuses"),
    [
        ("plain", "exit-3", ["JOB_CREATED", "SYNC_STARTED", "SYNC_FAILED"]),
        ("script-raises", "acme", ["JOB_CREATED", "SYNC_STARTED", "SYNC_SUCCESS", "ETL_STARTED", "ETL_FAILED"]),
    ],
)
def test_a_failure_is_told_with_its_cause(
    server: RunningServer, mailbox: Mailbox, flow: str, tenant: str, statuses: list[str]
) -> None:
    record = server.run(flow, tenant)
    messages = heard(mailbox, record)

    assert [details["status"] for _, details in messages] == statuses
    assert messages[-1][1]["message"] == record["message"] != ""


def test_a_kill_is_told(server: RunningServer, mailbox: Mailbox) -> None:
    job = server.submit("plain", "hang").json()
    server.wait_for(job, lambda record: record["status"] == "SYNC_STARTED")

    server.kill(job)
    messages = heard(mailbox, server.wait(job))

    assert [details["status"] for _, details in messages] == ["JOB_CREATED", "SYNC_STARTED", "SYNC_FAILED"]


def test_a_receiver_that_was_ill_gets_all_in_order(server: RunningServer, mailbox: Mailbox) -> None:
    """
    A receiver's failure does not touch the job; what it refused comes again, before what followed.
    """
    mailbox.ill = True
    job = server.submit("plain", "ill").json()
    eventually(lambda: mailbox.refused > 0, seconds=60, what="the first try is refused")
    mailbox.ill = False  # before the second one, after which nothing comes for five minutes
    record = server.wait(job)
    messages = heard(mailbox, record, seconds=60)

    assert record["status"] == "JOB_COMPLETED"
    assert [details["status"] for _, details in messages] == WHOLE


def test_a_take_over_repeats_no_status(server: RunningServer, mailbox: Mailbox) -> None:
    """
    kill -9 of the whole server in the middle of a sync: after the restart the rest is told, under ids that a receiver knows repeats by.
    """
    job = server.submit("plain", "slow").json()
    server.wait_for(job, lambda record: record["processed_rows"] > 0)
    doomed = server.processes()

    server.kill_everything()
    server.start()
    messages = heard(mailbox, server.wait(job))

    assert not alive(doomed)
    by_id = {headers["webhook-id"]: details["status"] for headers, details in messages}
    assert list(by_id.values()) == WHOLE
