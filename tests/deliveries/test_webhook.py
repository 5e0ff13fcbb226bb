"""
One try of one webhook, against receivers that misbehave.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from webhook_receiver import Behaviour, Receiver, answering, endless, receiving, silent, trickling

from headrace.deliveries.webhook import (
    LONGEST_RETRY_AFTER,
    PAUSES_SECONDS,
    Answer,
    WebhookSender,
    asked_pause,
    pause_before_next,
)
from headrace.store.deliveries import Delivery

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def owed(url: str) -> Delivery:
    return Delivery(
        id=uuid4(),
        workspace_id=uuid4(),
        tenant_id="acme",
        job_id=uuid4(),
        sink=f"webhook:{url}",
        topic="JOB_COMPLETED",
        url=url,
        body=b"{}",
        state="pending",
        attempts=1,
        due_at=NOON,
        last_status=None,
        last_error=None,
        created_at=NOON,
        finished_at=None,
    )


@asynccontextmanager
async def sending(*, timeout_seconds: float = 5, private_networks: bool = True) -> AsyncIterator[WebhookSender]:
    sender = WebhookSender(timeout_seconds=timeout_seconds, private_networks=private_networks, now=lambda: NOON)
    yield sender
    await sender.close()


async def try_against(behave: Behaviour, *, timeout_seconds: float = 5) -> tuple[Answer, Receiver]:
    async with receiving(behave) as receiver, sending(timeout_seconds=timeout_seconds) as sender:
        return await sender.send(owed(f"{receiver.url}/hook"), secrets=""), receiver


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_only_2xx_is_success(status: int) -> None:
    """
    Any status of the two hundreds will do.
    """
    answer, _ = await try_against(answering(status))

    assert answer == Answer(status)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_not_followed(status: int) -> None:
    """
    Where a redirect leads nobody has checked.
    """
    async with receiving() as elsewhere:
        answer, receiver = await try_against(answering(status, Location=f"{elsewhere.url}/"))

        assert elsewhere.received == []
    assert len(receiver.received) == 1
    assert answer.status == status
    assert "redirects are not followed" in answer.error


async def test_a_receiver_that_never_answers_is_left_in_time() -> None:
    """
    No status in time is a failure.
    """
    answer, _ = await try_against(silent, timeout_seconds=0.3)

    assert answer == Answer(error="The receiver did not answer within 0.3 s.")


async def test_a_trickling_answer_is_left_in_time() -> None:
    """
    The status is what counts; the rest is not waited for beyond the time of the try.
    """
    async with asyncio.timeout(30):
        answer, _ = await try_against(trickling, timeout_seconds=2)

    assert answer == Answer(500, "The receiver answered 500 Internal Server Error.")


async def test_an_endless_answer_is_cut_off() -> None:
    """
    Past 64 KiB we hang up; the payload has been delivered all the same.
    """
    async with asyncio.timeout(20):
        answer, _ = await try_against(endless, timeout_seconds=30)

    assert answer == Answer(200)


async def test_what_is_not_http_is_a_failure() -> None:
    """
    A service that talks first, or nonsense, leaves a sentence without its words.
    """

    async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 secret-host ESMTP ready\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, sending() as sender:
        answer = await sender.send(owed(f"http://127.0.0.1:{port}/"), secrets="")

    assert answer.status is None
    assert answer.error in ("The receiver's answer was not HTTP.", "The receiver hung up before it answered.")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_closed_address_is_never_connected(host: str) -> None:
    """
    With private networks closed loopback is refused, written as an address or behind a name.
    """
    async with receiving() as receiver, sending(private_networks=False) as sender:
        answer = await sender.send(owed(receiver.url.replace("127.0.0.1", host)), secrets="")

        assert receiver.received == []
    assert answer.error == (
        "The webhook's host leads to a loopback address, and such ones are closed to deliveries unless the setting "
        "webhook_private_networks opens them."
    )
    assert not answer.final


async def test_a_name_that_changes_its_mind_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    DNS rebinding: the first look-up gives a public address, the next a private one; the address that is connected is checked.
    """
    answers = iter(["192.0.2.1", "127.0.0.1"])

    def rebinding(_host: str, port: int, **_options: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    async with receiving() as receiver, sending(private_networks=False) as sender:
        url = receiver.url.replace("127.0.0.1", "rebinding.example")
        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        results = [await sender.send(owed(url), secrets="") for _ in range(2)]

        assert receiver.received == []
    assert all("closed to deliveries" in answer.error for answer in results)


async def test_a_url_that_may_not_be_asked_is_given_up() -> None:
    """
    Time does not mend a URL.
    """
    async with sending() as sender:
        answer = await sender.send(owed("http://user:hunter2@example.com/"), secrets="")

    assert answer == Answer(error="The webhook's URL holds a user or password.", final=True)


async def test_a_broken_secret_sends_nothing() -> None:
    """
    Rather late than unsigned.
    """
    async with receiving() as receiver, sending() as sender:
        answer = await sender.send(owed(receiver.url), secrets="whsec_!")

    assert receiver.received == []
    assert "whsec_" in answer.error


async def test_gone_is_final() -> None:
    """
    410 says that nobody listens here any more.
    """
    answer, _ = await try_against(answering(410))

    assert answer.final


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_read(status: int) -> None:
    """
    429 and 503 may ask for time; other statuses may not.
    """
    asked, _ = await try_against(answering(status, Retry_After="120"))
    other, _ = await try_against(answering(500, Retry_After="120"))

    assert asked.retry_after == timedelta(seconds=120)
    assert other.retry_after is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("Sun, 01 Mar 2026 12:05:00 GMT", 300),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("999999999999999999999", 86400),
        ("Sun, 01 Mar 2099 12:00:00 GMT", 86400),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
    ],
)
def test_retry_after_has_two_forms(text: str, seconds: float | None) -> None:
    """
    Seconds or a date, never more than a day; nonsense asks for nothing.
    """
    expected = None if seconds is None else timedelta(seconds=seconds)

    assert asked_pause(text, now=NOON) == expected


@given(st.text(max_size=60))
def test_no_retry_after_breaks_the_reading(text: str) -> None:
    """
    Whatever a receiver writes there, the pause is none or between nothing and a day.
    """
    pause = asked_pause(text, now=NOON)

    assert pause is None or timedelta(0) <= pause <= LONGEST_RETRY_AFTER


@given(st.integers(1, 20), st.floats(0, 1), st.integers(0, 86400))
def test_pauses_rise_and_end(tries: int, chance: float, asked: int) -> None:
    """
    A pause is near the table's, never shorter than asked for, and after the table there is none.
    """
    pause = pause_before_next(Answer(503, "x", retry_after=timedelta(seconds=asked)), tries=tries, chance=chance)

    if tries > len(PAUSES_SECONDS):
        assert pause is None
    else:
        assert pause is not None
        assert pause >= timedelta(seconds=asked)
        assert PAUSES_SECONDS[tries - 1] * 0.9 <= pause.total_seconds() <= max(asked, PAUSES_SECONDS[tries - 1] * 1.1)


def test_the_table_spans_about_three_days() -> None:
    """
    An endpoint that is down over a weekend gets everything on Monday.
    """
    assert timedelta(days=3) <= timedelta(seconds=sum(PAUSES_SECONDS)) <= timedelta(days=3.5)


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    """
    A secret channel to anybody is none.
    """
    async with receiving(tls=self_signed(tmp_path)) as receiver, sending() as sender:
        answer = await sender.send(owed(receiver.url), secrets="")

    assert receiver.received == []
    assert answer == Answer(error="The receiver's certificate is not valid.")


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "receiver.pem"
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
