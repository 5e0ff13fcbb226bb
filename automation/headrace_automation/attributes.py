"""
What an attribute of a call may be; the limits are those that Intuned documents (2026).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from headrace_automation.encoding import encode

_KEY = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,63}")
_MOST_KEYS, _MOST_BYTES, _MOST_CHARACTERS, _MOST_ENTRIES = 64, 16 * 2**10, 255, 20


def check_attribute(known: Mapping[str, Any], key: str, value: Any) -> Any:
    """
    Give *value* in the form in which it is reported.

    Raises:
        ValueError: key or value is not allowed, or too much is known already.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no attribute: a letter, then at most 63 letters, digits and underscores.")
    plain = value.isoformat() if isinstance(value, datetime) and value.tzinfo else value
    if not _allowed(plain):
        raise ValueError(
            f"The value of {key} is not allowed: give a text of {_MOST_CHARACTERS} characters, a finite number, a truth value, "
            f"a datetime with a time zone, or a list of {_MOST_ENTRIES} texts."
        )
    after = {**known, key: plain}
    if len(after) > _MOST_KEYS or len(encode(after)) > _MOST_BYTES:
        raise ValueError(f"Too many attributes: at most {_MOST_KEYS}, and {_MOST_BYTES} bytes in all.")
    return plain


def _allowed(value: Any) -> bool:
    match value:
        case bool() | int():
            return True
        case float():
            return math.isfinite(value)
        case str():
            return len(value) <= _MOST_CHARACTERS
        case list():
            return len(value) <= _MOST_ENTRIES and all(isinstance(one, str) and _allowed(one) for one in value)
    return False
