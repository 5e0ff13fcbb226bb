"""
Read `.env` files: variables that stand beside a project and are not part of it.
"""

from __future__ import annotations

import re
from pathlib import Path

_VARIABLE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")


def read_dot_env(file: Path) -> dict[str, str]:
    """
    Give the variables of a file; none where it is missing or no text. Lines that set nothing are passed over.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found = {}
    for line in lines:
        if match := _VARIABLE.fullmatch(line):
            value = match[2]
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            found[match[1]] = value[1:-1] if quoted else value.partition(" #")[0].rstrip()
    return found
