"""
What lives below this process: found, measured, signalled, reaped.

Part of the shim (shim.py): the standard library only, and no `typing`, which would take a fifth of the shim's start. Without /proc nothing is
measured and only the children that the caller names are found.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Iterable

LINUX = sys.platform == "linux"
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
MAX_RSS_UNIT_BYTES = 1024 if LINUX else 1  # getrusage(2): kilobytes on Linux, bytes on macOS
KILL_AGAIN_SECONDS = 0.005


class Dead:
    """
    A child that was reaped, its own or an adopted one.
    """

    def __init__(self, pid: int, status: int, used: resource.struct_rusage) -> None:
        self.pid = pid
        exit_code = os.waitstatus_to_exitcode(status)
        self.code = exit_code if exit_code >= 0 else None
        self.signal = -exit_code if exit_code < 0 else None
        self.user_seconds, self.system_seconds = used.ru_utime, used.ru_stime
        self.max_rss_bytes = used.ru_maxrss * MAX_RSS_UNIT_BYTES


class Sample:
    """
    One look at a tree of processes.

    `rss_bytes` sums the resident set sizes, which count a shared page once per process: too much, never too little.
    """

    def __init__(self, rss_bytes: int, processes: int, cpu_seconds: float) -> None:
        self.rss_bytes = rss_bytes
        self.processes = processes
        self.cpu_seconds = cpu_seconds


class Usage:
    """
    What all children of one step have used so far, summed over the tree.
    """

    def __init__(self) -> None:
        self._cpu_before = children_cpu_seconds()
        self._measured_seconds = 0.0
        self._byte_seconds = 0.0
        self._last_at: float | None = None
        self.rss_bytes = self.peak_rss_bytes = self.processes = self.peak_processes = 0
        self.cpu_seconds = 0.0

    def add(self, sample: Sample, now: float) -> None:
        elapsed = KILL_AGAIN_SECONDS if self._last_at is None else now - self._last_at
        self._last_at = now
        self._measured_seconds += elapsed
        self._byte_seconds += elapsed * sample.rss_bytes
        self.rss_bytes, self.processes = sample.rss_bytes, sample.processes
        self.peak_rss_bytes = max(self.peak_rss_bytes, sample.rss_bytes)
        self.peak_processes = max(self.peak_processes, sample.processes)
        self.cpu_seconds = max(self.cpu_seconds, children_cpu_seconds() - self._cpu_before + sample.cpu_seconds)

    def leave_out(self, cpu_seconds: float) -> None:
        """
        Count what a child that joins the step has used before for nothing.
        """
        self._cpu_before += cpu_seconds

    def add_dead(self, dead: Dead) -> None:
        self.peak_rss_bytes = max(self.peak_rss_bytes, dead.max_rss_bytes)  # a life shorter than a sample counts too
        self.peak_processes = max(self.peak_processes, 1)

    def close(self, living_cpu_seconds: float = 0.0) -> None:
        self.rss_bytes = self.processes = 0
        self.cpu_seconds = max(self.cpu_seconds, children_cpu_seconds() - self._cpu_before + living_cpu_seconds)

    def facts(self) -> dict[str, float]:
        mean = int(self._byte_seconds / self._measured_seconds) if self._measured_seconds else self.peak_rss_bytes
        return {
            "rss_bytes": self.rss_bytes,
            "peak_rss_bytes": self.peak_rss_bytes,
            "mean_rss_bytes": mean,
            "processes": self.processes,
            "peak_processes": self.peak_processes,
            "cpu_seconds": round(self.cpu_seconds, 6),
        }


def descendants(named: Iterable[int]) -> list[int]:
    """
    Find every living process below this one; only the *named* ones where the kernel has no CONFIG_PROC_CHILDREN.
    """
    me = os.getpid()
    return below(me) if os.access(f"/proc/{me}/task/{me}/children", os.R_OK) else list(named)


def strays(named: Iterable[int]) -> list[int]:
    """
    Find the living processes below this one that are neither *named* nor below a named one; none without /proc.
    """
    theirs = {pid for root in named for pid in (root, *below(root))}
    return [pid for pid in below(os.getpid()) if pid not in theirs]


def holders(pids: Iterable[int], pipe: int) -> list[int]:
    """
    Choose those of *pids* that have the pipe with inode number *pipe* open.
    """
    return [pid for pid in pids if f"pipe:[{pipe}]" in open_files(pid)]


def open_files(pid: int) -> set[str]:
    found: set[str] = set()
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # closed meanwhile
                found.add(os.readlink(entry.path))  # noqa: PTH115 -- pathlib would double the start of the shim
    return found


def below(root: int) -> list[int]:
    found: list[int] = []
    unseen = [root]
    while unseen:
        parent = unseen.pop()
        with contextlib.suppress(OSError):  # it may be gone meanwhile
            for thread in threads(parent):
                children = [int(pid) for pid in read(f"/proc/{parent}/task/{thread}/children").split()]
                found += children
                unseen += children
    return found


def threads(pid: int) -> list[str]:
    with os.scandir(f"/proc/{pid}/task") as entries:
        return [entry.name for entry in entries]


def measure(pids: Iterable[int]) -> Sample:
    rss_pages = ticks = processes = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            stat = read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
            ticks += sum(map(int, stat[11:15]))  # proc(5): utime stime cutime cstime
            rss_pages += int(read(f"/proc/{pid}/statm").split()[1])
            processes += stat[0] != b"Z"
    return Sample(rss_pages * PAGE_BYTES, processes, ticks / TICKS_PER_SECOND)


def fair_bytes(pids: list[int], rss_bytes: int) -> int:
    """
    Sum the proportional set sizes, so that pages which forked processes share count once.

    Dear (the kernel walks the page tables), so asked only over a limit. Gives back *rss_bytes* where it may not be read.
    """
    total_bytes = 0
    for pid in pids:
        try:
            rollup = read(f"/proc/{pid}/smaps_rollup").split(b"\n")
        except (ProcessLookupError, FileNotFoundError):
            continue
        except OSError:
            return rss_bytes
        total_bytes += sum(int(line.split()[1]) << 10 for line in rollup if line.startswith(b"Pss:"))
    return total_bytes


def signal_all(pids: list[int], number: int) -> None:
    send = os.kill if LINUX else os.killpg
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            send(pid, number)
            if number == signal.SIGTERM:
                send(pid, signal.SIGCONT)  # a stopped process would never hear it


def collect_dead() -> tuple[list[Dead], bool]:
    """
    Reap the dead and say whether no child at all, own or adopted, is left.

    Those that SIGPIPE ended come last: their deaths follow from another's.
    """
    found: list[Dead] = []
    while True:
        try:
            pid, status, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            none_left = True
            break
        if pid == 0:
            none_left = False
            break
        found.append(Dead(pid, status, used))
    return sorted(found, key=lambda dead: dead.signal == signal.SIGPIPE), none_left


def kill_until_none_is_left(named: Iterable[int]) -> None:
    while not collect_dead()[1]:
        signal_all(descendants(named), signal.SIGKILL)  # each death hands its children to us
        time.sleep(KILL_AGAIN_SECONDS)


def children_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return read_to_end(fd)
    finally:
        os.close(fd)


def read_to_end(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 1 << 16):
        parts.append(part)
    return b"".join(parts)
