"""
The streams of an extractor and which of them are selected, as `meltano select --json --all` lists them.

Source: Meltano 4.4, tried: an object whose `streams` has one entry for each property, with `stream`, `property` and `selection`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

_LARGEST_BYTES: Final = 16 * 2**20
_MOST_FIELDS: Final = 20_000
_WORDS: Final = {"selected": "SELECTED", "automatic": "AUTOMATIC", "excluded": "EXCLUDED"}


def list_command(extractor: str) -> list[str]:
    """
    Give the argument list whose standard output `read_streams` reads.
    """
    return ["meltano", "select", "--json", "--all", "--no-install", extractor]


def read_streams(file: Path) -> list[dict[str, Any]]:
    """
    Read the streams with their fields, each with what is selected; nothing of a file that has another form.

    A stream is selected when one of its fields is. Fields that no target could take are left out, and so are those beyond 20,000.
    """
    if file.stat().st_size > _LARGEST_BYTES:
        return []
    try:
        found = msgspec.json.decode(file.read_bytes())
    except ValueError:
        return []
    listed = found.get("streams") if isinstance(found, dict) else None
    streams: dict[str, list[dict[str, str]]] = {}
    for entry in listed[:_MOST_FIELDS] if isinstance(listed, list) else ():
        match entry:
            case {"stream": str(stream), "property": str(name), "selection": str(word)} if word in _WORDS:
                streams.setdefault(stream, []).append({"name": name, "selected": _WORDS[word]})
    return [{"name": name, "selected": _of_stream(fields), "fields": fields} for name, fields in streams.items()]


def _of_stream(fields: list[dict[str, str]]) -> str:
    return "EXCLUDED" if all(field["selected"] == "EXCLUDED" for field in fields) else "SELECTED"
