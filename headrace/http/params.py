"""
Query parameters and headers that several wires read.
"""

from __future__ import annotations

from starlette.requests import Request

from headrace.core.errors import InvalidError

_KEY_LENGTH = 255


def whole_number(request: Request, name: str, *, default: int, most: int) -> int:
    """
    Read a query parameter that is a whole number from 0; above *most* it is taken for *most*.

    Raises:
        InvalidError: it is something else.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(2**63)):
        raise InvalidError(f"The query parameter `{name}` is not a whole number.", "Give 0 or more.", parameter=name)
    return min(int(text), most)


def idempotency_key(request: Request) -> str | None:
    """
    Give the key under which the caller may repeat this request without making a second job.

    Raises:
        InvalidError: it is too long.
    """
    key = request.headers.get("idempotency-key") or None
    if key is not None and len(key) > _KEY_LENGTH:
        raise InvalidError(f"The Idempotency-Key is longer than {_KEY_LENGTH} characters.", "Use a UUID.")
    return key
