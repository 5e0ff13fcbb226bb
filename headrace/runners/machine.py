"""
What the machine has, as far as this process may use it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

_SHARE = 0.75
_PROC, _CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def most_memory_bytes(*, groups: Path = _PROC, mounted: Path = _CGROUPS) -> int:
    """
    Give the memory that the processes of one step may take together where nothing limits them: three quarters of the machine's, or of what
    the control groups that this process is in allow.

    Without it one greedy program would make the kernel choose what to end, which may be the server.
    """
    return int(min([psutil.virtual_memory().total, *_allowed(groups, mounted)]) * _SHARE)


def _allowed(groups: Path, mounted: Path) -> list[int]:
    """
    Read the limits of the group of this process and of those above it; in a container its own group is mounted as the root.
    """
    try:
        lines = groups.read_text().splitlines()
    except OSError:  # not Linux
        return []
    found: list[int] = []
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        root, name = (mounted / "memory", "memory.limit_in_bytes") if kinds else (mounted, "memory.max")
        here = Path(path.lstrip("/"))
        for group in (here, *here.parents):
            with contextlib.suppress(OSError, ValueError):  # not mounted here, or `max`
                found.append(int((root / group / name).read_text()))
    return found
