"""
The console's files over HTTP: read once, each with a tag, so that a browser asks again and is told that nothing has changed.

They hold nothing of anybody's: whoever opens them has to give a key before the core API tells anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

PLACE = "/console"
INDEX = "index.html"

_MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
# What jobs say is not to be trusted: no script and no style but our own files, nothing from elsewhere, no markup made of text.
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "object-src 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One file, as it is sent."""

    content: bytes
    media_type: str
    tag: str

    async def __call__(self, request: Request) -> Response:
        """
        Answer with the file, or with 304 where the browser has this very one.
        """
        headers = {**_HEADERS, "ETag": self.tag}
        known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        if self.tag in known or "*" in known:
            return Response(status_code=304, headers=headers)
        return Response(self.content, media_type=self.media_type, headers=headers)


def console_routes(*, at_root: bool) -> list[BaseRoute]:
    """
    Make the routes of the console at `/console`; with *at_root* at `/` too.

    Each file has a route of its own, and takes GET and HEAD alone: whatever else has such a path goes on to a dialect at the root.
    """
    pages = {path: _page(path, content) for path, content in files()}
    routes: list[BaseRoute] = [Route(PLACE, pages[INDEX].__call__), Route(f"{PLACE}/", _without_slash)]
    if at_root:
        routes.insert(0, Route("/", pages[INDEX].__call__))
    return [*routes, *(Route(f"{PLACE}/{path}", page.__call__) for path, page in pages.items() if path != INDEX)]


def files() -> list[tuple[str, bytes]]:
    """
    List the console's files as the package has them, by their paths.
    """
    return sorted(_walk(resources.files(__package__) / "assets", ""))


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in _MEDIA_TYPES:
            yield f"{prefix}{entry.name}", entry.read_bytes()


def _page(path: str, content: bytes) -> Page:
    media_type = _MEDIA_TYPES[path.rpartition(".")[2]]
    return Page(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


async def _without_slash(_request: Request) -> Response:
    # Relative, so that it holds behind a proxy that adds a prefix.
    return RedirectResponse("../console", 308)
