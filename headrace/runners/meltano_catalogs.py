"""
The catalogs that Meltano has discovered, as it keeps them in a project: `.meltano/run/{extractor}/tap.properties.json`.

Beside each stands a key that Meltano makes of the extractor's settings and rules. It reads a catalog again only while the key that it
makes anew is the same, so a catalog without its key is worth nothing, and neither is ever changed here. Source: Meltano 4.4, its tap plugin.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

MOST_BYTES = 8 * 2**20
"""A catalog larger than this is discovered anew each time."""

_CATALOG = "tap.properties.json"
_KEY = "tap.properties.cache_key"


class Catalog(msgspec.Struct, frozen=True):
    """
    One extractor's catalog, and Meltano's key of the settings that it holds for.
    """

    text: str
    key: str


class CatalogFiles:
    """
    The catalogs in one copy of a project.
    """

    def __init__(self, project: Path) -> None:
        self._folder = project / ".meltano" / "run"

    def lay_out(self, catalogs: Mapping[str, Catalog]) -> None:
        """
        Write catalogs, by extractor, where Meltano looks for them.
        """
        for extractor, catalog in catalogs.items():
            folder = self._folder / extractor
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _CATALOG).write_text(catalog.text, "utf-8")
            (folder / _KEY).write_text(catalog.key, "utf-8")

    def found(self, extractors: Iterable[str]) -> dict[str, Catalog]:
        """
        Read the catalogs that stand there now, by extractor; one that is no JSON, or without its key, is left out.
        """
        catalogs: dict[str, Catalog] = {}
        for extractor in extractors:
            with contextlib.suppress(OSError, UnicodeDecodeError, msgspec.DecodeError):
                catalogs[extractor] = _read(self._folder / extractor)
        return catalogs


def _read(folder: Path) -> Catalog:
    file = folder / _CATALOG
    if file.is_symlink() or file.stat().st_size > MOST_BYTES:
        raise OSError(f"{_CATALOG} is not one to keep")
    text = file.read_text("utf-8")
    msgspec.json.decode(text, type=dict)
    return Catalog(text=text, key=(folder / _KEY).read_text("utf-8"))
