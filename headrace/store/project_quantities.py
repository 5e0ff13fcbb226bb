"""
Sizes and times as people write them.
"""

from __future__ import annotations

import re

_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(?:([kKMGT]i?)?B)?\s*")
_TIME = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)?\s*")
_BYTES = {
    "": 1,
    "k": 10**3,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def size_bytes(text: str | float) -> int:
    """
    Bytes of `2 GB` (thousand millions), `512 MiB` (powers of 1024) or a plain number of bytes.

    Raises:
        ValueError: it is none of these, or nothing.
    """
    match = _SIZE.fullmatch(str(text))
    found = int(float(match[1]) * _BYTES[match[2] or ""]) if match else 0
    if found <= 0:
        raise ValueError(f"{text!r} is not a size")
    return found


def duration_seconds(text: str | float) -> float:
    """
    Seconds of `90s`, `10m`, `1h30m`, `500ms`, `2d` or a plain number of seconds.

    Raises:
        ValueError: it is none of these, or nothing.
    """
    rest, total = str(text), 0.0
    alone = True
    while match := _TIME.match(rest):
        rest = rest[match.end() :]
        if match[2] is None and not (alone and not rest):
            break
        total += float(match[1]) * _SECONDS[match[2] or "s"]
        alone = False
    if rest or total <= 0:
        raise ValueError(f"{text!r} is not a time")
    return total
