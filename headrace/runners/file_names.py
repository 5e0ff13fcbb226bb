"""
What stands for a stream in file names.
"""

from __future__ import annotations

import hashlib
import re

_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f\ud800-\udfff]")
_STEM_BYTES = 180  # of the 255 a file system allows: room for the timestamp, an extension, a temporary file's affixes


class FileNames:
    r"""
    A file-name stem for each stream: its name with `/`, `\` and control characters as `_`, as hotglue's targets write it.

    Two streams never share a stem: the second of a clash, a name that starts with a dot and one that is too long get a short hash of the name.
    """

    def __init__(self) -> None:
        self._stems: dict[str, str] = {}
        self._taken: set[str] = set()

    def claim(self, stream: str, stem: str) -> None:
        """
        Give *stream* the stem that it had in an earlier attempt.
        """
        self._stems[stream] = stem
        self._taken.add(stem)

    def stem(self, stream: str) -> str:
        stem = self._stems.get(stream)
        if stem is None:
            stem = _UNSAFE.sub("_", stream)
            if (
                not stem
                or stem.startswith((".", "_unreadable"))
                or stem in self._taken
                or len(stem.encode()) > _STEM_BYTES
            ):
                stem = f"{_shortened(stem.lstrip('.'))}~{_digest(stream)}"
            self.claim(stream, stem)
        return stem


def _shortened(stem: str) -> str:
    return stem.encode()[: _STEM_BYTES - 10].decode("utf-8", "ignore")


def _digest(stream: str) -> str:
    return hashlib.sha256(stream.encode("utf-8", "surrogatepass")).hexdigest()[:8]
