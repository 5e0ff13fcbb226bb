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
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self

from headrace.core.errors import BackpressureError
from headrace.runners.command import DEVNULL, Command, Exit, LimitExceeded, Limits, ResourceUsage, child_environment
from headrace.runners.shim_link import PLAIN, Program, ShimLink
from headrace.runners.supervision import Child, Supervision

__all__ = [
    "DEVNULL",
    "Child",
    "Command",
    "Exit",
    "LimitExceeded",
    "Limits",
    "Program",
    "ResourceUsage",
    "ShimPool",
    "Supervision",
    "child_environment",
]

log = logging.getLogger(__name__)

SPARE_AFTER_SECONDS = 0.05  # a spare shim's start must not compete with the child just started
READY_SECONDS = (
    60.0  # how long one with a program of its own is kept idle: it has some 20 MB, and keeps its environment in use
)
RESIDENT_SECONDS = 20.0  # and one that a browser is left in, which has ten times as much


def utc_now() -> datetime:
    return datetime.now(UTC)


class ShimPool:
    """
    Shims that are up already, so that the first child of a step starts within milliseconds.

    *warm* are started with the pool, and up to *spare* that have served are kept; an idle one has 10 MB and does nothing.
    Of those with a program of their own, too, up to *spare* are kept in all, each for a minute after it served.
    *most_memory_bytes* is the limit of steps that have none of their own.
    """

    def __init__(
        self,
        warm: int = 2,
        *,
        spare: int = 8,
        most_memory_bytes: int | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._warm = warm
        self._spare = max(warm, spare)
        self._most_memory_bytes = most_memory_bytes
        self._clock = clock
        self._idle: list[ShimLink] = []
        self._ready: dict[ShimLink, asyncio.TimerHandle] = {}  # the longest unused first
        self._closing: set[asyncio.Task[None]] = set()
        self._refill: asyncio.TimerHandle | None = None
        self._open = False
        self._leased: set[ShimLink] = set()
        self._live_until: float | None = None

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
        while self._ready:
            self._discard_ready(next(iter(self._ready)))
        while self._closing:
            await asyncio.wait(self._closing)

    def live_until(self, boot_seconds: float) -> None:
        """
        Say that this worker may act until then, on the clock that goes on while the machine sleeps. To be called again in good time.

        From the first call on the children of a step end by themselves when nobody has called in time, as they do when the worker dies: one that
        is stopped cannot end them, and others take over its work.
        """
        self._live_until = boot_seconds
        for link in self._leased:
            link.say_live(boot_seconds)

    @contextlib.asynccontextmanager
    async def lease(
        self, limits: Limits | None = None, *, stage: str = "", program: Program = PLAIN, resident: str | None = None
    ) -> AsyncIterator[Supervision]:
        """
        Lend a shim for one step; on leaving, every descendant is ended and gone, but for a resident that was spared.

        One with the *resident* of that key is taken first, and none with another.

        Raises:
            BackpressureError: the machine has no process or descriptor to spare.
            ChildrenRemainError: on leaving; the kernel did not let them die in time.
        """
        limits = limits or Limits()
        if limits.memory_bytes is None:
            limits = replace(limits, memory_bytes=self._most_memory_bytes)
        link = self._take() if program == PLAIN else self._take_ready(program, resident)
        step = Supervision(link, limits, stage, self._clock)
        self._leased.add(link)
        try:
            if self._live_until is not None:
                link.say_live(self._live_until)
            await step.begin()
            yield step
        finally:
            clean = False
            self._leased.discard(link)
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
            link = start_link()
        if not self._idle and not self._refill:
            self._refill = asyncio.get_running_loop().call_later(SPARE_AFTER_SECONDS, self._fill)
        return link

    def _take_ready(self, program: Program, resident: str | None) -> ShimLink:
        if not self._open:
            raise RuntimeError("the pool is closed")
        fitting = [
            link
            for link in reversed(self._ready)
            if link.program == program and (link.resident is None or link.resident.key == resident)
        ]
        for link in sorted(fitting, key=lambda link: link.resident is None):
            if link.alive:
                self._ready.pop(link).cancel()
                return link
            self._discard_ready(link)
        return start_link(program)

    def _fill(self) -> None:
        self._refill = None
        while len(self._idle) < self._warm:
            try:
                self._idle.append(start_link())
            except BackpressureError as error:  # a spare can wait; a lease that needs one asks again and tells
                log.warning("%s", error)
                return

    def _give_back(self, link: ShimLink, *, clean: bool) -> None:
        if not (clean and link.alive and self._open):
            self._discard(link)
        elif link.program != PLAIN:
            idle_seconds = RESIDENT_SECONDS if link.resident else READY_SECONDS
            self._ready[link] = asyncio.get_running_loop().call_later(idle_seconds, self._discard_ready, link)
            if len(self._ready) > self._spare:
                self._discard_ready(next(iter(self._ready)))
        elif len(self._idle) < self._spare:
            self._idle.append(link)
        else:
            self._discard(link)

    def _discard_ready(self, link: ShimLink) -> None:
        self._ready.pop(link).cancel()
        self._discard(link)

    def _discard(self, link: ShimLink) -> None:
        link.disconnect()
        task = asyncio.get_running_loop().create_task(link.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def start_link(program: Program = PLAIN) -> ShimLink:
    try:
        return ShimLink(program)
    except OSError as error:
        raise BackpressureError(
            f"No supervisor for child processes could be started: {error.strerror}.",
            "Run fewer jobs at once, or raise the limits on processes and open files.",
        ) from error
