"""
What a child is asked to do, what it may use, and how it ended: values that process.py takes and gives.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

DEVNULL = subprocess.DEVNULL
INHERITED = ("PATH", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True, slots=True)
class Command:
    """
    One child program.

    `stdin`, `stdout` and `stderr` are a descriptor of ours (still ours to close), DEVNULL, or "pipe": a new pipe whose other end
    `Child.take_pipe` gives. `stderr="stdout"` sends both to one place. `pass_fds` maps the number that the child sees to a descriptor of ours.
    Without *argv* it is what the shim has ready (see `Program` of shim_link.py). `rlimits` are named as in resource.RLIMIT_*, in lower case, and never rise above our own.
    A *resident* may outlive the step, if `Supervision.spare_resident` says so; *cwd* is its own then, and removed after it.
    """

    name: str
    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    stdin: int | Literal["pipe"] = DEVNULL
    stdout: int | Literal["pipe"] = "pipe"
    stderr: int | Literal["pipe", "stdout"] = "pipe"
    pass_fds: Mapping[int, int] = field(default_factory=dict)
    rlimits: Mapping[str, int] = field(default_factory=lambda: {"core": 0})
    nice: int = 0
    resident: bool = False


@dataclass(frozen=True, slots=True)
class Exit:
    """
    How a child ended: by exit *code* or by *signal*, one of them None.

    `order` says who ended first among the children of one step; two with one order died too close together to tell apart.
    `max_rss_bytes` is of the largest single process, the child or one that it waited for.
    """

    name: str
    code: int | None
    signal: int | None
    order: int
    ended_at: datetime
    user_seconds: float = 0.0
    system_seconds: float = 0.0
    max_rss_bytes: int = 0

    @property
    def succeeded(self) -> bool:
        return self.code == 0


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What all children of one step may use together; None is no limit.

    Memory, processes and CPU are summed over every descendant; one that goes over is killed at once. Time limits end with TERM first, and KILL
    `grace_seconds` later.
    """

    memory_bytes: int | None = None
    processes: int | None = None
    cpu_seconds: float | None = None
    wall_seconds: float | None = None
    no_progress_seconds: float | None = None
    grace_seconds: float = 5.0


LimitKind = Literal["memory", "processes", "cpu", "wall", "no-progress"]


@dataclass(frozen=True, slots=True)
class LimitExceeded:
    """
    Why a step was ended by its supervisor: *peak* went over *limit*, both in bytes, processes or seconds as *kind* has it.
    """

    kind: LimitKind
    limit: float
    peak: float
    stage: str


@dataclass(frozen=True, slots=True)
class ResourceUsage:
    """
    What all children of one step used together, dead ones included.
    """

    peak_memory_bytes: int = 0
    average_memory_bytes: int = 0
    cpu_seconds: float = 0.0
    peak_processes: int = 0


def child_environment(
    base: Mapping[str, str], *, home: Path, tmp: Path, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """
    Make a child's environment: a few harmless variables of *base*, a home and a tmp of its own, and *extra*, which wins.

    Everything else of the server's environment (its settings, its database, its keys) stays out of the child's sight.
    """
    return {
        "PATH": os.defpath,
        **{name: base[name] for name in INHERITED if name in base},
        "HOME": str(home),
        "TMPDIR": str(tmp),
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
        **(extra or {}),
    }
