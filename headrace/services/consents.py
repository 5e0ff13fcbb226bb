"""
Consent of an account's owner, by OAuth 2: the way there, and what comes of the way back.

Nothing is stored on the way: who asked, for which connection, and the secret of the code challenge travel in `state`, sealed with the
server's key, so that any server can receive the way back. A browser's way back counts only with the cookie that its way there was
given (RFC 6749, section 10.12): else a link made by somebody else would put their account into the tenant's connection.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import UUID

import msgspec

from headrace.core.errors import ConflictError, ForbiddenError, InvalidError, SecretError
from headrace.core.faces import OAuthApp
from headrace.services.connections import Linked, Linking, Place
from headrace.store.sealing import Sealer

LASTS_SECONDS = 600
"""Time that an owner has to give consent."""

_SEALED_FOR = "oauth-state"
_LONGEST_STATE = 8192
# What stands for `{name}` in a provider's URL must not lead elsewhere: no dot, slash or at-sign, or the client's secret might go to a
# host that a tenant chose.
_HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class TokenEndpoint(Protocol):
    """Where codes become tokens."""

    async def exchange(self, url: str, form: Mapping[str, str], basic: tuple[str, str] | None) -> dict[str, Any]:
        """
        Post a form, the client's id and secret in *basic* by HTTP; gives the fields of the answer, `access_token` among them.

        Raises:
            InvalidError: the provider refused.
            RetriableError: it did not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Way:
    """
    Attributes:
        url: where to send the owner's browser.
        cookie: what that browser must show on its way back.
    """

    url: str
    cookie: str


class _State(msgspec.Struct):
    workspace: str
    place: dict[str, str]
    verifier: str
    redirect_url: str
    cookie: str
    until: float


@dataclass(frozen=True, slots=True)
class Returned:
    """
    Who came back.

    Attributes:
        workspace: name of the workspace.
    """

    workspace: str
    place: Place
    verifier: str
    redirect_url: str


class Consents:
    """
    Args:
        now: the current time, aware UTC.
    """

    def __init__(self, linking: Linking, sealer: Sealer, tokens: TokenEndpoint, *, now: Callable[[], datetime]) -> None:
        self._linking = linking
        self._sealer = sealer
        self._tokens = tokens
        self._now = now

    async def begin(self, workspace: str, place: Place, app: OAuthApp, *, redirect_url: str) -> Way:
        """
        Give the way to the provider for a connection that waits for consent.

        Raises:
            NotFoundError: nothing is linked there.
            ConflictError: it waits for none, or is a symlink.
            InvalidError: a setting that the provider's URL needs is missing or odd.
        """
        linked = await self._linking.get(place)
        if linked.symlink is not None or not (linked.disconnected or linked.reconnecting):
            raise ConflictError("This connection does not wait for consent.", "Link it anew, or reconnect it.")
        verifier, cookie = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
        redirect_url = app.redirect_url or redirect_url
        state = _State(
            workspace=workspace,
            place={name: str(value) for name, value in asdict(place).items()},
            verifier=verifier,
            redirect_url=redirect_url,
            cookie=_digest(cookie),
            until=self._now().timestamp() + LASTS_SECONDS,
        )
        sealed = base64.urlsafe_b64encode(self._sealer.seal(msgspec.to_builtins(state), _SEALED_FOR)).decode()
        asked = {
            **app.parameters,
            "response_type": "code",
            "client_id": app.client_id,
            "redirect_uri": redirect_url,
            "state": sealed,
            **({"scope": " ".join(app.scopes)} if app.scopes else {}),
            **({"code_challenge": _digest(verifier), "code_challenge_method": "S256"} if app.pkce else {}),
        }
        return Way(_with_query(_filled(app.authorize_url, linked.config), asked), cookie)

    def returned(self, state: str, *, cookie: str | None) -> Returned:
        """
        Read the state of a way back; *cookie* is None for one that a server passes on, whose key the caller checks.

        Raises:
            ForbiddenError: it is not one of ours, too old, or another browser's.
        """
        opened = self._opened(state)
        if opened is None or opened.until < self._now().timestamp():
            raise ForbiddenError("This way back is not known, or too old.", "Begin the link anew.")
        if cookie is not None and not secrets.compare_digest(_digest(cookie), opened.cookie):
            raise ForbiddenError("This way back belongs to another browser.", "Begin the link anew in this one.")
        fields: dict[str, Any] = {**opened.place, "workspace_id": UUID(opened.place["workspace_id"])}
        return Returned(opened.workspace, Place(**fields), opened.verifier, opened.redirect_url)

    async def finish(self, back: Returned, app: OAuthApp, code: str, query: Mapping[str, str]) -> Linked:
        """
        Exchange the code, and keep what it gives as settings of the connection.

        The settings: all fields of the answer, `expires_in` as an absolute time in seconds since 1970; the client's id and secret and the
        redirect URL, as taps that refresh tokens need them; and the parameters of *query* that the app keeps.

        Raises:
            NotFoundError: nothing is linked there any more.
            InvalidError, RetriableError: the code could not be exchanged; nothing was changed.
        """
        linked = await self._linking.get(back.place)
        client = {"client_id": app.client_id, "client_secret": app.client_secret}
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": back.redirect_url,
            **({"code_verifier": back.verifier} if app.pkce else {}),
            **({name: value for name, value in client.items() if value} if app.client_authentication == "body" else {}),
        }
        basic = (app.client_id, app.client_secret) if app.client_authentication == "basic" else None
        given = await self._tokens.exchange(_filled(app.token_url, linked.config), form, basic)
        return await self._linking.consented(
            back.place,
            {
                **{name: query[name] for name in app.keep if name in query},
                **given,
                **self._expiry(given),
                **{name: value for name, value in client.items() if value},
                "redirect_uri": back.redirect_url,
            },
        )

    def _expiry(self, given: Mapping[str, Any]) -> dict[str, int]:
        try:
            return {"expires_in": int(self._now().timestamp()) + int(given["expires_in"])}
        except (KeyError, TypeError, ValueError, OverflowError):
            return {}

    def _opened(self, state: str) -> _State | None:
        if len(state) > _LONGEST_STATE:
            return None
        try:
            return msgspec.convert(self._sealer.open(base64.urlsafe_b64decode(state), _SEALED_FOR), _State)
        except (binascii.Error, ValueError, SecretError, msgspec.ValidationError):
            return None


def _digest(text: str) -> str:
    """
    Make the S256 form of a secret (RFC 7636, section 4.2).
    """
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def _filled(url: str, config: Mapping[str, Any]) -> str:
    def value(found: re.Match[str]) -> str:
        given = config.get(found[1])
        if not isinstance(given, str) or not _HARMLESS.fullmatch(given):
            raise InvalidError(
                f"The setting `{found[1]}` is missing, or not a plain name.",
                "Link again with it: letters, digits, dashes and underscores.",
                field=found[1],
            )
        return given

    return _PLACEHOLDER.sub(value, url)


def _with_query(url: str, more: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=urlencode([*parse_qsl(parts.query), *more.items()])))
