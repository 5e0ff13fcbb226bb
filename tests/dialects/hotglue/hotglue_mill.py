"""
hotglue's wire over a house, with a worker that runs its jobs in this process.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
from house import HeldTicket, House
from house_app import client_of, face_of
from house_hotglue import tenancy_of

from headrace.core.definitions import FlowDef
from headrace.core.plan import ConnectorSpec, Limits
from headrace.engine.command_steps import CommandSteps
from headrace.engine.executor import Executor
from headrace.engine.toolbox import Toolbox
from headrace.engine.worker import Worker
from headrace.runners.environments import Environments
from headrace.runners.process import ShimPool
from headrace.services.job_keys import JobKeys
from headrace.services.pipeline_states import PipelineStates
from headrace.services.tenant_locks import TenantLocks

FAKES = Path(__file__).parents[2] / "fakes"
TAP = ConnectorSpec(name="tap-fake", kind="tap", command=("python", str(FAKES / "tap.py")), discover=False)
TARGET = ConnectorSpec(name="target-fake", kind="target", command=("python", str(FAKES / "target.py")))
FLOW = "mill"
TENANT = "acme"


class Mill:
    """
    A client of the wire, and the worker behind it. Flow `mill` reads `tap-fake` and writes `target-fake`.
    """

    def __init__(self, house: House, client: httpx2.AsyncClient, pool: ShimPool, environments: Path) -> None:
        self.house = house
        self.client = client
        programs = Environments(environments)
        executor = Executor(
            pool,
            Toolbox(programs),
            house.files,
            house.logs,
            commands=CommandSteps(
                house.files, programs, PipelineStates(house.database), places=house.files.folder("places")
            ),
            tenant_locks=TenantLocks(house.database),
            api_key=JobKeys(house.database, house.sealer).make,
            clock=_now,
        )
        self._worker = Worker(house.attempts, executor, node_id=uuid4(), node_name="node-1", max_crashes=3, clock=_now)

    async def settings(self, **settings: Any) -> None:
        """
        Give the workspace these job settings.
        """
        await self.house.furnish({"settings": settings})

    def flow(self, *connectors: ConnectorSpec, limits: dict[str, Limits] | None = None, **fields: Any) -> None:
        """
        Define the flow over *connectors*, or the fake tap and target.
        """
        specs = connectors or (TAP, TARGET)
        flow = FlowDef(
            id=FLOW,
            workspace="demo",
            sources=tuple(spec.name for spec in specs if spec.kind == "tap"),
            targets=tuple(spec.name for spec in specs if spec.kind == "target"),
            limits=limits or {},
            **fields,
        )
        self.house.define(flow, *specs)

    async def link(self, connector: ConnectorSpec = TAP, /, **config: Any) -> None:
        role = "source" if connector.kind == "tap" else "target"
        await self.house.link(FLOW, TENANT, role, connector.name, config)

    async def linked(self, kind: str = "linkedSources") -> dict[str, Any]:
        """
        Show the tenant's first link, settings included.
        """
        answer = await self.client.get(f"{self.path}/{kind}?config=true")
        assert answer.status_code == 200, answer.text
        return dict(answer.json()[0])

    @property
    def path(self) -> str:
        return f"/hotglue/demo/{FLOW}/{TENANT}"

    async def run(self, **options: Any) -> dict[str, Any]:
        """
        Run the flow, and give the record of the job that has ended.
        """
        made = await self.client.post(f"{self.path}/jobs", json=options)
        assert made.status_code == 200, made.text
        await self.work()
        answer = await self.client.get(f"{self.path}/jobs/status", params={"job_root": made.json()["s3_root"]})
        record = dict(answer.json())
        assert "_FAILED" in record["status"] or record["status"] == "JOB_COMPLETED", record
        return record

    async def work(self) -> int:
        """
        Run every job that can go now, one after the other; gives their number.
        """
        done = 0
        while ids := await self.house.admit(1):
            ticket = (await self.house.tickets())[0]
            await self.house.database.run("update procrastinate_jobs set status = 'doing'")
            await self._worker.handle(ticket, HeldTicket(ids[0]))
            done += 1
        return done

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """
        Run jobs as they come, beside the block.
        """

        async def pump() -> None:
            while True:
                if not await self.work():
                    await asyncio.sleep(0.05)  # as a worker that polls does

        pumping = asyncio.create_task(pump())
        try:
            yield
        finally:
            pumping.cancel()
            await asyncio.gather(pumping, return_exceptions=True)

    async def events(self, record: dict[str, Any], kind: str) -> list[dict[str, Any]]:
        """
        Give the data of a job's events of one kind.
        """
        rows = await self.house.database.all(
            "select e.data from event e join job j on j.id = e.job_id where j.root = %(root)s and e.kind = %(kind)s order by e.id",
            {"root": record["s3_root"], "kind": kind},
        )
        return [row["data"] for row in rows]

    async def log(self, record: dict[str, Any]) -> str:
        answer = await self.client.get(f"{self.path}/jobs/logs", params={"job_root": record["s3_root"]})
        return answer.text

    def sent(self, record: dict[str, Any], folder: Path, target: str = TARGET.name) -> list[dict[str, Any]]:
        """
        Read the records that a target wrote, below the folder of the job.
        """
        (file,) = folder.rglob(f"{record['task_id'][:8]}*/targets/{target}/people.jsonl")
        return [json.loads(line) for line in file.read_text().splitlines()]


@asynccontextmanager
async def mill_over(
    house: House, pool: ShimPool, environments: Path, *, slot_seconds: float = 10.0
) -> AsyncIterator[Mill]:
    app = face_of(house, tenancy=tenancy_of(house, slot_seconds=slot_seconds))
    async with client_of(app) as client:
        yield Mill(house, client, pool, environments)


def _now() -> datetime:
    return datetime.now(UTC)
