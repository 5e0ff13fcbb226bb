"""
The parent of a step's children: a small program of its own that leaves none behind.

A shim that was given a program of its own forks itself for children without an argv: they begin with everything imported.

The worker starts it (process.py) with one end of a Unix socketpair as its standard input. It is the subreaper of all it starts, so a daemon that
double-forks into a session of its own comes back to it. When the socket closes (the worker died, or is done with it) it kills every descendant
until none is left, and goes. It must start fast and stay small, so it needs the standard library and its two neighbours only.

Messages are JSON, one to a line; file descriptors travel beside them (SCM_RIGHTS).

    worker says                                               shim answers
    spawn    name argv cwd env targets rlimits nice resident  started name pid | failed name errno reason
    use      the resident is of this step from now on         -
    watch    limits {memory, processes, cpu}                  exceeded kind limit seen, when everything is killed already
    signal   name|null sig                                    -
    sweep    pipe sig: to strays that hold that pipe open     -
    stop     grace_seconds: TERM to all, then KILL            stopped, with the usage so far, when none is left
    end      grace_seconds keep: the same, and be as new      ended, with the usage of all that ran, when none is left
    live     until: the worker may act until then             -; past it the worker counts as dead: see below

    of its own accord: exited name code signal order user_seconds system_seconds max_rss_bytes
                       sample, the usage so far, about once a second while children run

A stray is a descendant whose named ancestor has ended, such as a daemon that a tap left behind: while it holds the pipe, the reader at the
other end never sees the end of the data.
A resident is a child that may outlive its step, at most one: an `end` that says *keep* spares it and what is below it, and the next step may
use it. Until then it is no part of that step, and counts towards none of its limits. The folder it was given is removed after its death.
A worker that is stopped ends nothing, and its socket stays open, while another takes over what it had. So the worker says again and again until when,
on the clock of `boot_seconds`, it may act without saying so anew; for a step of which it never says so that is for ever.
`order` counts the looks in which dead children were found: two children with one order died too close together to tell apart.
Elsewhere than on Linux there is no subreaper: then the process groups of the named children are ended, and nothing is measured.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import select
import signal
import socket
import time
from collections import deque

from headrace.runners.launch import DEAF_TO, PR_SET_CHILD_SUBREAPER, PR_SET_NAME, prctl, start
from headrace.runners.process_tree import (
    KILL_AGAIN_SECONDS,
    Usage,
    below,
    collect_dead,
    descendants,
    fair_bytes,
    holders,
    kill_until_none_is_left,
    measure,
    signal_all,
    strays,
)

TYPE_CHECKING = False  # importing `typing` for it would cost a fifth of the start
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from headrace.runners.launch import Program

    Message = dict[str, Any]

MAX_FDS = 64  # in one message; the kernel allows 253
SAMPLE_SECONDS, SHORTEST_SAMPLE_SECONDS, REPORT_SECONDS = 0.25, 0.02, 1.0
FIRST_SAMPLE_SECONDS = 0.1  # most calls of automations have ended by then, and a look costs a tenth of one
GROWTH_BYTES_PER_SECOND = 4 << 30  # how fast a greedy process fills memory: the nearer the limit, the oftener we look
NEVER = float("inf")
BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while the machine sleeps


class WorkerGone(Exception):  # noqa: N818 -- not an error: it is how a shim's life ends
    """
    The other end of the socket is closed.
    """


class Channel:
    """
    Lines of JSON over a Unix socket, with file descriptors beside them.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._unread = b""
        self._fds: deque[int] = deque()

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, event: str, **facts: Any) -> None:
        try:
            self._sock.sendall(json.dumps({"event": event, **facts}).encode() + b"\n")
        except OSError as error:
            raise WorkerGone from error

    def receive(self) -> Iterator[Message]:
        """
        Read once and yield each complete message.

        Raises:
            WorkerGone: end of file, or the connection broke.
        """
        room = socket.CMSG_SPACE(MAX_FDS * 4)
        try:
            data, ancillary, _, _ = self._sock.recvmsg(1 << 16, room, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
        except OSError as error:
            raise WorkerGone from error
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._fds.extend(memoryview(payload[: len(payload) // 4 * 4]).cast("i"))
        if not data:
            raise WorkerGone
        *lines, self._unread = (self._unread + data).split(b"\n")
        yield from map(json.loads, lines)

    def take_fds(self, count: int) -> list[int]:
        """
        Take the descriptors of one message, in the order they were sent.

        Raises:
            OSError: EMFILE, the kernel dropped some because this process has too many open.
        """
        taken = [self._fds.popleft() for _ in range(min(count, len(self._fds)))]
        if len(taken) < count:
            close_all(taken)
            raise OSError(errno.EMFILE, "descriptors were lost on the way to the shim")
        return taken


class Resident:
    """
    The child that may outlive its step, if there is one.
    """

    def __init__(self, pid: int | None = None, folder: str | None = None) -> None:
        self.pid = pid
        self.in_use = pid is not None
        self.spared = False
        self._folder = folder

    def tree(self) -> frozenset[int]:
        return frozenset((self.pid, *below(self.pid)) if self.pid is not None else ())

    def bury(self) -> None:
        """
        Remove what it has left on the disk.
        """
        if self._folder is not None:
            remove_folder(self._folder)
            self._folder = None


class Shim:
    """
    One step's parent: spawns, watches, reaps, ends.
    """

    def __init__(self, channel: Channel, program: Program | None = None) -> None:
        self._channel = channel
        self._program = program
        self._wakeup = wake_on_child_death()
        self._resident = Resident()
        self._be_as_new()

    def _be_as_new(self) -> None:
        self._resident.in_use = False
        self._names: dict[int, str] = {}
        self._limits: dict[str, float] = {}
        self._usage = Usage()
        self._looks = 0
        self._sample_at = self._report_at = self._kill_at = NEVER
        self._closing: str | None = None  # the answer that is due when no child is left
        self._refusing = False
        self._live_until = NEVER

    def run(self) -> None:
        poller = select.poll()
        poller.register(self._channel, select.POLLIN)
        poller.register(self._wakeup, select.POLLIN)
        try:
            while True:
                ready = {fd for fd, _ in poller.poll(self._wait_milliseconds())}
                if self._wakeup in ready:
                    os.read(self._wakeup, 4096)
                self._reap()
                if self._channel.fileno() in ready:
                    for message in self._channel.receive():
                        self._obey(message)
                self._tick(time.monotonic())
        except WorkerGone:
            pass
        finally:  # whatever ends us, even a bug, ends them first
            kill_until_none_is_left(self._names)
            self._resident.bury()

    def _wait_milliseconds(self) -> float | None:
        rest = min(min(self._sample_at, self._kill_at) - time.monotonic(), self._live_until - boot_seconds())
        return None if rest == NEVER else max(0.0, rest) * 1000

    def _obey(self, message: Message) -> None:
        match message["do"]:
            case "spawn":
                self._spawn(message)
            case "watch":
                self._limits = message["limits"]
            case "live":
                self._live_until = message["until"]
            case "signal":
                self._signal(message["name"], message["sig"])
            case "sweep":
                signal_all(holders(strays(self._names), message["pipe"]), message["sig"])
            case "use":
                self._resident.in_use = True
                self._usage.leave_out(measure(self._resident.tree()).cpu_seconds)
            case "stop" | "end" as order:
                self._refusing = True
                if order == "end":  # what is left has not long to live in any case
                    self._live_until = NEVER
                self._closing = "ended" if order == "end" else "stopped"
                self._resident.spared = bool(message.get("keep"))
                self._kill_at = min(self._kill_at, time.monotonic() + message["grace_seconds"])
                signal_all(self._doomed(), signal.SIGTERM)
                self._reap()

    def _doomed(self) -> list[int]:
        """
        Find what a step that ends takes with it.
        """
        found = descendants(self._names)
        spared = self._resident.tree() if self._resident.spared else ()
        return [pid for pid in found if pid not in spared]

    def _spawn(self, message: Message) -> None:
        name = message["name"]
        fds: list[int] = []
        try:
            fds = self._channel.take_fds(len(message["targets"]))
            if self._refusing:
                raise OSError(errno.ECANCELED, "the step is being ended")
            pid = start(message, fds, self._program)
        except OSError as error:
            self._channel.send("failed", name=name, errno=error.errno, reason=error.strerror)
            return
        finally:
            close_all(fds)
        self._names[pid] = name
        if message.get("resident"):
            self._resident = Resident(pid, message["cwd"])
        now = time.monotonic()
        self._sample_at = min(
            self._sample_at, now + self._unlooked_seconds(self._usage.rss_bytes, FIRST_SAMPLE_SECONDS)
        )
        self._report_at = min(self._report_at, now + REPORT_SECONDS)
        self._channel.send("started", name=name, pid=pid)

    def _signal(self, name: str | None, number: int) -> None:
        if name is None:
            signal_all(descendants(self._names), number)
            return
        for pid in [pid for pid, its_name in self._names.items() if its_name == name]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, number)  # not reaped yet, so the number is still its own

    def _reap(self) -> None:
        found, none_left = collect_dead()
        self._looks += any(dead.pid in self._names for dead in found)
        for dead in found:
            self._usage.add_dead(dead)
            if dead.pid == self._resident.pid:
                self._resident.pid = None
            if name := self._names.pop(dead.pid, None):
                self._channel.send(
                    "exited",
                    name=name,
                    code=dead.code,
                    signal=dead.signal,
                    order=self._looks,
                    user_seconds=dead.user_seconds,
                    system_seconds=dead.system_seconds,
                    max_rss_bytes=dead.max_rss_bytes,
                )
        if none_left or (self._resident.spared and self._closing and not self._doomed()):
            self._rest()

    def _rest(self) -> None:
        self._sample_at = self._report_at = self._kill_at = NEVER
        answer, self._closing = self._closing, None
        if answer is None:
            return
        resident = measure(self._resident.tree())
        self._usage.close(resident.cpu_seconds if self._resident.in_use else 0.0)
        facts = self._usage.facts()
        if answer == "ended":
            self._be_as_new()
        if self._resident.pid is None:
            self._resident.bury()
        self._channel.send(answer, **facts, resident_bytes=resident.rss_bytes)

    def _tick(self, now: float) -> None:
        if boot_seconds() >= self._live_until:
            raise WorkerGone
        if now >= self._kill_at:
            signal_all(self._doomed(), signal.SIGKILL)
            self._kill_at = now + KILL_AGAIN_SECONDS
        if now >= self._sample_at:
            self._sample(now)

    def _sample(self, now: float) -> None:
        tree = descendants(self._names)
        if not self._resident.in_use:
            apart = self._resident.tree()
            tree = [pid for pid in tree if pid not in apart]
        sample = measure(tree)
        memory_limit_bytes = self._limits.get("memory", NEVER)
        if sample.rss_bytes > memory_limit_bytes and sample.processes > 1:
            sample.rss_bytes = fair_bytes(tree, sample.rss_bytes)
        self._usage.add(sample, now)
        seen = {"memory": sample.rss_bytes, "processes": sample.processes, "cpu": self._usage.cpu_seconds}
        for kind in [kind for kind, limit in self._limits.items() if seen[kind] > limit][:1]:
            self._exceed(kind, seen[kind], tree)
        self._sample_at = now + self._unlooked_seconds(sample.rss_bytes, SAMPLE_SECONDS)
        if now >= self._report_at:
            self._report_at = now + REPORT_SECONDS
            self._channel.send("sample", **self._usage.facts())

    def _unlooked_seconds(self, rss_bytes: int, most_seconds: float) -> float:
        """
        Say how long we need not look: no process fills what is left of the memory limit in that time.
        """
        growing_seconds = (self._limits.get("memory", NEVER) - rss_bytes) / GROWTH_BYTES_PER_SECOND
        return max(SHORTEST_SAMPLE_SECONDS, min(most_seconds, growing_seconds))

    def _exceed(self, kind: str, seen: float, tree: list[int]) -> None:
        signal_all(tree, signal.SIGKILL)  # first act, then tell: the worker may be slow to listen
        limit = self._limits[kind]
        self._limits = {}
        self._refusing = True
        self._kill_at = time.monotonic()
        self._channel.send("exceeded", kind=kind, limit=limit, seen=seen)


def boot_seconds() -> float:
    return time.clock_gettime(BOOT_CLOCK)


def wake_on_child_death() -> int:
    """
    Give a descriptor that becomes readable when a child dies.
    """
    wakeup, wake = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    return wakeup


def close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def remove_folder(folder: str) -> None:
    """
    Remove what there is of a folder; pathlib and shutil would double the start of the shim.
    """
    for at, folders, files in os.walk(folder, topdown=False):
        for name in files + folders:
            with contextlib.suppress(OSError):
                os.unlink(f"{at}/{name}")  # noqa: PTH108 -- as above; it refuses folders
        for name in folders:
            with contextlib.suppress(OSError):
                os.rmdir(f"{at}/{name}")  # noqa: PTH106 -- as above
    with contextlib.suppress(OSError):
        os.rmdir(folder)  # noqa: PTH106 -- as above


def main(program: Program | None = None) -> None:
    """
    Be a shim until the worker is gone; *program* is what children without an argv are.
    """
    for number in DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_NAME, b"headrace-shim")
    gc.freeze()  # a collection in a forked child would copy what it shares with us
    Shim(Channel(socket.socket(fileno=0)), program).run()
