"""
What a data-plane process tells the worker that started it: JSON lines on a pipe.

A report brings no process down: when the worker is gone, reports are dropped (the shim ends the process). A worker that is slow to read misses
progress, which the next report tells anyway, and nothing else.
"""

from __future__ import annotations

import contextlib
import select
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from headrace.runners.data_errors import excerpt
from headrace.runners.pipes import grow_pipe, write_all

PROGRESS_SECONDS = 0.5
NOISE_REPORTS = 20


def peak_bytes() -> int | None:
    """
    The largest resident size of this process so far. Not from getrusage, which counts the parent's size before exec as ours.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return None


class Reporter:
    """
    The writing end of the report pipe; safe to use from several threads, one line is never cut by another.
    """

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        if fd is not None:
            grow_pipe(fd)

    def is_free(self) -> bool:
        """
        Whether a report can be sent without waiting for the worker.
        """
        return self._fd is not None and bool(select.select([], [self._fd], [], 0)[1])

    def send(self, kind: str, **facts: Any) -> None:
        line = msgspec.json.encode({"kind": kind, **facts}) + b"\n"
        with self._lock:
            if self._fd is None:
                return
            if not write_all(self._fd, line):
                self._fd = None


class NoiseLog:
    """
    Lines that are no Singer messages: the first twenty are reported with their number, the rest only counted.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.count = 0

    def add(self, line: bytes, number: int) -> None:
        self.count += 1
        if self.count <= NOISE_REPORTS:
            self._reporter.send("noise", line=number, excerpt=excerpt(line))


class Changes:
    """
    Which counts changed since they were last told, so that a progress report of 10,000 streams stays small.
    """

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def take(self, counts: Mapping[str, int]) -> dict[str, int]:
        changed = {name: count for name, count in counts.items() if self._told.get(name) != count}
        self._told.update(changed)
        return changed
