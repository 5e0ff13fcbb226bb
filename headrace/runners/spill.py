"""
Lines put aside on disk, for syncs with so many streams that none has enough for a part while memory is short.

Ten thousand streams in turn would otherwise make a part of a few records at each flush. A spill is appended to and later read back and decoded as
if it had stayed in memory; it is no durable thing, a checkpoint empties it first.
"""

from __future__ import annotations

from array import array
from pathlib import Path


class Spill:
    """
    The put-aside lines of one stream.
    """

    __slots__ = ("_lines", "_spans", "bytes")

    def __init__(self, folder: Path, number: int) -> None:
        self._lines = folder / f"{number}.jsonl"
        self._spans = folder / f"{number}.spans"
        self.bytes = 0

    def append(self, lines: bytes, spans: array[int]) -> None:
        """
        Args:
            lines: whole lines without the last newline.
            spans: pairs of first line number and count, for all of *lines*.
        """
        with self._lines.open("ab") as file:
            file.write(lines + b"\n")
        with self._spans.open("ab") as file:
            spans.tofile(file)
        self.bytes += len(lines) + 1

    def take(self) -> tuple[bytes, array[int]]:
        """
        All lines and spans, which are put aside no more.
        """
        spans = array("Q", self._spans.read_bytes())
        lines = self._lines.read_bytes()[:-1]
        self._lines.unlink()
        self._spans.unlink()
        self.bytes = 0
        return lines, spans
