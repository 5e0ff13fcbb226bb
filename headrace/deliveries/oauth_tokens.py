"""
Exchange an authorization code for tokens at a provider's token endpoint (RFC 6749, sections 4.1.3 and 5), with the address checks of webhooks.

The answer is believed within limits: its size, its form, and for an error only the code that the RFC defines, because its other words
could hold what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, quote

import aiohttp
import msgspec

from headrace import __version__
from headrace.core.errors import InvalidError, RetriableError
from headrace.deliveries.addresses import AddressRefusedError, OwnThreadsResolver, checked_url, checking_sockets

_ANSWER_LIMIT_BYTES = 64 * 1024
_ERROR_CODE = re.compile(r"[a-z][a-z0-9_.-]{0,60}")
_LOOKUPS = 4


class OAuthRefusedError(InvalidError):
    """The provider did not give tokens for the code."""

    code = "oauth-refused"


class OAuthUnreachableError(RetriableError):
    """The provider's token endpoint did not answer."""

    code = "oauth-unreachable"


class OAuthTokens:
    """
    Asks token endpoints; each time over a connection of its own, for consent is rare.

    Args:
        timeout_seconds: for the whole exchange.
        private_networks: whether loopback and private addresses may be connected to.
    """

    def __init__(self, *, timeout_seconds: float, private_networks: bool) -> None:
        self._timeout_seconds = timeout_seconds
        self._private_networks = private_networks

    async def exchange(self, url: str, form: Mapping[str, str], basic: tuple[str, str] | None) -> dict[str, Any]:
        """
        Post a form to a token endpoint; gives the fields of its answer.

        Raises:
            OAuthRefusedError: it answered without tokens, or may not be asked.
            OAuthUnreachableError: it did not answer.
        """
        try:
            asked = checked_url(url, what="The connector's token_url")
            async with (
                self._session() as session,
                session.post(
                    asked,
                    data=dict(form),
                    headers=_headers(basic),
                    allow_redirects=False,
                ) as response,
            ):
                body = await response.content.read(_ANSWER_LIMIT_BYTES + 1)
                return _tokens(response.status, body)
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, AddressRefusedError):
                raise OAuthRefusedError(
                    "The connector's token_url leads to an address that may not be asked.",
                    "Correct it in headrace.yml, or set HEADRACE_WEBHOOK_PRIVATE_NETWORKS where it is meant.",
                ) from error
            raise _unreachable() from error
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _unreachable() from error

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=OwnThreadsResolver(_LOOKUPS),
                socket_factory=checking_sockets(private_networks=self._private_networks),
            ),
            timeout=aiohttp.ClientTimeout(total=self._timeout_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )


def _headers(basic: tuple[str, str] | None) -> dict[str, str]:
    headers = {"Accept": "application/json", "User-Agent": f"headrace/{__version__}"}
    if basic is not None:
        login, password = (quote(word, safe="") for word in basic)  # RFC 6749, section 2.3.1
        headers["Authorization"] = aiohttp.encode_basic_auth(login, password)
    return headers


def _unreachable() -> OAuthUnreachableError:
    return OAuthUnreachableError("The provider's token endpoint did not answer.", "Try again in a while.")


def _tokens(status: int, body: bytes) -> dict[str, Any]:
    answer = _fields(body) if len(body) <= _ANSWER_LIMIT_BYTES else {}
    token = answer.get("access_token")
    if status < HTTPStatus.MULTIPLE_CHOICES and isinstance(token, str) and token:
        return answer
    code = answer.get("error")
    named = f" `{code}`" if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else ""
    raise OAuthRefusedError(
        f"The provider gave no token: it answered {status}{named}.",
        "Check client_id, client_secret and the redirect URL at the provider, then link again.",
        status=status,
    )


def _fields(body: bytes) -> dict[str, Any]:
    """
    Read an answer: JSON, or the form encoding that some providers keep to.
    """
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return dict(parse_qsl(body.decode("utf-8", "replace")))
    return found if isinstance(found, dict) else {}
