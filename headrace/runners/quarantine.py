"""
Values that fit no rule, kept as they were sent: one JSON lines file per stream under `work_dir/quarantine`.

A line is `{"line": 12, "field": "amount", "reason": "not a number", "text": "…"}`; `field` is null and `text` the whole line where a RECORD
could not be read at all. Lines that name no stream stand in `_unreadable.jsonl`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from headrace.runners.file_names import FileNames
from headrace.runners.manifest import sync_path

UNREADABLE = "_unreadable"


@dataclass(frozen=True, slots=True)
class Misfit:
    """
    One value, or with *field* None one whole line.
    """

    line: int
    field: str | None
    reason: str
    text: str


class Quarantine:
    """
    Appends misfits and counts them; a file is open only for the time of a write, whatever the number of streams.

    Args:
        keep: whether the values are written down or only counted.
    """

    def __init__(self, folder: Path, names: FileNames, *, keep: bool) -> None:
        self._folder = folder
        self._names = names
        self._keep = keep
        self.counts: dict[str, int] = {}
        self.sizes: dict[str, int] = {}

    def remove_all_but(self, streams: Iterable[str]) -> None:
        """
        Remove the files of every stream that starts anew.

        Lines that name no stream are kept when any stream is: nobody knows whether they come again.
        """
        kept = {self._path(stream) for stream in streams}
        unreadable = self._path(UNREADABLE)
        if kept and unreadable.exists():
            kept.add(unreadable)
            self.counts[UNREADABLE] = unreadable.read_bytes().count(b"\n")
        for path in self._folder.glob("*.jsonl"):
            if path not in kept:
                path.unlink()

    def restore(self, stream: str, count: int, size_bytes: int) -> None:
        """
        Go on after *size_bytes*: the lines behind them will be read again.
        """
        path = self._path(stream)
        if path.exists():
            os.truncate(path, size_bytes)
        if count:
            self.counts[stream], self.sizes[stream] = count, size_bytes

    def add(self, stream: str, misfits: Sequence[Misfit]) -> None:
        self.count(stream, len(misfits))
        if not self._keep:
            return
        data = b"".join(msgspec.json.encode(misfit) + b"\n" for misfit in misfits)
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._path(stream).open("ab") as file:
            file.write(data)
        self.sizes[stream] = self.sizes.get(stream, 0) + len(data)

    def count(self, stream: str, number: int = 1) -> None:
        self.counts[stream] = self.counts.get(stream, 0) + number

    def sync(self) -> None:
        """
        Force what was kept to disk.
        """
        for stream in list(self.sizes):  # the reader may add one meanwhile
            sync_path(self._path(stream))

    def _path(self, stream: str) -> Path:
        stem = UNREADABLE if stream == UNREADABLE else self._names.stem(stream)
        return self._folder / f"{stem}.jsonl"
