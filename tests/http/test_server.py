"""
What every wire passes: limits, ids, safe paths, errors, health.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from house import ADMIN_KEY, House
from house_app import BODY_LIMIT_BYTES, client_of, face_of
from structlog.testing import capture_logs

from headrace.core.errors import StoreUnavailableError
from headrace.http.errors import STATUSES, status_of
from headrace.serve import http_server
from headrace.settings import Settings

JOBS = "/hotglue/demo/flights/acme/jobs"
WIRES = (JOBS, "/api/v1/flows/demo/flights/runs", "/api/v1/keys")


@asynccontextmanager
async def served(app: FastAPI, **settings: Any) -> AsyncIterator[str]:
    """
    Serve *app* on a free port as `headrace serve` does; gives its address.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    server = http_server(app, Settings(**settings))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    async with asyncio.timeout(60):
        while not server.started:  # noqa: ASYNC110 - uvicorn tells by this flag alone
            await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.end()
        await serving
        listener.close()


async def test_an_unused_connection_stays_open_for_as_long_as_the_settings_say(app: FastAPI) -> None:
    """
    Longer than clients and proxies keep theirs, so that no request meets a connection's end.
    """
    async with served(app, keep_alive_seconds=1) as address, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
        for _ in range(2):
            writer.write(b"GET /healthz HTTP/1.1\r\nhost: headrace\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
        began = asyncio.get_running_loop().time()
        assert await reader.read() == b""
        assert asyncio.get_running_loop().time() - began > 0.5
        writer.close()
    assert Settings().keep_alive_seconds > 60


async def _endless(chunk: bytes, chunks: int) -> AsyncIterator[bytes]:
    for _ in range(chunks):
        yield chunk


@pytest.mark.parametrize("path", WIRES)
async def test_a_body_over_the_limit_is_refused_whether_announced_or_not(client: httpx2.AsyncClient, path: str) -> None:
    """
    413 in the wire's own shape; a streamed body is counted as it comes and never held whole.
    """
    announced = await client.post(path, content=b" " * (BODY_LIMIT_BYTES + 1))
    streamed = await client.post(path, content=_endless(b" " * 65536, 64))

    for reply in (announced, streamed):
        assert reply.status_code == 413
        assert "body_limit_bytes" in reply.text
        assert reply.headers["connection"] == "close"


@pytest.mark.parametrize("path", WIRES)
async def test_an_encoded_body_is_refused(client: httpx2.AsyncClient, path: str) -> None:
    reply = await client.post(path, content=b"\x1f\x8b", headers={"content-encoding": "gzip"})

    assert reply.status_code == 415


@pytest.mark.parametrize("place", ["a%2fb", "a%00b", "a%0ab", "a%7fb"])
async def test_a_path_that_hides_something_is_refused(client: httpx2.AsyncClient, place: str) -> None:
    """
    Encoded slashes and control characters are in no id, on any wire.
    """
    for path in (f"/hotglue/demo/flights/{place}/jobs", f"/api/v1/flows/demo/{place}/runs"):
        assert (await client.post(path, json={})).status_code == 400


async def test_a_request_keeps_its_id_or_gets_one(client: httpx2.AsyncClient) -> None:
    given = await client.get(JOBS, headers={"x-request-id": "mine-1"})
    made = await client.get(JOBS, headers={"x-request-id": "not one\u00e9".encode("latin-1")})

    assert given.headers["x-request-id"] == "mine-1"
    assert len(made.headers["x-request-id"]) == 32


async def test_what_nobody_planned_is_told_without_its_inside(
    app: FastAPI, client: httpx2.AsyncClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    500 with the request's id in the wire's shape; the trace goes to the log.
    """

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(house.jobs, "history", broken)

    with capture_logs() as logged:
        hotglue = await client.get(JOBS, headers={"x-request-id": "r1"})
        core = await client.get("/api/v1/jobs", headers={"x-request-id": "r2"})

    assert (hotglue.status_code, hotglue.json()["Code"]) == (500, "ChaliceViewError")
    assert (core.status_code, core.json()["code"]) == (500, "internal")
    assert "r1" in hotglue.json()["Message"]
    assert "r2" in core.json()["instruction"]
    assert "hunter2" not in hotglue.text + core.text
    assert [(line["request_id"], str(line["exc_info"])) for line in logged] == [
        ("r1", "password=hunter2"),
        ("r2", "password=hunter2"),
    ]


async def test_an_absent_database_is_a_503_with_a_time_to_come_back(
    client: httpx2.AsyncClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailableError("The database did not answer.", "Try again.", cause="host=db password=x")

    monkeypatch.setattr(house.jobs, "history", away)
    monkeypatch.setattr(house.jobs, "unfinished", away)

    for reply in (await client.get(JOBS), await client.get("/api/v1/jobs")):
        assert reply.status_code == 503
        assert int(reply.headers["retry-after"]) > 0
        assert "password" not in reply.text
    assert (await client.get("/metrics")).status_code == 200


async def test_health_needs_no_key_and_says_why_it_is_not_ready(house: House) -> None:
    reasons: list[str] = ["The definitions are not loaded yet."]

    async def not_ready() -> Sequence[str]:
        return reasons

    async with client_of(face_of(house, not_ready=not_ready), key=None) as client:
        before = await client.get("/readyz")
        reasons.clear()
        after = await client.get("/readyz")
        alive = await client.get("/healthz")

    assert (before.status_code, before.json()["reasons"]) == (503, ["The definitions are not loaded yet."])
    assert (after.status_code, alive.status_code) == (200, 200)


async def test_metrics_count_jobs_and_requests_with_few_labels(client: httpx2.AsyncClient) -> None:
    """
    Routes are named by their pattern; a thousand tenants make one series.
    """
    await client.post(JOBS)
    for number in range(20):
        await client.get(f"/hotglue/demo/flights/t{number}/jobs/status?job_root=x")

    text = (await client.get("/metrics")).text

    assert 'headrace_jobs_unfinished{state="waiting"} 1.0' in text
    series = [line for line in text.splitlines() if "_count{" in line and "jobs/status" in line]
    assert len(series) == 1
    assert series[0].endswith(" 20.0")


async def test_a_browser_may_call_hotglue_from_anywhere(client: httpx2.AsyncClient) -> None:
    """
    Preflight and reply carry CORS headers, refusals included.
    """
    preflight = await client.options(
        JOBS,
        headers={
            "origin": "https://app.test",
            "access-control-request-method": "POST",
            "access-control-request-headers": "x-api-key,content-type",
        },
    )
    refused = await client.get(JOBS, headers={"origin": "https://app.test", "x-api-key": "wrong"})
    core = await client.get("/api/v1/jobs", headers={"origin": "https://app.test"})
    of_no_page = await client.get(JOBS)

    assert preflight.status_code == 200
    assert "access-control-allow-origin" not in of_no_page.headers
    assert of_no_page.headers["vary"] == "Origin"  # else a cache would hand this reply to a page
    assert refused.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in core.headers


async def test_over_a_real_socket_it_is_the_same(house: House) -> None:
    """
    uvicorn and its parser change nothing: keep-alive, an oversized upload, a path with encoded parts.
    """
    async with (
        served(face_of(house)) as url,
        httpx2.AsyncClient(base_url=url, headers={"x-api-key": ADMIN_KEY}) as client,
    ):
        made = await client.post(JOBS, json={"state": {"a": [1]}})
        polled = await client.get(f"{JOBS}/status", params={"job_root": made.json()["s3_root"]})
        slash = await client.post("/hotglue/demo/flights/a%2Fb/jobs")
        large = await client.post(JOBS, content=b" " * (BODY_LIMIT_BYTES * 4))
        after = await client.get("/healthz")

    assert [reply.status_code for reply in (made, polled, slash, large, after)] == [200, 200, 400, 413, 200]
    assert polled.json() == made.json()


def test_every_error_has_a_status() -> None:
    """
    The table is total: whatever error is added later finds an ancestor in it.
    """
    from headrace.core import errors

    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.HeadraceError)
    ]

    assert len(kinds) > 10
    assert all(status_of(kind("x")) in STATUSES.values() for kind in kinds)
