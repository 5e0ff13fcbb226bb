"""
Replies as bytes, without a framework's detour.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

_encode = msgspec.json.Encoder().encode


def json_reply(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None, media_type: str = "application/json"
) -> Response:
    """
    Answer with *body* as JSON.
    """
    return Response(_encode(body), status, headers=headers, media_type=media_type)
