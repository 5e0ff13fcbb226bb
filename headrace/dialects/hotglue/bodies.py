"""
Reading JSON bodies whose fields have several spellings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.core.errors import InvalidError


def object_of(body: bytes) -> dict[str, Any]:
    """
    Read a body that is one JSON object; an empty one is an empty object.

    Raises:
        InvalidError: it is something else, or holds the character NUL, which no name or setting contains.
    """
    if not body.strip():
        return {}
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else "not valid JSON in UTF-8"
        raise InvalidError(f"The body is {what}.", "Send one JSON object.") from None
    if not isinstance(found, dict):
        raise InvalidError("The body is not a JSON object.", "Send one JSON object.")
    if b"\\u0000" in body and b"\\u0000" in msgspec.json.encode(found).replace(rb"\\", b""):
        raise InvalidError("The body contains the character NUL.", "Leave it out.")
    return found


def object_in(body: Mapping[str, Any], *names: str) -> dict[str, Any] | None:
    """
    Give the first of the fields *names* that is there, an object; None when none is, or it is null.

    Raises:
        InvalidError: it is no object.
    """
    for name in names:
        value = body.get(name)
        if value is not None:
            if not isinstance(value, dict):
                raise InvalidError(f"The field `{name}` is not an object.", "Correct it, or leave it out.", field=name)
            return value
    return None


def text_in(body: Mapping[str, Any], *names: str) -> str:
    """
    Give the first of the fields *names* that is there, a text; empty when none is, or it is null.

    Raises:
        InvalidError: it is no text.
    """
    for name in names:
        value = body.get(name)
        if value is not None:
            if not isinstance(value, str):
                raise InvalidError(f"The field `{name}` is not a text.", "Correct it, or leave it out.", field=name)
            return value
    return ""


def flag_in(query: Mapping[str, str], name: str) -> bool:
    """
    Read a flag of the query: `name=true` and the bare `name` alike.
    """
    return name in query and query[name].strip().lower() not in ("false", "0", "no")
