"""
One try of an object: how a bucket that refuses it reads beside one that nobody reaches.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest
from aiohttp import web

from headrace.deliveries.s3 import Bucket, S3Sender

SECRET = "shown-to-nobody"


@asynccontextmanager
async def answering(status: int | None) -> AsyncIterator[str]:
    """
    A server that answers every request with *status* and words of its own; with None it breaks off.
    """

    async def answer(request: web.Request) -> web.Response:
        if status is None:
            assert request.transport is not None
            request.transport.abort()
        to = {"Location": "http://127.0.0.1/elsewhere"} if status == 307 else {}
        return web.Response(status=status or 200, headers=to, text=f"<Error>{SECRET}</Error>")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def bucket_at(endpoint: str) -> Bucket:
    return Bucket(
        name="results", region="us-east-1", access_key_id="key", secret_access_key=SECRET, endpoint=endpoint, path_style=True
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "words", "mendable"),
    [
        (403, "refused the keys (status 403)", True),
        (401, "refused the keys (status 401)", True),
        (404, "no such bucket", True),
        (307, "is elsewhere (status 307). Correct its region or endpoint", True),
        (400, "refused the object (status 400)", True),
        (429, "could not take the object now (status 429)", False),
        (500, "could not take the object now (status 500)", False),
        (503, "could not take the object now (status 503)", False),
        (None, "broke off without an answer", False),
    ],
)
async def test_a_bucket_that_refuses_says_what_to_correct(status: int | None, words: str, mendable: bool) -> None:
    """
    What was answered is told, but not the server's own words; what only time mends asks for no correction.
    """
    sender = S3Sender(private_networks=True, timeout_seconds=10)
    async with answering(status) as endpoint:
        answer = await sender.put(bucket_at(endpoint), "out/status code: 200 of.json", b"{}")

    assert (answer.status, answer.sink_refused, answer.final) == (status, mendable, False)
    assert words in answer.error
    assert ("then send the delivery again" in answer.error) is mendable
    assert SECRET not in answer.error


async def test_a_bucket_of_another_region_says_so() -> None:
    """
    Amazon answers with a redirect that leads nowhere, whose status the client does not tell.
    """
    async with answering(301) as endpoint:
        answer = await S3Sender(private_networks=True, timeout_seconds=10).put(bucket_at(endpoint), "a.json", b"{}")

    assert (answer.status, answer.sink_refused) == (None, True)
    assert "is elsewhere. Correct its region or endpoint" in answer.error


async def test_a_bucket_that_nobody_reaches_is_not_one_that_refuses() -> None:
    """
    It has no status, and there is nothing to correct: nothing listens, the name is unknown, or nothing is answered in time.
    """
    with closing(socket.socket()) as deaf:
        deaf.bind(("127.0.0.1", 0))
        nobody = await S3Sender(private_networks=True, timeout_seconds=10).put(bucket_at(_url(deaf)), "a.json", b"{}")
        deaf.listen()
        silent = await S3Sender(private_networks=True, timeout_seconds=0.2).put(bucket_at(_url(deaf)), "a.json", b"{}")
    unknown = await S3Sender(private_networks=True, timeout_seconds=10, look_up=_unknown).put(
        bucket_at("http://bucket.invalid"), "a.json", b"{}"
    )

    answers = (nobody, silent, unknown)
    assert [(answer.status, answer.sink_refused) for answer in answers] == [(None, False)] * 3
    assert "cannot be reached" in nobody.error
    assert "did not take the object within 0.2 s" in silent.error
    assert "cannot be resolved" in unknown.error


def _url(socket_: socket.socket) -> str:
    return f"http://127.0.0.1:{socket_.getsockname()[1]}"


def _unknown(host: str, port: int) -> list[str]:
    raise socket.gaierror(-2, f"no {host}:{port}")
