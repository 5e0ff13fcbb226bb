"""
A house for tests: the real services over the real database, with workers that tests play by hand.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from headrace.core.definitions import FlowDef, Project
from headrace.core.job import Job, NewJob
from headrace.core.outcome import Cancelled, Failed, Outcome, Succeeded, settle
from headrace.core.plan import ConnectorSpec, OnTaken, Plan, Script
from headrace.core.queue import Claim, Ticket
from headrace.dialects.hotglue.access_tokens import HotglueAccessToken
from headrace.dialects.hotglue.discover import HotglueDiscover
from headrace.dialects.hotglue.project import HotglueDialect
from headrace.dialects.hotglue.real_time import HotglueRealTime
from headrace.dialects.intuned.dialect import IntunedDialect
from headrace.engine.procrastinate import ProcrastinateQueue
from headrace.services.access import Access
from headrace.services.admission import Admission
from headrace.services.announcements import Announcements
from headrace.services.attempts import Attempts, Work
from headrace.services.deployments import Deployments
from headrace.services.flows import Flows
from headrace.services.job_keys import JobKeys
from headrace.services.jobs import Jobs
from headrace.store.connections import Connections, Role
from headrace.store.database import Connection, Database, migrate
from headrace.store.deliveries import Deliveries
from headrace.store.deployments import Deployments as DeploymentStore
from headrace.store.files import FileStore
from headrace.store.logs import Logs
from headrace.store.nodes import Nodes
from headrace.store.sealing import Sealer
from headrace.store.workspaces import Workspace, Workspaces

ADMIN_KEY = "admin-key-of-the-tests"


class SlottedQueue(ProcrastinateQueue):
    """
    The engine's queue with as many free slots as the test says, less the tickets on it.
    """

    def __init__(self, pool: Any) -> None:
        super().__init__(pool)
        self.slots = 0

    async def free_slots(self, connection: Connection) -> int:
        return max(0, self.slots - len(await self.tickets(connection)))

    async def settle(self, connection: Connection, claims: Sequence[Claim]) -> None:
        for claim in claims:  # a test's own
            await claim.settle(connection)

    async def tickets(self, connection: Connection) -> list[Ticket]:
        query = "select args, lock, priority from procrastinate_jobs order by id"
        rows = await (await connection.execute(query)).fetchall()
        return [
            Ticket(row["args"]["job_id"], row["args"]["token"], row["lock"], row["priority"], row["args"]["step"])
            for row in rows
        ]


class HeldTicket:
    """
    What a worker of the test holds: settling takes the job's tickets off the queue in the caller's transaction.
    """

    worker_id = 1
    lost = False

    def __init__(self, job_id: UUID) -> None:
        self._job_id = str(job_id)

    async def settle(self, connection: Connection) -> None:
        await connection.execute(
            "delete from procrastinate_jobs where args ->> 'job_id' = %(job_id)s", {"job_id": self._job_id}
        )

    def settled(self) -> None:
        """The ticket is gone; nobody holds it here."""


class House:
    """
    Every service, a workspace `demo`, and an admin's key.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.sealer = Sealer([secrets.token_bytes(32)])
        self.workspaces = Workspaces(database)
        self.connections = Connections(database, self.sealer)
        self.files = FileStore(str(folder / "files"), scratch=folder / "scratch")
        self.logs = Logs(database, self.files)
        self.deliveries = Deliveries(database)
        self.nodes = Nodes(database, ttl_seconds=10)
        self.job_keys = JobKeys(database, self.sealer)
        self.access = Access(self.workspaces, monotonic=time.monotonic, new_id=uuid4, job_keys=self.job_keys)
        self.queue = SlottedQueue(database.pool)
        self.admission = Admission(database, self.queue)
        self.announcements = Announcements(
            database,
            self.workspaces,
            self.sealer,
            {
                dialect.name: dialect
                for dialect in (
                    HotglueDialect(),
                    HotglueDiscover(),
                    HotglueAccessToken(),
                    HotglueRealTime(),
                    IntunedDialect(),
                )
            },
            monotonic=time.monotonic,
            new_id=uuid4,
        )
        self.jobs = Jobs(database, self.sealer, self.queue, self.admission, self.announcements, self.logs)
        self.attempts = Attempts(database, self.sealer, self.connections, self.announcements, self.admission)
        self.flows = Flows(
            database,
            self.sealer,
            self.workspaces,
            self.connections,
            self.files,
            folder=None,
            home=folder,
            environ={},
            new_id=uuid4,
        )
        self.deployments = Deployments(database, DeploymentStore(database, self.sealer), self.flows, self.files)
        self.workspace: Workspace

    async def furnish(self, definition: dict[str, Any] | None = None) -> None:
        self.workspace = await self.workspaces.declare(uuid4(), "demo", definition or {})
        await self.access.ensure_key(ADMIN_KEY, name="admin", role="admin")

    # Definitions

    def define(self, flow: FlowDef, *connectors: ConnectorSpec) -> None:
        """
        Put a flow and its connectors in force, as the project folder would.
        """
        project = self.flows.project
        known = {connector.name: connector for connector in (*project.connectors, *connectors)}
        self.flows.project = Project(folder=project.folder, connectors=tuple(known.values()))
        self.flows._flows[flow.workspace, flow.id] = flow

    async def link(
        self, flow: str, tenant: str, role: Role, connector: str, config: dict[str, Any] | None = None
    ) -> UUID:
        async with self.database.transaction() as connection:
            return await self.connections.declare(
                connection,
                uuid4(),
                workspace_id=self.workspace.id,
                flow_id=flow,
                tenant=tenant,
                role=role,
                connector=connector,
                config=config or {},
                digest=None,
            )

    # Jobs

    def new_job(self, *, tenant: str = "acme", **fields: Any) -> NewJob:
        job_id = uuid4()
        new = NewJob(
            id=job_id,
            workspace_id=self.workspace.id,
            workspace=self.workspace.name,
            tenant=tenant,
            dialect="hotglue",
            definition="flights",
            public_id=job_id.hex[:6],
            root=f"{tenant}/flows/flights/jobs/{job_id}",
            name="a job",
        )
        return replace(new, **fields)

    async def submit(
        self,
        *,
        tenant: str = "acme",
        key: str | None = None,
        on_taken: OnTaken = OnTaken.QUEUE,
        priority: int = 0,
        steps: int = 1,
        **fields: Any,
    ) -> Job:
        submission = await self.jobs.submit(
            self.new_job(tenant=tenant, **fields), plan(key=key, on_taken=on_taken, priority=priority, steps=steps)
        )
        return submission.job

    async def admit(self, slots: int) -> list[UUID]:
        """
        Admit with *slots* slots in all; gives the jobs that have a ticket now, in the queue's order.
        """
        self.queue.slots = slots
        await self.admission.tick()
        return [UUID(ticket.job_id) for ticket in await self.tickets()]

    async def tickets(self) -> list[Ticket]:
        async with self.database.connection() as connection:
            return await self.queue.tickets(connection)

    async def claim(self, job_id: UUID) -> Work | None:
        """
        Take a job as a worker does: its ticket is in a worker's hands then.
        """
        await self._mark_ticket(job_id, "doing")
        return await self.attempts.claim(job_id, node_id=uuid4(), node_name="node-1")

    async def lose_worker(self, job_id: UUID) -> None:
        """
        Put a job's ticket back on the queue, as the rescue of a dead worker's tickets does.
        """
        await self._mark_ticket(job_id, "todo")

    async def _mark_ticket(self, job_id: UUID, status: str) -> None:
        await self.database.run(
            "update procrastinate_jobs set status = %(status)s where args ->> 'job_id' = %(job_id)s",
            {"status": status, "job_id": str(job_id)},
        )

    async def started(self, **fields: Any) -> Work:
        """
        Submit, admit and claim one job.
        """
        job = await self.submit(**fields)
        await self.admit(self.queue.slots + 1)
        work = await self.claim(job.id)
        assert work is not None
        return work

    async def finish(self, work: Work, outcome: Outcome, *, max_attempts: int = 1) -> Job:
        """
        Run the job's first step to *outcome* and settle the job with it.
        """
        await self.attempts.start_step(work, 0)
        if isinstance(outcome, (Succeeded, Failed, Cancelled)):
            await self.attempts.finish_step(work, 0, outcome)
        await self.settle(work, outcome, max_attempts=max_attempts)
        return await self.job(work.job.id)

    async def settle(self, work: Work, outcome: Outcome, *, max_attempts: int = 1) -> None:
        now = await self.database.one("select now() as now")
        assert now is not None
        settlement = settle(outcome, failures=work.job.failures, max_attempts=max_attempts, now=now["now"])
        await self.attempts.settle(work, outcome, settlement, ticket=HeldTicket(work.job.id))

    async def until_locked_out(self, count: int) -> None:
        """
        Wait until *count* transactions wait for a lock that somebody else holds.
        """
        query = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        async with asyncio.timeout(30):
            while len(await self.database.all(query)) < count:  # noqa: ASYNC110 - the database changes; there is nothing to wait on
                await asyncio.sleep(0.01)

    async def job(self, job_id: UUID) -> Job:
        return await self.jobs.get(job_id, workspace_id=None)


def plan(*, key: str | None = None, on_taken: OnTaken = OnTaken.QUEUE, priority: int = 0, steps: int = 1) -> Plan:
    names = ("sync", "etl", "export")
    return Plan(
        steps=tuple(Script(name=names[ordinal]) for ordinal in range(steps)),
        key=key,
        on_taken=on_taken,
        priority=priority,
    )


@asynccontextmanager
async def open_house(database_url: str, folder: Path, *, connections: int = 6) -> AsyncIterator[House]:
    await migrate(database_url)
    database = Database(database_url, size=connections)
    await database.open()
    house = House(database, folder)
    await house.furnish()
    yield house
    await database.close()


async def gather_limited(calls: list[Any], at_once: int) -> list[Any]:
    """
    Await *calls*, at most *at_once* at a time; exceptions are values.
    """
    gate = asyncio.Semaphore(at_once)

    async def one(call: Any) -> Any:
        async with gate:
            return await call

    return await asyncio.gather(*(one(call) for call in calls), return_exceptions=True)
