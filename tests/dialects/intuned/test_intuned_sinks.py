"""
Outcomes of runs at their sinks: a webhook and a bucket that are really there.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from intuned_kit import BODY
from item_kit import BROKEN, done

from headrace.core.fan_out import ItemEnd
from headrace.deliveries.dispatcher import Dispatcher
from headrace.deliveries.item_sinks import Senders, pause_of
from headrace.deliveries.s3 import S3Sender
from headrace.deliveries.webhook import Answer, WebhookSender
from headrace.dialects.intuned.sink_keys import CorrectedSinks
from headrace.services.item_attempts import ItemWork
from headrace.store.deliveries import Delivery


@pytest.fixture
async def dispatcher(api: Any) -> AsyncIterator[Dispatcher]:
    sender = WebhookSender(private_networks=True, timeout_seconds=10, now=lambda: datetime.now(UTC))
    buckets = S3Sender(private_networks=True, timeout_seconds=10)
    house = api.kit.house
    yield Dispatcher(
        house.deliveries,
        house.announcements.secret_of,
        Senders(
            sender, buckets, api.services.fan_outs.sink_of, CorrectedSinks(api.services.jobs, api.services.batches)
        ),
        chance=random.random,
        pause=pause_of,
    )
    await sender.close()


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[str, list[tuple[dict[str, str], dict[str, Any]]]]]:
    """
    A webhook on loopback that keeps what it is told.
    """
    told: list[tuple[dict[str, str], dict[str, Any]]] = []

    async def take(request: web.Request) -> web.Response:
        told.append((dict(request.headers), await request.json()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"http://127.0.0.1:{port}/hook", told
    await runner.cleanup()


async def function(work: ItemWork) -> ItemEnd:
    return ItemEnd(outcome=BROKEN) if work.item.name == "bad" else done({"name": work.item.name})


async def drained(dispatcher: Dispatcher) -> None:
    while await dispatcher.tick():
        await dispatcher.settled()


async def test_a_webhook_is_told_of_each_run_once_with_its_headers(api: Any, dispatcher: Dispatcher) -> None:
    """
    Success and failure in the documented body; a redelivery repeats it under the same id.
    """
    payload = [{"apiName": name, "parameters": {"n": 1}, "retry": {"maximumAttempts": 1}} for name in ("good", "bad")]
    async with receiver() as (url, told), api.kit.workers(function):
        await api.create(payload=payload, sink={"type": "webhook", "url": url, "headers": {"x-token": "t"}})
        run = await api.trigger()
        await api.ended(run)
        await drained(dispatcher)
        first = list(told)
        deliveries = await api.kit.house.deliveries.of_workspace(api.kit.house.workspace.id)
        await api.kit.house.deliveries.redeliver(api.kit.house.workspace.id, deliveries[0].id)
        await drained(dispatcher)

    bodies = {body["apiInfo"]["name"]: body for _, body in first}
    assert len(first) == 2
    assert {headers["x-token"] for headers, _ in first} == {"t"}
    assert bodies["good"]["apiInfo"]["result"] == {"status": "completed", "result": {"name": "good"}, "statusCode": 200}
    assert bodies["bad"]["apiInfo"]["result"] == {
        "status": "failed",
        "error": "unexpected",
        "message": "It broke.",
        "statusCode": 500,
    }
    assert (bodies["good"]["projectJob"], bodies["good"]["projectJobRun"]) == ({"id": "demo-batch"}, {"id": run})
    assert bodies["good"]["project"]["name"] == "demo"
    assert len(told) == 3
    assert len({headers["webhook-id"] for headers, _ in told}) == 2


async def test_notifications_are_told_when_a_job_run_rests_or_has_ended(api: Any, dispatcher: Dispatcher) -> None:
    """
    Each that the job names, with its own headers: once when it is paused, once when it has ended, and not in between.
    """
    begun, go = asyncio.Event(), asyncio.Event()

    async def held(work: ItemWork) -> ItemEnd:
        begun.set()
        await go.wait()
        return await function(work)

    async with receiver() as (url, told), api.kit.workers(held):
        notifications = [{"type": "webhook", "url": url, "headers": {"x-token": name}} for name in ("a", "b")]
        await api.create(notifications=notifications, configuration={"maxConcurrentRequests": 1})
        run = await api.trigger()
        await begun.wait()
        await api("POST", "/jobs/demo-batch/pause")
        go.set()

        async def is_paused() -> bool:
            return (await api.job_run(run))["status"] == "PAUSED"

        await api.kit.until(is_paused)
        await drained(dispatcher)
        paused, told[:] = list(told), []
        await api("POST", "/jobs/demo-batch/resume")
        await api.ended(run)
        await drained(dispatcher)

    for heard, status in ((paused, "PAUSED"), (told, "SUCCESS")):
        assert sorted(headers["x-token"] for headers, _ in heard) == ["a", "b"]
        assert {body["projectJobRun"]["status"] for _, body in heard} == {status}
        assert {body["projectJobRun"]["id"] for _, body in heard} == {run}
    body = told[0][1]
    assert (body["projectJob"], body["project"]["name"]) == ({"id": "demo-batch"}, "demo")
    assert body["projectJobRun"]["successful_runs"] == 2


async def test_skip_on_fail_and_apis_to_send_leave_out_what_they_say(api: Any, dispatcher: Dispatcher) -> None:
    payload = [
        {"apiName": name, "parameters": {}, "retry": {"maximumAttempts": 1}} for name in ("good", "bad", "other")
    ]
    async with receiver() as (url, told), api.kit.workers(function):
        sink = {"type": "webhook", "url": url, "skipOnFail": True, "apisToSend": ["good", "bad"]}
        await api.create(payload=payload, sink=sink)
        await api.ended(await api.trigger())
        await drained(dispatcher)

    assert [body["apiInfo"]["name"] for _, body in told] == ["good"]


async def test_a_canceled_run_is_not_delivered_and_a_sinks_failure_changes_no_run(
    api: Any, dispatcher: Dispatcher
) -> None:
    """
    Nobody listens at the address: the run is a success all the same, and the delivery waits for its next try.
    """
    async with api.kit.workers(function):
        await api.create(sink={"type": "webhook", "url": f"http://127.0.0.1:{_free_port()}/nobody"})
        await api.ended(await api.trigger())
        await drained(dispatcher)
    run = await api.trigger()
    await api("POST", f"/jobs/demo-batch/runs/{run}/terminate")

    deliveries = await api.kit.house.deliveries.of_workspace(api.kit.house.workspace.id)

    assert [delivery.state for delivery in deliveries] == ["pending", "pending"]
    assert all(delivery.due_at - datetime.now(UTC) > timedelta(seconds=1) for delivery in deliveries)


async def test_tries_follow_the_documented_table() -> None:
    """
    At once, then after 10, 20, 40, 80 and 120 seconds, until an hour or ten minutes have been waited.
    """

    def pauses(kind: str) -> list[float]:
        found: list[float] = []
        while (pause := pause_of(_delivery(kind, len(found) + 1), Answer(500, "no"), 0.5)) is not None:
            found.append(pause.total_seconds())
        return found

    webhook, bucket = pauses("webhook"), pauses("s3")

    assert webhook[:6] == [10, 20, 40, 80, 120, 120]
    assert sum(webhook) <= 3600 < sum(webhook) + 120
    assert sum(bucket) <= 600 < sum(bucket) + 120


def _delivery(kind: str, attempts: int) -> Delivery:
    now = datetime.now(UTC)
    return Delivery(
        id=uuid4(), workspace_id=uuid4(), tenant_id="demo", job_id=uuid4(), sink=f"item-{kind}:x", topic="run-completed",
        url="x", body=b"", state="pending", attempts=attempts, due_at=now, last_status=None, last_error=None,
        created_at=now, finished_at=None,
    )  # fmt: skip


def _free_port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@asynccontextmanager
async def bucket_server(folder: Path) -> AsyncIterator[tuple[str, str, str]]:
    """
    An S3-compatible server over a folder; gives its address, key and secret.
    """
    (folder / "results").mkdir(parents=True)
    key, secret = secrets.token_hex(8), secrets.token_hex(16)
    port = _free_port()
    rclone = shutil.which("rclone") or str(Path(__file__).parents[3] / ".venv" / "bin" / "rclone")
    process = await asyncio.create_subprocess_exec(
        rclone, "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}", "--auth-key", f"{key},{secret}",
        "--config", "/dev/null", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}", key, secret
    finally:
        process.terminate()
        await process.wait()


async def test_a_bucket_gets_an_object_for_each_run(api: Any, dispatcher: Dispatcher, tmp_path: Path) -> None:
    """
    Prefix as given, then the job run's id and the run's; a single run has no job run in its key. Keys are shown nowhere.
    """
    async with bucket_server(tmp_path / "s3") as (endpoint, key, secret), api.kit.workers(function):
        sink = {
            "type": "s3",
            "bucket": "results",
            "region": "us-east-1",
            "accessKeyId": key,
            "secretAccessKey": secret,
            "endpoint": endpoint,
            "prefix": "out/",
            "forcePathStyle": True,
        }
        await api.create(sink=sink)
        run = await api.trigger()
        await api.ended(run)
        single = await api.start("good", sink=sink)
        item = await api.services.fan_outs.item(api.kit.house.workspace.id, single)
        await api.kit.ended(await api.kit.house.job(item.job_id))
        await drained(dispatcher)

    files = {
        path.relative_to(tmp_path / "s3/results/out").as_posix(): path for path in (tmp_path / "s3").rglob("*.json")
    }
    assert len(files) == 3
    assert len([name for name in files if name.startswith(f"{run}/")]) == 2
    assert json.loads(files[f"{single}.json"].read_text())["apiInfo"]["result"]["result"] == {"name": "good"}
    shown = (await api("GET", "/jobs")).text + json.dumps(await api.job_run(run))
    assert key not in shown
    assert secret not in shown


async def test_a_bucket_whose_keys_were_wrong_gets_its_objects_when_they_are_corrected(
    api: Any, dispatcher: Dispatcher, tmp_path: Path
) -> None:
    """
    What is owed goes out with the keys that the job has now, as long as it names the same bucket at the same endpoint.
    """
    async with bucket_server(tmp_path / "s3") as (endpoint, key, secret), api.kit.workers(function):
        sink = {
            "type": "s3", "bucket": "results", "region": "us-east-1", "accessKeyId": key, "secretAccessKey": "wrong",
            "endpoint": endpoint, "forcePathStyle": True,
        }  # fmt: skip
        await api.create(sink=sink)
        await api.ended(await api.trigger())
        await drained(dispatcher)
        workspace = api.kit.house.workspace.id
        refused = await api.kit.house.deliveries.of_workspace(workspace)
        body = {"payload": BODY["payload"], "configuration": {}}
        elsewhere = {**sink, "endpoint": f"http://127.0.0.1:{_free_port()}", "secretAccessKey": secret}

        async def sent_again(changed: dict[str, Any]) -> set[str]:
            reply = await api("PUT", "/jobs/demo-batch", {**body, "sink": changed})
            assert reply.status_code == 200, reply.text
            for each in refused:
                await api.kit.house.deliveries.redeliver(workspace, each.id)
            await drained(dispatcher)
            return {each.state for each in await api.kit.house.deliveries.of_workspace(workspace)}

        states = [await sent_again(elsewhere), await sent_again({**sink, "secretAccessKey": secret})]

    assert all("refused the keys" in (each.last_error or "") for each in refused)
    assert states == [{"pending"}, {"delivered"}]
    assert len(list((tmp_path / "s3").rglob("*.json"))) == 2
