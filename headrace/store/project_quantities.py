"""
Sizes and times as people write them.
"""

from __future__ import annotations

import re

_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(?:([kKMGT]i?)?B)?\s*")
_NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*")
_TIME = re.compile(_NUMBER.pattern + r"(ms|s|m|h|d)\s*")
_TIMES = re.compile(f"(?:{_TIME.pattern})+")
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
    if number := _NUMBER.fullmatch(str(text)):
        found = float(number[1])
    elif _TIMES.fullmatch(str(text)):
        found = sum(float(match[1]) * _SECONDS[match[2]] for match in _TIME.finditer(str(text)))
    else:
        found = 0.0
    if found <= 0:
        raise ValueError(f"{text!r} is not a time")
    return found
