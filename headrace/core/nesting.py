"""
How deep a JSON text nests.

Python's parsers refuse what is nested too deep, and where that begins depends on how deep the caller itself stands. A text that was just shallow
enough to be taken could be kept for ever and never be read again; so what comes from outside is held to a depth well below that.
"""

from __future__ import annotations

import re
from array import array
from itertools import accumulate
from typing import Final

MOST_LEVELS: Final = 500

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_OTHERS = bytes(set(range(256)) - set(b"[{]}"))


def too_deep(text: bytes, most: int = MOST_LEVELS) -> bool:
    """
    Tell whether objects and arrays in a JSON text stand more than *most* deep in each other. Of what is no JSON it tells nothing.
    """
    if text.count(b"[") + text.count(b"{") <= most:
        return False
    steps = array("b", _STRING.sub(b"", text).translate(_STEPS, _OTHERS))
    return max(accumulate(steps), default=0) > most
