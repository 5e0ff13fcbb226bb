"""
One try of one webhook: send the payload, read the answer with limits, say in one sentence how it went.

How tries end, in the order in which it is decided:

| what happened | success | next |
|---|---|---|
| the URL may not be asked (`addresses.checked_url`) | no | given up |
| no answer: refused address, no connection, no status in time | no | by the table |
| 2xx; whatever its body does | yes | |
| 410 | no | given up |
| 429 or 503 with `Retry-After` | no | by the table, but not before the time asked for, at most a day |
| any other status, 3xx included: a redirect is never followed | no | by the table |

The table (`PAUSES_SECONDS`) spreads ten tries over about three days, as the Standard Webhooks specification advises.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from headrace import __version__
from headrace.core.errors import HeadraceError, InvalidError
from headrace.deliveries.addresses import AddressRefusedError, OwnThreadsResolver, checked_url, checking_sockets
from headrace.deliveries.signing import signed_headers
from headrace.store.deliveries import Delivery

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
PAUSES_SECONDS = (5.0, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
"""Pause after the first failed try, the second, and so on; after the last one a delivery is given up."""

LONGEST_RETRY_AFTER = timedelta(days=1)
_JITTER = 0.1  # of the pause, either way, so that what failed together does not come back together
_ANSWER_LIMIT_BYTES = 64 * 1024
_GIVE_UP = frozenset({HTTPStatus.GONE})
_KEYS_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_MAY_ASK_FOR_TIME = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


@dataclass(frozen=True, slots=True)
class Answer:
    """
    How one try went.

    Attributes:
        status: what the receiver answered; None when it did not.
        error: one sentence that is safe to show; empty on success.
        final: trying again cannot help.
        retry_after: for how long the receiver asked to be left alone.
        sink_refused: the receiver does not take what the sink says of it, such as its keys: corrected, it may.
    """

    status: int | None = None
    error: str = ""
    final: bool = False
    retry_after: timedelta | None = None
    sink_refused: bool = False


def pause_before_next(answer: Answer, *, tries: int, chance: float) -> timedelta | None:
    """
    Say how long to wait after failed try number *tries*, counted from 1; None gives the delivery up.

    Args:
        answer: how that try went.
        tries: how many there were, this one included.
        chance: evenly spread between 0 and 1.
    """
    if answer.final or tries > len(PAUSES_SECONDS):
        return None
    pause = timedelta(seconds=PAUSES_SECONDS[tries - 1] * (1 + _JITTER * (2 * chance - 1)))
    return max(pause, answer.retry_after or pause)


class WebhookSender:
    """
    Sends payloads over one pool of connections; close it at the end.

    Args:
        timeout_seconds: for the whole try, from the look-up of the name to the end of the answer.
        private_networks: whether loopback and private addresses may be connected to.
        now: the time, for signatures and for `Retry-After` dates.
        lookups: names that may be resolved at once.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float,
        private_networks: bool,
        now: Callable[[], datetime],
        lookups: int = 32,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._private_networks = private_networks
        self._now = now
        self._lookups = lookups
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, delivery: Delivery, *, secrets: str, headers: Mapping[str, str] | None = None) -> Answer:
        """
        Make one try.

        Args:
            delivery: what to send and where to.
            secrets: signing secrets, see `signing.signed_headers`.
            headers: the receiver's own, in the place of ours of the same name.
        """
        try:
            url = checked_url(delivery.url)
        except InvalidError as error:
            return Answer(error=error.reason, final=True)
        try:
            sent = CIMultiDict(self._headers(delivery, secrets))
            sent.update(headers or {})
            return await self._post(url, delivery.body, sent)
        except HeadraceError as error:
            return Answer(error=error.reason)
        except TimeoutError:
            return Answer(error=f"The receiver did not answer within {self._timeout_seconds:g} s.")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(error=_sentence(error))

    def _headers(self, delivery: Delivery, secrets: str) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "User-Agent": f"headrace/{__version__}",
            "X-Headrace-Topic": delivery.topic,
            "X-Headrace-Attempt": str(delivery.attempts),
            **signed_headers(delivery.id, delivery.body, secrets=secrets, sent_at=self._now()),
        }

    async def _post(self, url: URL, body: bytes, headers: Mapping[str, str]) -> Answer:
        async with self._open_session().post(url, data=body, headers=headers, allow_redirects=False) as response:
            answer = _judge(response.status, response.headers.get("Retry-After", ""), now=self._now())
            with suppress(TimeoutError, aiohttp.ClientError):  # the status has been given: its body changes nothing
                await _drain(response)
            return answer

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,  # the dispatcher bounds the tries
                    resolver=OwnThreadsResolver(self._lookups),
                    socket_factory=checking_sockets(private_networks=self._private_networks),
                ),
                timeout=aiohttp.ClientTimeout(total=self._timeout_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # the answer's body is not used, so a compressed bomb stays small
            )
        return self._session


async def _drain(response: aiohttp.ClientResponse) -> None:
    """
    Read the answer to its end, so that its connection serves again; past the limit hang up.
    """
    left = _ANSWER_LIMIT_BYTES
    while left > 0:
        chunk = await response.content.read(left)
        if not chunk:
            return
        left -= len(chunk)
    response.close()


def _judge(status: int, retry_after: str, *, now: datetime) -> Answer:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Answer(status)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return Answer(status, f"The receiver answered {_named(status)}; redirects are not followed.")
    return Answer(
        status,
        f"The receiver answered {_named(status)}.",
        final=status in _GIVE_UP,
        sink_refused=status in _KEYS_REFUSED,
        retry_after=asked_pause(retry_after, now=now) if status in _MAY_ASK_FOR_TIME else None,
    )


def _named(status: int) -> str:
    """
    Write a status with our own words for it: those of the receiver could say anything.
    """
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def asked_pause(text: str, *, now: datetime) -> timedelta | None:
    """
    Read a `Retry-After` header (RFC 9110, section 10.2.3: seconds or a date), at most a day; None for what cannot be read.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:10])  # a day has five digits
    else:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
    return min(timedelta(seconds=max(0.0, seconds)), LONGEST_RETRY_AFTER)


def _sentence(error: Exception) -> str:
    """
    Say why there was no answer, without the names, addresses and words that the error carries.
    """
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "The name of the webhook's host could not be resolved."
        case aiohttp.ClientConnectorCertificateError():
            return "The receiver's certificate is not valid."
        case aiohttp.ClientSSLError():
            return "There could be no secure connection to the receiver."
        case aiohttp.ClientConnectorError(os_error=AddressRefusedError() as refused):
            return str(refused.strerror)
        case aiohttp.ClientConnectorError(os_error=OSError(errno=errno.EACCES)):
            return "The webhook's host leads to addresses that are closed to deliveries; the setting webhook_private_networks opens private ones."
        case aiohttp.ClientConnectorError():
            return "The receiver could not be connected to."
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError() | ConnectionError():
            return "The receiver hung up before it answered."
        case _:
            return "The receiver's answer was not HTTP."
