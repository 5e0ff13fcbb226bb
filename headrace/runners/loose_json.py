"""
Records that the strict decoder refuses, taken apart without loss: each value stays the bytes that were sent.

Taken beyond the JSON standard, because real taps write it: NaN and Infinity, raw control characters in strings, lone surrogates,
bytes that are no UTF-8.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

_BLANK = " \t\n\r"
# Numbers stay text: nothing is done with them, and an integer of 5,000 digits would be refused.
_DECODER = json.JSONDecoder(strict=False, parse_int=str, parse_float=str, parse_constant=str)


def record_values(line: bytes) -> dict[str, bytes] | None:
    """
    The values of the message's `record` by name, as sent; of a name that comes twice the last. None when there is no such object.

    Raises:
        ValueError: *line* is no JSON even so.
        RecursionError: it is nested too deeply.
    """
    text = _whole(line)
    start = -1
    for name, value_start, _ in _members(text, _skip(text, 0)):
        if name == "record":
            start = value_start
    if start < 0 or text[start : start + 1] != "{":
        return None
    return {name: text[a:b].encode("utf-8", "surrogateescape") for name, a, b in _members(text, start)}


def record_text(line: bytes) -> bytes | None:
    """
    The text of the message's `record`, as sent; None when there is none. Raises as `record_values` does.
    """
    text = _whole(line)
    found = [text[a:b] for name, a, b in _members(text, _skip(text, 0)) if name == "record"]
    return found[-1].encode("utf-8", "surrogateescape") if found else None


def _whole(line: bytes) -> str:
    text = line.decode("utf-8", "surrogateescape").strip()
    _DECODER.decode(text)  # refuses what stands after the message
    return text


def _members(text: str, start: int) -> Iterator[tuple[str, int, int]]:
    """
    Name, start and end of the value of each member of the object that opens at *start*.
    """
    at = _skip(text, start + 1)
    if text[at : at + 1] == "}":
        return
    while True:
        if text[at : at + 1] != '"':
            raise ValueError("a member without a name")
        name, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise ValueError("a member without a value")
        value_start = _skip(text, at + 1)
        _, value_stop = _DECODER.raw_decode(text, value_start)
        yield name, value_start, value_stop
        at = _skip(text, value_stop)
        if text[at : at + 1] == "}":
            return
        if text[at : at + 1] != ",":
            raise ValueError("an object that does not end")
        at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in _BLANK and at < len(text):
        at += 1
    return at
