"""
Child processes of a step: started, supervised, measured, and never left behind.

    async with pool.lease(Limits(memory_bytes=2 << 30), stage="sync") as step:
        tap = await step.spawn(Command("tap", argv, cwd, env))
        ended = await tap.wait()

Each lease has a shim (shim.py) to itself. When the block is left, in whatever way, every descendant is gone; when the worker dies, too.
A shim that ended its step cleanly has no child and no memory of it, and serves the next lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from headrace.core.errors import ChildrenRemainError, ShimLostError, SpawnError
from headrace.runners.command import (
    DEVNULL,
    Command,
    Exit,
    LimitExceeded,
    Limits,
    ResourceUsage,
    child_environment,
)
from headrace.runners.shim_link import ShimGoneError, ShimLink

__all__ = [
    "DEVNULL",
    "Child",
    "Command",
    "Exit",
    "LimitExceeded",
    "Limits",
    "ResourceUsage",
    "ShimPool",
    "Supervision",
    "child_environment",
]

log = logging.getLogger(__name__)

Stream = Literal["stdin", "stdout", "stderr"]
PIPE_BYTES = (
    1 << 20,
    1 << 18,
)  # a tap that flushes each record then wakes its reader seldom; the second is what a poor system grants
KILL_SECONDS = 10.0  # how long the dead may take to be gone
SPARE_AFTER_SECONDS = 0.05  # a spare shim's start must not compete with the child just started


def utc_now() -> datetime:
    return datetime.now(UTC)


class Child:
    """
    One running child.
    """

    def __init__(self, name: str, pid: int, started_at: datetime, pipes: dict[Stream, int]) -> None:
        self.name = name
        self.pid = pid
        self.started_at = started_at
        self.exit: Exit | None = None
        self._pipes = pipes
        self._over = asyncio.Event()

    def take_pipe(self, stream: Stream) -> int:
        """
        Hand over our end of a pipe; the taker closes it. What nobody takes is closed with the step.
        """
        return self._pipes.pop(stream)

    async def wait(self) -> Exit:
        """
        Wait for this child's end; its own children may outlive it until the step ends.

        Raises:
            ShimLostError: the shim was killed, so nobody knows how the child ended; it was killed too.
        """
        await self._over.wait()
        if self.exit is None:
            raise ShimLostError(
                "The supervisor of the child processes was killed.", "Run the job again.", child=self.name
            )
        return self.exit

    def settle(self, ended: Exit | None) -> None:
        self.exit = ended
        self._over.set()

    def close(self) -> None:
        close_pipes(self._pipes)


class Supervision:
    """
    The children of one step, under one shim and one set of limits.

    `exceeded` says which limit ended them, if one did; `usage` is as of the last second, and final once `end` has returned.
    """

    def __init__(self, link: ShimLink, limits: Limits, stage: str, clock: Callable[[], datetime]) -> None:
        self.stage = stage
        self.limits = limits
        self.exceeded: LimitExceeded | None = None
        self.usage = ResourceUsage()
        self.children: dict[str, Child] = {}
        self._link = link
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._starting: dict[str, tuple[dict[Stream, int], asyncio.Future[dict[str, Any]]]] = {}
        self._none_left = asyncio.Event()
        self._ended = asyncio.Event()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._stopping: asyncio.Task[None] | None = None
        self._began_at = self._progress_at = self._loop.time()
        link.listen(self._hear, self.lose)

    async def begin(self) -> None:
        """
        Arm the limits.
        """
        limits = {
            "memory": self.limits.memory_bytes,
            "processes": self.limits.processes,
            "cpu": self.limits.cpu_seconds,
        }
        given = {kind: limit for kind, limit in limits.items() if limit is not None}
        if given:
            await self._tell({"do": "watch", "limits": given})
        if self.limits.wall_seconds is not None:
            self._timers["wall"] = self._loop.call_later(self.limits.wall_seconds, self._wall_over)
        if self.limits.no_progress_seconds is not None:
            self._check_progress(self.limits.no_progress_seconds)

    async def spawn(self, command: Command) -> Child:
        """
        Start a child; returns when its program runs.

        Raises:
            SpawnError: it could not be started; says why.
            ShimLostError: the shim was killed.
        """
        if command.name in self.children or command.name in self._starting:
            raise ValueError(f"two children named {command.name!r} in one step")
        pipes: dict[Stream, int] = {}
        starting = self._starting[command.name] = (pipes, self._loop.create_future())
        try:
            with contextlib.ExitStack() as given:
                fds = open_streams(command, pipes, given)
                await self._tell(spawn_message(command, list(fds)), list(fds.values()))
            answer = await starting[1]
            if answer["event"] == "failed":
                raise spawn_error(command, answer)
        except BaseException:
            close_pipes(pipes)
            raise
        finally:
            del self._starting[command.name]
        return self.children[command.name]

    def progress(self) -> None:
        """
        Note that the step got on; anything less often than `no_progress_seconds` ends it.
        """
        self._progress_at = self._loop.time()

    async def signal(self, number: int, name: str | None = None) -> None:
        """
        Send a signal to the process group of one child, or to every descendant.
        """
        await self._tell({"do": "signal", "name": name, "sig": number})

    async def stop(self, grace_seconds: float) -> None:
        """
        End everything, TERM first and KILL after the grace, and wait until none is left; no child can be started after it.
        """
        with contextlib.suppress(ShimLostError):
            await self._tell({"do": "stop", "grace_seconds": grace_seconds})
            await self._within(self._none_left, grace_seconds)

    async def end(self, grace_seconds: float) -> ResourceUsage:
        """
        End everything as `stop` does, and the supervision with it.

        Raises:
            ChildrenRemainError: the kernel did not let them die in time; the shim goes on trying.
        """
        self._disarm()
        if not self._ended.is_set():
            with contextlib.suppress(ShimLostError):
                await self._tell({"do": "end", "grace_seconds": grace_seconds})
                await self._within(self._ended, grace_seconds)
        return self.usage

    async def _within(self, event: asyncio.Event, grace_seconds: float) -> None:
        try:
            async with asyncio.timeout(grace_seconds + KILL_SECONDS):
                await event.wait()
        except TimeoutError:
            left = sorted(name for name, child in self.children.items() if child.exit is None)
            raise ChildrenRemainError(
                f"Child processes of {self.stage or 'the step'} are still there after SIGKILL.",
                "Look for processes in uninterruptible sleep (a hung disk or network mount).",
                children=left,
            ) from None

    async def _tell(self, message: dict[str, Any], fds: list[int] | None = None) -> None:
        try:
            await self._link.send(message, fds or ())
        except ShimGoneError as error:
            raise ShimLostError("The supervisor of the child processes was killed.", "Run the job again.") from error

    def _hear(self, message: dict[str, Any]) -> None:
        match message["event"]:
            case "started" | "failed":
                self._started(message)
            case "exited":
                self._exited(message)
            case "sample":
                self._use(message)
            case "exceeded":
                self.exceeded = self.exceeded or LimitExceeded(
                    message["kind"], message["limit"], message["seen"], self.stage
                )
            case "stopped":
                self._use(message)
                self._none_left.set()
            case "ended":
                self._use(message)
                self._none_left.set()
                self._ended.set()

    def _started(self, message: dict[str, Any]) -> None:
        name = message["name"]
        pipes, answer = self._starting.get(name, ({}, None))
        if message["event"] == "started":  # known from here on, even if its starter was cancelled meanwhile
            self.children[name] = Child(name, message["pid"], self._clock(), pipes)
        if answer and not answer.done():
            answer.set_result(message)

    def _exited(self, message: dict[str, Any]) -> None:
        facts = {key: value for key, value in message.items() if key != "event"}
        self.children[message["name"]].settle(Exit(**facts, ended_at=self._clock()))

    def _use(self, message: dict[str, Any]) -> None:
        self.usage = ResourceUsage(
            peak_memory_bytes=message["peak_rss_bytes"],
            average_memory_bytes=message["mean_rss_bytes"],
            cpu_seconds=message["cpu_seconds"],
            peak_processes=message["peak_processes"],
        )

    def _wall_over(self) -> None:
        self._stop_because("wall", self._loop.time() - self._began_at)

    def _check_progress(self, limit_seconds: float) -> None:
        still_seconds = self._loop.time() - self._progress_at
        if still_seconds >= limit_seconds:
            self._stop_because("no-progress", still_seconds)
        else:
            self._timers["no-progress"] = self._loop.call_later(
                limit_seconds - still_seconds, self._check_progress, limit_seconds
            )

    def _stop_because(self, kind: Literal["wall", "no-progress"], seconds: float) -> None:
        limit = self.limits.wall_seconds if kind == "wall" else self.limits.no_progress_seconds
        if self.exceeded is None:
            self.exceeded = LimitExceeded(kind, limit or 0.0, seconds, self.stage)
            self._stopping = self._loop.create_task(self._order_stop())

    async def _order_stop(self) -> None:
        with contextlib.suppress(ShimLostError):
            await self._tell({"do": "stop", "grace_seconds": self.limits.grace_seconds})

    def _disarm(self) -> None:
        while self._timers:
            self._timers.popitem()[1].cancel()

    def lose(self) -> None:
        """
        Settle everything after the shim went without a word; its children got SIGKILL from the kernel, their groups get it from us.
        """
        self._disarm()
        lost = ShimLostError("The supervisor of the child processes was killed.", "Run the job again.")
        for _, answer in self._starting.values():
            if not answer.done():
                answer.set_exception(lost)
        for child in self.children.values():
            if child.exit is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.settle(None)
        self._none_left.set()
        self._ended.set()

    def close(self) -> None:
        self._disarm()
        self._link.listen(None, None)
        for child in self.children.values():
            if child.exit is None:
                child.settle(None)
            child.close()


class ShimPool:
    """
    Shims that are up already, so that the first child of a step starts within milliseconds.

    *warm* are started with the pool, and up to *spare* that have served are kept; an idle one has 10 MB and does nothing.
    """

    def __init__(self, warm: int = 2, *, spare: int = 8, clock: Callable[[], datetime] = utc_now) -> None:
        self._warm = warm
        self._spare = max(warm, spare)
        self._clock = clock
        self._idle: list[ShimLink] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._refill: asyncio.TimerHandle | None = None
        self._open = False

    async def __aenter__(self) -> Self:
        self._open = True
        self._fill()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open = False
        if self._refill:
            self._refill.cancel()
        while self._idle:
            self._discard(self._idle.pop())
        while self._closing:
            await asyncio.wait(self._closing)

    @contextlib.asynccontextmanager
    async def lease(self, limits: Limits | None = None, *, stage: str = "") -> AsyncIterator[Supervision]:
        """
        Lend a shim for one step; on leaving, every descendant is ended and gone.

        Raises:
            ChildrenRemainError: on leaving; the kernel did not let them die in time.
        """
        limits = limits or Limits()
        link = self._take()
        step = Supervision(link, limits, stage, self._clock)
        try:
            await step.begin()
            yield step
        finally:
            clean = False
            try:
                await step.end(limits.grace_seconds)
                clean = True
            finally:
                step.close()
                self._give_back(link, clean=clean)

    def _take(self) -> ShimLink:
        if not self._open:
            raise RuntimeError("the pool is closed")
        while self._idle:
            link = self._idle.pop()
            if link.alive:
                break
            self._discard(link)
        else:
            link = ShimLink()
        if not self._idle and not self._refill:
            self._refill = asyncio.get_running_loop().call_later(SPARE_AFTER_SECONDS, self._fill)
        return link

    def _fill(self) -> None:
        self._refill = None
        while len(self._idle) < self._warm:
            self._idle.append(ShimLink())

    def _give_back(self, link: ShimLink, *, clean: bool) -> None:
        if clean and link.alive and self._open and len(self._idle) < self._spare:
            self._idle.append(link)
        else:
            self._discard(link)

    def _discard(self, link: ShimLink) -> None:
        link.disconnect()
        task = asyncio.get_running_loop().create_task(link.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def spawn_message(command: Command, targets: list[int]) -> dict[str, Any]:
    return {
        "do": "spawn",
        "name": command.name,
        "argv": list(command.argv),
        "cwd": str(command.cwd),
        "env": dict(command.env),
        "targets": targets,
        "rlimits": dict(command.rlimits),
        "nice": command.nice,
    }


def open_streams(command: Command, pipes: dict[Stream, int], given: contextlib.ExitStack) -> dict[int, int]:
    """
    Open what *command* asks for: the child's numbers and our descriptors for them; our ends of new pipes go to *pipes*.

    What was opened only to be given away is closed by *given*.
    """
    wanted: dict[Stream, int | str] = {"stdin": command.stdin, "stdout": command.stdout, "stderr": command.stderr}
    fds: dict[int, int] = {}
    for number, (stream, source) in enumerate(wanted.items()):
        if source == "stdout":
            fds[number] = fds[1]
        elif source == "pipe":
            ours, fds[number] = open_pipe(stream)
            pipes[stream] = ours
            given.callback(os.close, fds[number])
        elif source == DEVNULL:
            fds[number] = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            given.callback(os.close, fds[number])
        else:
            fds[number] = int(source)
    return fds | dict(command.pass_fds)


def open_pipe(stream: Stream) -> tuple[int, int]:
    """
    Open a pipe for *stream*: (our end, the child's end); large, but for stderr, which is read for people.
    """
    readable, writable = os.pipe()
    if stream != "stderr" and hasattr(fcntl, "F_SETPIPE_SZ"):
        for size_bytes in PIPE_BYTES:
            try:
                fcntl.fcntl(readable, fcntl.F_SETPIPE_SZ, size_bytes)
                break
            except OSError:  # over /proc/sys/fs/pipe-max-size or the user's share
                continue
    return (writable, readable) if stream == "stdin" else (readable, writable)


def close_pipes(pipes: dict[Stream, int]) -> None:
    while pipes:
        os.close(pipes.popitem()[1])


def spawn_error(command: Command, answer: dict[str, Any]) -> SpawnError:
    program = command.argv[0] if command.argv else ""
    reason = f"{command.name} could not be started: {answer['reason']}."
    instruction = "Check the command and that it is installed on this machine."
    if answer["errno"] == errno.ENOENT and answer["reason"].endswith(program) and Path(program).is_file():
        instruction = (
            f"{program} is there, but the interpreter that its first line names is not: build its environment again."
        )
    elif answer["errno"] == errno.EACCES:
        instruction = f"Make {program} executable for the server's user."
    return SpawnError(reason, instruction, child=command.name, errno=answer["errno"])
