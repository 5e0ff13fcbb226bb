"""
HAL JSON as Matatika has it: links whose `type` is a method, timestamps without a zone, collections in pages.

Source: the resources' pages and sample responses of Matatika's public documentation, read through our reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from headrace.core.errors import InvalidError
from headrace.http.params import whole_number
from headrace.http.reply import json_reply

HAL = "application/hal+json"
_SIZE = 20
_SIZE_MOST = 2000

Link = dict[str, str]


@dataclass(frozen=True, slots=True)
class Links:
    """
    Makes absolute addresses.

    Attributes:
        base: of the API, `/api` included.
    """

    base: str

    def to(self, *parts: object, method: str = "", query: str = "") -> Link:
        """
        Link to a path, its parts encoded; *method* is what Matatika calls the link's type.
        """
        path = "/".join(quote(str(part), safe="") for part in parts)
        href = f"{self.base}/{path}" + (f"?{query}" if query else "")
        return {"href": href, **({"type": method} if method else {})}


def links_of(request: Request) -> Links:
    """
    Make links that lead back the way a request came, through a proxy too; the API's own base is where its router is mounted.
    """
    headers = request.headers
    host = headers.get("x-forwarded-host") or headers.get("x-forward-host") or headers.get("host") or request.url.netloc
    scheme = headers.get("x-forwarded-proto") or request.url.scheme
    prefix = headers.get("x-forwarded-prefix", "").rstrip("/")
    first = [text.split(",")[0].strip() for text in (scheme, host)]
    return Links(f"{first[0]}://{first[1]}{prefix}{request.scope.get('root_path', '')}")


def timestamp(at: datetime | None, *, milliseconds: bool = False) -> str | None:
    """
    Write a time as Matatika does: UTC without a zone, trailing zeros of the fraction trimmed.
    """
    if at is None:
        return None
    text = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return (text[:-3] if milliseconds else text).rstrip("0").rstrip(".")


def present(body: Mapping[str, Any]) -> dict[str, Any]:
    """
    Leave out what is None: V2 sends no nulls.
    """
    return {name: value for name, value in body.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Paging:
    """
    Which part of a collection a caller wants.
    """

    number: int
    size: int
    sort: tuple[tuple[str, bool], ...] = ()

    @property
    def offset(self) -> int:
        return self.number * self.size


def paging_of(request: Request) -> Paging:
    """
    Read `page`, `size` and `sort`.

    Raises:
        InvalidError: a number is none, or `sort` has another direction than asc or desc.
    """
    number = whole_number(request, "page", default=0, most=10**9)
    size = whole_number(request, "size", default=_SIZE, most=_SIZE_MOST) or _SIZE
    sort = []
    for text in request.query_params.getlist("sort"):
        name, _, direction = text.partition(",")
        if direction.lower() not in ("", "asc", "desc"):
            raise InvalidError("The query parameter `sort` is not as it should be.", "Write name,asc or name,desc.")
        sort.append((name, direction.lower() == "desc"))
    return Paging(number, size, tuple(sort))


def page(
    relation: str,
    items: Sequence[Mapping[str, Any]],
    total: int,
    paging: Paging,
    path: Link,
    more: Mapping[str, Link] | None = None,
) -> dict[str, Any]:
    """
    Show a page of a collection; an empty one has no `_embedded`.
    """
    pages = -(-total // paging.size)
    links: dict[str, Link] = {"self": _at(path, paging, paging.number)}
    if pages > 1:
        links["first"] = _at(path, paging, 0)
        if paging.number > 0:
            links["prev"] = _at(path, paging, min(paging.number, pages) - 1)
        if paging.number < pages - 1:
            links["next"] = _at(path, paging, paging.number + 1)
        links["last"] = _at(path, paging, pages - 1)
    return {
        **({"_embedded": {relation: list(items)}} if items else {}),
        "_links": {**links, **(more or {})},
        "page": {"size": paging.size, "totalElements": total, "totalPages": pages, "number": paging.number},
    }


def _at(path: Link, paging: Paging, number: int) -> Link:
    sort = "".join(f"&sort={quote(name)},{'desc' if down else 'asc'}" for name, down in paging.sort)
    return {"href": f"{path['href']}?page={number}&size={paging.size}{sort}"}


def hal_reply(request: Request, body: Any, status: int = 200) -> Response:
    """
    Answer with HAL, under the media type that the caller asked for.
    """
    accept = request.headers.get("accept", "")
    plain = "application/json" in accept and HAL not in accept
    return json_reply(body, status, media_type="application/json" if plain else HAL)
