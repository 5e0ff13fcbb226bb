"""
What the runner of one step is given, and what it gives back.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from headrace.core.outcome import Blame, Cancelled, Cause, Failed, Succeeded
from headrace.runners import diagnosis
from headrace.runners.job_root import JobRoot, read_json
from headrace.runners.logs import Drain, JobLog
from headrace.runners.pipe_ends import read_end
from headrace.runners.process import DEVNULL, Child, Command, Exit, Supervision, child_environment
from headrace.runners.target_state import LastState

# A checkpoint report carries the whole Singer state; taps with many streams have had some of tens of megabytes.
_REPORT_LINE_BYTES = 128 * 2**20
REPORT_FD = 3
_HEARD_SECONDS = 2.0
_STILL_SECONDS = 2.0


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
    book: JobLog
    variables: Mapping[str, str]
    progress: Callable[[dict[str, Any]], None]
    drains: list[Drain] = field(default_factory=list)

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
            stdin=DEVNULL if stdin is None else stdin,
            stdout=stdout if stdout is not None else "pipe",
            stderr="pipe",
            pass_fds=dict(pass_fds or {}),
        )
        child = await self.children.spawn(command)
        for stream in ("stdout", "stderr") if stdout is None else ("stderr",):
            drain = self.book.drain(child.take_pipe(stream), stage=self.name, stream=f"{name}.{stream}")
            self.drains.append(drain)
        return child

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[tuple[int, LastState]]:
        """
        Lend the writing end of a pipe for a target's standard output; on leaving, what was printed has been read.

        Who still holds the pipe then is a daemon that the target left behind, and is ended.
        """
        reading, writing = os.pipe()
        printed = LastState()
        transport, _ = await read_end(reading, lambda: printed)
        pipe = os.fstat(writing).st_ino
        try:
            try:
                yield writing, printed
            finally:
                os.close(writing)
            if not await _within(printed.over, _HEARD_SECONDS):
                await self.children.sweep(pipe)
                await _within(printed.over, _HEARD_SECONDS)
        finally:
            transport.close()

    async def both_ends(self, pipe: int, one: Child, other: Child) -> tuple[Exit, Exit]:
        """
        Wait for the children at both ends of the pipe with inode number *pipe*.

        A daemon that the first to end has left behind may hold its end open, so that the other waits for ever: when nothing
        moves any more, such daemons are ended.
        """
        waiting = {child.name: asyncio.ensure_future(child.wait()) for child in (one, other)}
        still_seconds = min(_STILL_SECONDS, (self.children.limits.no_progress_seconds or math.inf) / 2)
        try:
            await asyncio.wait(waiting.values(), return_when=asyncio.FIRST_COMPLETED)
            self.children.progress()
            if not await self._ended(waiting.values(), still_seconds):
                self.children.progress()  # for what the sweep takes; no second time, or a reader that hangs would for ever
                await self.children.sweep(pipe)
            return await waiting[one.name], await waiting[other.name]
        finally:
            for end in waiting.values():
                end.cancel()

    async def _ended(self, waiting: Collection[asyncio.Future[Exit]], still_seconds: float) -> bool:
        """
        Wait until all have ended; false once nothing has moved for *still_seconds*.
        """
        while not all(end.done() for end in waiting):
            if self.children.still_seconds >= still_seconds:
                return False
            await asyncio.wait(waiting, timeout=max(still_seconds - self.children.still_seconds, 0.01))
        return True

    async def diagnose(self, exits: Sequence[Exit], *, program: str = "", folder: Path | None = None) -> Failed:
        """
        Say why the step failed, once everything its children said has been read.

        Args:
            exits: how the children ended that may be to blame.
            program: names the child for people when it is one of ours.
            folder: where it works, if others work in this stage before it: what they said and left is no evidence then.
        """
        await self.heard()
        names = [one.name for one in exits]
        lines = self.book.tail(self.name)
        if folder is not None:
            lines = [line for line in lines if line.stream.partition(".")[0] in names]
        verdict = diagnosis.diagnose(
            self.name,
            exits,
            lines,
            limit=self.children.exceeded,
            errors_text=self._errors_text(),
            exceptions=self._exceptions(folder),
            peak_memory_bytes=self.children.usage.peak_memory_bytes or None,
            redactor=self.book.redactor,
        )
        if verdict is None:
            return Failed(
                Cause(
                    stage=self.name,
                    sentence=f"{program or ', '.join(names)} ended without a reason.",
                    who=Blame.OPERATOR,
                )
            )
        evidence = {name: value for name, value in asdict(verdict.evidence).items() if value is not None}
        return Failed(
            Cause(
                stage=self.name,
                sentence=verdict.sentence,
                who=Blame(verdict.who),
                evidence={**evidence, **({"child": verdict.child} if verdict.child else {})},
            )
        )

    async def broke_off(self, ended: Exit) -> bool:
        """
        Tell whether a child that failed did so because nobody read its output any more.
        """
        await self.heard()
        said = [line.text for line in self.book.tail(self.name) if line.stream.partition(".")[0] == ended.name]
        return diagnosis.met_broken_pipe(ended, said)

    async def exception(self) -> str | None:
        """
        Name the exception that its children spoke of last, without modules.
        """
        await self.heard()
        return diagnosis.exception_name(self._exceptions(), [line.text for line in self.book.tail(self.name)])

    def refused(self, error: Mapping[str, Any], **facts: str) -> Cause:
        """
        Say why one of our data-plane programs refused what it was sent; what it quotes of the data goes through the redactor.

        Args:
            error: the `error` of its last report.
            facts: what else belongs to the evidence.
        """
        quoted = {
            name: self.book.redactor.redact(value) if isinstance(value, str) else value
            for name in ("code", "stream", "field", "line", "excerpt")
            if (value := error.get(name)) is not None
        }
        return Cause(
            stage=self.name,
            sentence=self.book.redactor.redact(str(error["reason"])),
            who=Blame.OPERATOR if error["code"] == "disk-full" else Blame.DEVELOPER,
            instruction=str(error.get("instruction") or ""),
            evidence={**facts, **quoted},
        )

    async def heard(self) -> None:
        """
        Wait until the pipes of the children that ended are read to their ends; a daemon may hold one open.
        """
        for drain in self.drains:
            if not await _within(drain.over, _HEARD_SECONDS):
                return

    def _errors_text(self) -> str | None:
        try:
            return self.root.errors.read_text("utf-8", errors="replace") if self.name == "etl" else None
        except FileNotFoundError:
            return None

    def _exceptions(self, folder: Path | None = None) -> list[dict[str, Any]]:
        """
        Read what taps and targets of hotglue's SDK left about their exceptions, the newest last; of one *folder*, or all.
        """
        files = [file for file in self.root.exceptions() if folder in (None, file.parent)]
        return [found for file in files if isinstance(found := read_json(file), dict)]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnd:
    """
    How a step ended.
    """

    outcome: Succeeded | Failed | Cancelled


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def read_reports(descriptor: int) -> AsyncIterator[dict[str, Any]]:
    """
    Yield the JSON lines that a data-plane process writes to its report pipe, until it closes; *descriptor* is closed then.
    """
    reader = asyncio.StreamReader(limit=_REPORT_LINE_BYTES)
    transport, _ = await read_end(descriptor, lambda: asyncio.StreamReaderProtocol(reader))
    try:
        while line := await reader.readline():
            if line.endswith(b"\n"):
                yield msgspec.json.decode(line)
    finally:
        transport.close()
