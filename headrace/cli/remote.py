"""
Talking to a server: where it is, by which key, and one request at a time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
from yarl import URL

from headrace import __version__
from headrace.cli.failures import NoServerError, ServerError, ServerUnreachableError

DEFAULT_HOME = Path(".headrace")
DEFAULT_URL = "http://127.0.0.1:8450"
_TIMEOUT_SECONDS = 30.0
_RETRIED_STATUSES = frozenset({429, 502, 503, 504})
_PAUSE_SECONDS = 1.0
_PIECE_BYTES = 2**20
_OWN_NAMES = frozenset({"status", "answered_code", "reason", "instruction"})


@dataclass(frozen=True, slots=True)
class Address:
    """
    Attributes:
        url: without the API's path, no slash at the end.
        key: may be empty; the server then says what is missing.
    """

    url: str
    key: str


def find_address(url: str | None, key: str | None, home: Path | None) -> Address:
    """
    Find the server: as told, else as `headrace up` left word in its home, here or in a folder above, else where it listens by default.

    The key that lies in the home is never sent anywhere but to the server of that home.

    Raises:
        NoServerError: what was told is no URL, or a home was named and no server runs on it.
    """
    folder = home or home_above(Path.cwd())
    local = _server_file(folder)
    if url is None and local is None and home is not None:
        raise NoServerError(
            f"No server is running on the home {home}.",
            f"Start one with `headrace up --home {home}`, or name one with --url.",
        )
    chosen = (url or local or DEFAULT_URL).rstrip("/")
    if not chosen.startswith(("http://", "https://")):
        raise NoServerError(f"The server's address {chosen!r} is not a URL.", "Write it like http://127.0.0.1:8450.")
    if key is None and local is not None and chosen == local.rstrip("/"):
        key = _key_file(folder)
    return Address(chosen, key or "")


def home_above(folder: Path) -> Path:
    """
    Find the home of a running server in *folder* or the nearest one above it; the usual place in *folder* if there is none.
    """
    for place in (folder, *folder.parents):
        if (place / DEFAULT_HOME / "server.json").is_file():
            return place / DEFAULT_HOME
    return folder / DEFAULT_HOME


def _server_file(home: Path) -> str | None:
    try:
        return str(json.loads((home / "server.json").read_text("utf-8"))["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _key_file(home: Path) -> str:
    try:
        return (home / "admin.key").read_text("utf-8").strip()
    except OSError:
        return ""


class Remote:
    """
    A server's core API; use it as a context.

    Args:
        address: where and by which key.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Remote:
        headers = {"User-Agent": f"headrace-cli/{__version__}", "Accept": "application/json"}
        if self.address.key:
            headers["Authorization"] = f"Bearer {self.address.key}"
        self._session = aiohttp.ClientSession(
            headers=headers, timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS, sock_connect=5)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, **query: Any) -> Any:
        """
        Ask for *path* below `/api/v1`, with the parts of *query* that are not None.

        Raises:
            ServerUnreachableError: nothing answers.
            ServerError: the server refused or failed; with its own words.
        """
        return await self._ask("GET", path, query=query)

    async def get_patiently(
        self, path: str, *, for_seconds: float, waiting: Callable[[str], None] = lambda reason: None, **query: Any
    ) -> Any:
        """
        Ask like `get`, again and again while the server is away or busy, for *for_seconds*; *waiting* hears why.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + for_seconds
        while True:
            try:
                return await self.get(path, **query)
            except (ServerUnreachableError, ServerError) as error:
                if isinstance(error, ServerError) and error.status not in _RETRIED_STATUSES:
                    raise
                if loop.time() >= give_up_at:
                    raise
                waiting(error.reason)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def post(self, path: str, body: Mapping[str, Any] | None = None, **headers: str) -> Any:
        """
        Send *body* as JSON; raises like `get`. Underscores in names of *headers* are hyphens.
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._ask("POST", path, body=dict(body or {}), headers=named)

    async def download(self, path: str, to: Path) -> None:
        """
        Write what stands at *path* to a file, piece by piece; raises like `get`.
        """
        assert self._session is not None, "enter the context first"  # noqa: S101
        url = URL(f"{self.address.url}/api/v1{path}", encoded=True)
        patience = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=_TIMEOUT_SECONDS)
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            async with self._session.get(url, timeout=patience) as response:
                if response.status >= 400:
                    _answer(response.status, await response.read())
                with to.open("wb") as file:
                    async for piece in response.content.iter_chunked(_PIECE_BYTES):
                        file.write(piece)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ServerUnreachableError(
                f"The server at {self.address.url} broke off while it sent a file.", "Try again."
            ) from error

    async def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """
        Send *body* as JSON; raises like `get`.
        """
        return await self._ask("PUT", path, body=dict(body))

    async def delete(self, path: str) -> Any:
        return await self._ask("DELETE", path)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        assert self._session is not None, "enter the context first"  # noqa: S101
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        url = f"{self.address.url}/api/v1{path}"
        try:
            async with self._session.request(method, url, params=given, json=body, headers=headers) as response:
                return _answer(response.status, await response.read())
        except TimeoutError as error:
            raise ServerUnreachableError(
                f"The server at {self.address.url} did not answer in time.",
                "Look at its log, or run `headrace doctor`.",
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise ServerUnreachableError(
                f"The server at {self.address.url} does not answer.",
                "Start it with `headrace up`, or name another with --url.",
            ) from error


def _answer(status: int, content: bytes) -> Any:
    """
    Give what the server answered, or raise what it complained of (RFC 9457 problem details).
    """
    decoded: Any = None
    with suppress(ValueError):
        decoded = json.loads(content) if content else None
    if status < 400:
        return decoded
    told = decoded if isinstance(decoded, dict) else {}
    raise ServerError(
        status,
        str(told.get("code") or ""),
        str(told.get("reason") or told.get("detail") or f"The server answered {status}."),
        str(told.get("instruction") or ""),
        **{str(name): value for name, value in (told.get("facts") or {}).items() if name not in _OWN_NAMES},
    )
