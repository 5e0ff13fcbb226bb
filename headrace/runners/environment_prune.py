"""
Which environments may go, and taking them away without hurting whoever uses them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from headrace.runners.environment_build import remove_tree
from headrace.runners.environment_lock import open_lock, try_exclusive

LAST_USED = ".headrace-last-used"

_JUST_HANDED_OUT = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class _Entry:
    path: Path
    used_at: datetime
    size_bytes: int


def prune(root: Path, *, now: datetime, unused_for: timedelta | None, keep_bytes: int | None) -> list[Path]:
    """
    Remove environments that nobody has used for *unused_for*, then the longest unused until the rest fits *keep_bytes*.

    Never removed: one that was handed out in the last ten minutes, that a process runs from, or that is being built.
    """
    removed = []
    entries = sorted(_entries(root), key=lambda entry: entry.used_at)
    total_bytes = sum(entry.size_bytes for entry in entries)
    for entry in entries:
        idle_for = now - entry.used_at
        over = keep_bytes is not None and total_bytes > keep_bytes
        stale = unused_for is not None and idle_for >= unused_for
        if idle_for >= _JUST_HANDED_OUT and (over or stale) and _remove_unless_in_use(entry):
            total_bytes -= entry.size_bytes
            removed.append(entry.path)
    return removed


def _remove_unless_in_use(entry: _Entry) -> bool:
    with open_lock(entry.path) as lock:
        if not try_exclusive(lock) or _used_at(entry.path) != entry.used_at or _has_process(entry.path):
            return False
        remove_tree(entry.path)
    return True


def _entries(root: Path) -> Iterator[_Entry]:
    if not root.is_dir():
        return
    for path in root.iterdir():
        if path.is_dir() and not path.name.startswith("."):
            yield _Entry(path, _used_at(path), _size_bytes(path))


def _used_at(path: Path) -> datetime:
    file = path / LAST_USED
    return datetime.fromtimestamp((file if file.exists() else path).stat().st_mtime, UTC)


def _size_bytes(path: Path) -> int:
    """
    What the folder takes on the disk; a file that it shares with uv's cache by a hard link counts in full.
    """
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118 - hot over thousands of files
    return total


def _has_process(path: Path) -> bool:
    """
    Whether some process was started by a program of the environment; its command line begins with the environment's path.
    """
    prefix = f"{path}/"
    for process in psutil.process_iter(["cmdline"]):
        if any(argument.startswith(prefix) for argument in (process.info["cmdline"] or [])[:2]):
            return True
    return False
