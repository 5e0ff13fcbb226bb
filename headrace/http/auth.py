"""
Who asks: the key of a request.
"""

from __future__ import annotations

from starlette.requests import Request

from headrace.core.actor import Actor
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


async def actor_of(request: Request, access: Access) -> Actor:
    """
    Tell who asks.

    Raises:
        UnauthenticatedError: no key, or one that is not known.
    """
    return await access.authenticate(key_of(request))
