"""
The children of one step, as the worker sees them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from headrace.core.errors import ChildrenRemainError, ShimLostError, SpawnError
from headrace.runners.command import Command, Exit, LimitExceeded, Limits, ResourceUsage
from headrace.runners.shim_link import Program, Resident, ShimGoneError, ShimLink
from headrace.runners.streams import Stream, close_pipes, open_streams

KILL_SECONDS = 10.0  # how long the dead may take to be gone
SWEEP_SECONDS = 1.0  # what a daemon of an ended child may take to end


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
        self._sparing = False
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._starting: dict[str, tuple[dict[Stream, int], asyncio.Future[dict[str, Any]]]] = {}
        self._none_left = asyncio.Event()
        self._ended = asyncio.Event()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._stopping: asyncio.Task[None] | None = None
        self._began_at = self._progress_at = self._loop.time()
        link.listen(self._hear, self.lose)

    @property
    def program(self) -> Program:
        """
        What the shim is; a command without an argv runs what it has ready.
        """
        return self._link.program

    @property
    def resident(self) -> Resident | None:
        """
        The child that a step before this one has left in the shim, or that this one may leave there.
        """
        return self._link.resident

    @resident.setter
    def resident(self, resident: Resident) -> None:
        self._link.forget_resident()
        self._link.resident = resident

    async def use_resident(self) -> None:
        """
        Let what a step before this one has left belong to this one: it counts towards the limits from now on.

        Raises:
            ShimLostError: the shim was killed.
        """
        await self._tell({"do": "use"})

    def spare_resident(self) -> None:
        """
        Let the resident outlive the step.
        """
        self._sparing = True

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
                raise spawn_error(command, answer["errno"], answer["reason"])
        except OSError as error:  # no descriptor left for its streams
            close_pipes(pipes)
            raise spawn_error(command, error.errno or 0, str(error.strerror)) from error
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

    async def sweep(self, pipe: int) -> None:
        """
        End what ended children have left behind and still holds the pipe of inode number *pipe*: TERM first, KILL a second later.

        Children that run, and whatever is below them, are spared.
        """
        await self._tell({"do": "sweep", "pipe": pipe, "sig": signal.SIGTERM})
        await asyncio.sleep(SWEEP_SECONDS)
        await self._tell({"do": "sweep", "pipe": pipe, "sig": signal.SIGKILL})

    @property
    def still_seconds(self) -> float:
        """
        How long ago the step last got on.
        """
        return self._loop.time() - self._progress_at

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
                await self._tell({"do": "end", "grace_seconds": grace_seconds, "keep": self._sparing})
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
                if self._link.resident and message["resident_bytes"]:
                    self._link.resident.rss_bytes = message["resident_bytes"]
                else:
                    self._link.forget_resident()
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
        still_seconds = self.still_seconds
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
        "resident": command.resident,
    }


def spawn_error(command: Command, number: int, reason: str) -> SpawnError:
    program = command.argv[0] if command.argv else ""
    instruction = "Check the command and that it is installed on this machine."
    if number == errno.ENOENT and reason.endswith(program) and Path(program).is_file():
        instruction = (
            f"{program} is there, but the interpreter that its first line names is not: build its environment again."
        )
    elif number == errno.EACCES:
        instruction = f"Make {program} executable for the server's user."
    elif number in (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM):
        instruction = "Run fewer jobs at once, or raise the limits on processes, memory and open files."
    return SpawnError(f"{command.name} could not be started: {reason}.", instruction, child=command.name, errno=number)
