"""
How a command ended, and what Meltano tells of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headrace.core.outcome import Blame, Cause, Failed, Succeeded
from headrace.core.plan import Command
from headrace.runners.meltano import ProjectFolder
from headrace.runners.meltano_streams import list_command, read_streams
from headrace.runners.process import Exit
from headrace.runners.stage import Stage

_SIGNAL_BASE = 128  # a shell's way to say as an exit code which signal ended a program


def exit_code(ended: Exit) -> int:
    """
    Give the exit code as a shell would: of one that a signal ended, 128 and the signal's number.
    """
    return ended.code if ended.code is not None else _SIGNAL_BASE + (ended.signal or 0)


async def outcome_of(stage: Stage, ended: Exit) -> Succeeded | Failed:
    """
    Say what a command came to; its exit code and what it used stand in the output.
    """
    usage = stage.children.usage
    output: dict[str, Any] = {
        "exit_code": exit_code(ended),
        "usage": {
            "memory_peak_bytes": usage.peak_memory_bytes,
            "memory_avg_bytes": usage.average_memory_bytes,
            "cpu_seconds": round(usage.cpu_seconds, 3),
        },
    }
    exceeded = stage.children.exceeded
    if ended.succeeded and exceeded is None:
        return Succeeded(output)
    failed = await stage.diagnose([ended])
    if exceeded is not None and exceeded.kind == "wall":
        cause = Cause(
            stage=stage.name,
            sentence=f"The run was stopped at its timeout of {exceeded.limit:g} s.",
            who=Blame.DEVELOPER,
            instruction="Raise the pipeline's timeout, or make the run shorter.",
            evidence=failed.cause.evidence,
        )
        return Failed(cause, fatal=True, output={**output, "timed_out": True})
    return replace(failed, output=output)


async def selection(step: Command, stage: Stage, project: ProjectFolder, path: Mapping[str, str]) -> dict[str, Any]:
    """
    Ask Meltano for an extractor's streams; what it cannot tell fails nothing.
    """
    listed = stage.root.work / "streams.json"
    with listed.open("wb") as stdout:
        argv = list_command(step.streams_of)
        child = await stage.start("streams", argv, cwd=project.folder, variables=path, stdout=stdout.fileno())
        ended = await child.wait()
    streams = await asyncio.to_thread(read_streams, listed) if ended.succeeded else []
    if not streams:
        stage.book.write(f"The streams of {step.streams_of} could not be listed.", stage=step.name)
        return {}
    return {"extractor": step.streams_of, "selection": streams}
