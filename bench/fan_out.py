"""
What a job of 10,000 items costs the server itself: submitting it, running items that do nothing, reading and ending it.

The yardstick of running is the engine's own no-op, which has no claim, no result, no history and no admission to pay.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvloop

from headrace.core.fan_out import ItemEnd, NewItem
from headrace.core.job import NewJob
from headrace.core.outcome import Succeeded
from headrace.core.plan import Automation, FanOut, Plan
from headrace.dialects.intuned.dialect import IntunedDialect
from headrace.engine.item_worker import ItemWorker, RunItem
from headrace.engine.procrastinate import Node, ProcrastinateQueue, open_pool
from headrace.services.admission import Admission
from headrace.services.announcements import Announcements
from headrace.services.fan_outs import FanOuts
from headrace.services.item_attempts import ItemAttempts, ItemWork
from headrace.services.jobs import Jobs
from headrace.store.database import Database, migrate
from headrace.store.embedded import EmbeddedPostgres
from headrace.store.files import FileStore
from headrace.store.logs import Logs
from headrace.store.sealing import Sealer
from headrace.store.workspaces import Workspaces

Figure = dict[str, Any]

ITEMS = 10_000
RUN = 1_000
SLOTS = 8
READS = 200


def run() -> list[Figure]:
    """
    Measure on a durable server of its own, which is gone afterwards; takes about a minute.
    """
    return on_a_server(_measure)


def on_a_server(measure: Callable[[FanOutBench], Awaitable[list[Figure]]]) -> list[Figure]:
    """
    Let *measure* have a database server to itself, on the event loop that a worker has.
    """
    return uvloop.run(_on_a_server(measure))


async def _on_a_server(measure: Callable[[FanOutBench], Awaitable[list[Figure]]]) -> list[Figure]:
    folder = Path(tempfile.mkdtemp(prefix="headrace-bench-", dir="/tmp"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(
        folder / "postgres", user="nobody" if os.getuid() == 0 else None, system_dir=folder / "system"
    )
    url = await server.start()
    try:
        await migrate(url)
        database = Database(url, size=SLOTS + 4)
        await database.open()
        async with open_pool(url) as pool:
            figures = await measure(FanOutBench(database, ProcrastinateQueue(pool), folder))
        await database.close()
        return figures
    finally:
        await server.stop()
        shutil.rmtree(folder)


class FanOutBench:
    def __init__(self, database: Database, queue: ProcrastinateQueue, folder: Path) -> None:
        sealer = Sealer([secrets.token_bytes(32)])
        self.queue = queue
        self.folder = folder
        self.files = FileStore(str(folder / "files"), scratch=folder / "scratch")
        self.logs = Logs(database, self.files)
        self.workspaces = Workspaces(database)
        self.admission = Admission(database, queue)
        announcements = Announcements(
            database, self.workspaces, sealer, {"intuned": IntunedDialect()}, monotonic=time.monotonic, new_id=uuid4
        )
        self.jobs = Jobs(database, sealer, queue, self.admission, announcements, self.logs)
        self.fan_outs = FanOuts(database, sealer, queue, self.admission, announcements)
        self.attempts = ItemAttempts(
            database, sealer, queue, announcements, self.admission, item_id=lambda: str(uuid4()), chance=lambda: 0.0
        )

    async def submit(self, workspace_id: Any, count: int, *, name: str = "nothing") -> Any:
        items = tuple(
            NewItem(id=str(uuid4()), name=name, input=b'{"n": 1}', timeout_seconds=60.0, max_attempts=3)
            for _ in range(count)
        )
        job_id = uuid4()
        new = NewJob(
            id=job_id, workspace_id=workspace_id, tenant="demo", dialect="intuned", definition="demo/bench",
            public_id=str(job_id), root=str(job_id), name="bench", items=items,
        )  # fmt: skip
        fan_out = FanOut(item=Automation(name="item", project="demo"), pool="p", pool_size=SLOTS)
        return (await self.jobs.submit(new, Plan(fan_out=fan_out))).job

    @asynccontextmanager
    async def working(self, run_item: RunItem) -> AsyncIterator[None]:
        worker = ItemWorker(
            self.attempts, run_item, node_id=uuid4(), node_name="bench", max_crashes=3, clock=lambda: datetime.now(UTC)
        )
        node = Node(name="bench", slots=SLOTS, on_lost=print)
        stop = asyncio.Event()
        tasks = [
            asyncio.create_task(self.queue.work(worker.handle, node=node, stop=stop)),
            asyncio.create_task(self.admission.run()),
        ]
        yield
        stop.set()
        await tasks[0]
        tasks[1].cancel()
        await asyncio.gather(tasks[1], return_exceptions=True)


async def _nothing(work: ItemWork) -> ItemEnd:
    return ItemEnd(outcome=Succeeded(), result=b"null")


async def _measure(bench: FanOutBench) -> list[Figure]:
    workspace = await bench.workspaces.declare(uuid4(), "bench", {})
    began = time.perf_counter()
    large = await bench.submit(workspace.id, ITEMS)
    submitted = time.perf_counter()
    for _ in range(READS):
        await bench.jobs.get(large.id, workspace_id=None)
    read = time.perf_counter()
    async with bench.working(_nothing):
        while (await bench.jobs.get(large.id, workspace_id=None)).items.completed < RUN:  # type: ignore[union-attr]  # noqa: ASYNC110 - it has items; the database changes, there is nothing to wait on
            await asyncio.sleep(0.05)
        ran = time.perf_counter()
        await bench.fan_outs.terminate(large.id, by="bench")
        ended = time.perf_counter()
    return [
        _figure("submit a job of 10,000 items", submitted - began, "s"),
        _figure("read its record", (read - submitted) / READS * 1000, "ms"),
        _figure("items that do nothing, with 8 slots", RUN / (ran - read), "items/s"),
        _figure("end the job", ended - ran, "s"),
    ]


def _figure(name: str, value: float, unit: str) -> Figure:
    return {"name": name, "value": round(value, 3), "unit": unit, "ratio": None, "yardstick": None, "note": ""}


if __name__ == "__main__":
    for each in run():
        print(each)
