"""
What the runner of one step is given, and what it gives back.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from headrace.core.outcome import Cancelled, Failed, Succeeded
from headrace.runners.job_root import JobRoot
from headrace.runners.logs import LogBook
from headrace.runners.process import Child, Command, Supervision, child_environment

# A checkpoint report carries the whole Singer state; taps with many streams have had some of tens of megabytes.
_REPORT_LINE_BYTES = 128 * 2**20
REPORT_FD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """
    One step on its way.

    Attributes:
        variables: what the plan and the executor want every child to see, secrets included.
        progress: leaves word of the step, merged into its output within a second.
    """

    name: str
    root: JobRoot
    children: Supervision
    book: LogBook
    variables: Mapping[str, str]
    progress: Callable[[dict[str, Any]], None]

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """
        Make a child's environment.
        """
        return child_environment(
            os.environ, home=self.root.folder, tmp=self.root.tmp, extra={**self.variables, **(extra or {})}
        )

    async def start(
        self,
        name: str,
        argv: list[str],
        *,
        cwd: Path | None = None,
        stdin: int | None = None,
        stdout: int | None = None,
        pass_fds: Mapping[int, int] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Child:
        """
        Start a child whose standard error, and standard output unless *stdout* takes it, go to the job's log.
        """
        command = Command(
            name=name,
            argv=argv,
            cwd=cwd or self.root.folder,
            env=self.environment(variables),
            **({"stdin": stdin} if stdin is not None else {}),
            stdout=stdout if stdout is not None else "pipe",
            stderr="pipe",
            pass_fds=dict(pass_fds or {}),
        )
        child = await self.children.spawn(command)
        if stdout is None:
            self.book.follow(child.take_pipe("stdout"), stage=self.name, stream=f"{name}.stdout")
        self.book.follow(child.take_pipe("stderr"), stage=self.name, stream=f"{name}.stderr")
        return child


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnd:
    """
    How a step ended.

    Attributes:
        rewritten: by connection id, settings that a connector has changed in its config file.
    """

    outcome: Succeeded | Failed | Cancelled
    rewritten: dict[str, dict[str, Any]] = field(default_factory=dict)


async def read_reports(descriptor: int) -> AsyncIterator[dict[str, Any]]:
    """
    Yield the JSON lines that a data-plane process writes to its report pipe, until it closes; *descriptor* is closed then.
    """
    reader = asyncio.StreamReader(limit=_REPORT_LINE_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    try:
        while line := await reader.readline():
            if line.endswith(b"\n"):
                yield msgspec.json.decode(line)
    finally:
        transport.close()


async def all_ended(*waits: Awaitable[Any]) -> list[Any]:
    """
    Wait for everything, whatever becomes of the others.
    """
    return await asyncio.gather(*waits)
