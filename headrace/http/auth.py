"""
Who asks: the key of a request.
"""

from __future__ import annotations

from starlette.requests import Request

from headrace.core.actor import Actor
from headrace.core.errors import ForbiddenError
from headrace.services.access import Access

_BEARER = "bearer "


def key_of(request: Request) -> str | None:
    """
    Give the key that was sent as `x-api-key` or as `Authorization: Bearer`.
    """
    key = request.headers.get("x-api-key")
    if key:
        return key
    authorization = request.headers.get("authorization", "")
    return authorization[len(_BEARER) :].strip() if authorization[: len(_BEARER)].lower() == _BEARER else None


async def actor_of(request: Request, access: Access, *, in_a_page: bool = False) -> Actor:
    """
    Tell who asks.

    A public key stands in web pages for everybody to read, so it opens only calls that are made from there: *in_a_page*.

    Raises:
        UnauthenticatedError: no key, or one that is not known.
        ForbiddenError: it is a public key, which does not open this.
    """
    actor = await access.authenticate(key_of(request))
    if actor.role == "public" and not in_a_page:
        raise ForbiddenError("A public key opens only what hotglue's widget calls.", "Use a key of another role.")
    return actor
