"""
Automation projects for tests, and real calls of their functions on a stage of their own.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import UUID

from child_kit import KeptLog, job_log

from headrace.core.fan_out import ItemEnd
from headrace.core.outcome import Failed, Succeeded
from headrace.runners.automation import AutomationRunner
from headrace.runners.environments import Environments
from headrace.runners.item_call import ItemCall
from headrace.runners.job_root import JobRoot
from headrace.runners.process import Limits, ResourceUsage, ShimPool
from headrace.runners.shim_link import PLAIN
from headrace.runners.stage import Stage

NOBODY = UUID(int=0)


@dataclass
class KeptValues:
    """
    A store in memory.
    """

    values: dict[str, bytes] = field(default_factory=dict)

    async def get(self, path: str) -> bytes | None:
        return self.values.get(path)

    async def put(self, path: str, data: bytes) -> None:
        self.values[path] = data


class Automations:
    """
    One project, whose functions are written by a test and called for real.
    """

    def __init__(self, pool: ShimPool, environments: Environments, folder: Path) -> None:
        self.project = folder / "automation-project"
        (self.project / "api").mkdir(parents=True)
        self.kept = KeptValues()
        self.log = KeptLog()
        self.root = JobRoot(folder / "item")
        self.pids: list[int] = []
        self.usage = ResourceUsage()
        self._pool = pool
        self._run = AutomationRunner(environments, self.kept)

    def write(self, path: str, text: str) -> None:
        file = self.project / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))

    async def call(
        self,
        name: str = "work",
        parameters: Any = None,
        *,
        timeout_seconds: float = 60.0,
        limits: Limits | None = None,
        secrets: tuple[str, ...] = (),
        forked: bool = True,
        **more: Any,
    ) -> ItemEnd:
        """
        Call one function; when this returns, its processes are gone.

        It is *forked* off a shim that has the runtime imported, as the server does it, or has an interpreter started for it.
        """
        fields = {
            "workspace_id": NOBODY,
            "project": "demo",
            "job_id": NOBODY,
            "item_id": "run-1",
            "grows": True,
            **more,
        }
        call = ItemCall(
            folder=self.project,
            name=name,
            parameters=json.dumps(parameters or {}).encode(),
            timeout_seconds=timeout_seconds,
            attempt=1,
            **fields,
        )
        async with self.stage(call, limits, secrets, forked=forked) as stage:
            end = await self._run(stage, call)
            self.pids = [child.pid for child in stage.children.children.values()]
        self.usage = stage.children.usage
        return end

    @asynccontextmanager
    async def stage(
        self, call: ItemCall, limits: Limits | None, secrets: tuple[str, ...], *, forked: bool = True
    ) -> AsyncIterator[Stage]:
        self.root.prepare()
        async with job_log(self.log, *secrets) as book:
            program = await self._run.program(book, call) if forked else PLAIN
            resident = self._run.resident(program, call, {})
            bounds = limits or Limits(grace_seconds=0.2)
            lease = self._pool.lease(bounds, stage=call.name, program=program, resident=resident)
            async with lease as children:
                yield Stage(
                    name=call.name,
                    root=self.root,
                    children=children,
                    book=book,
                    variables={},
                    progress=lambda _output: None,
                )


def result_of(end: ItemEnd) -> Any:
    assert isinstance(end.outcome, Succeeded), end.outcome
    assert end.result is not None
    return json.loads(end.result)


def failure_of(end: ItemEnd) -> tuple[str, str, bool]:
    """
    Give a failure's code, sentence, and whether trying again is of no use.
    """
    assert isinstance(end.outcome, Failed), end.outcome
    return end.outcome.cause.evidence["code"], end.outcome.cause.sentence, end.outcome.fatal
