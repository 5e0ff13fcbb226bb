"""
The Matatika wire over a house, with a worker that runs jobs when the test says so.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
from house import ADMIN_KEY, HeldTicket, House
from starlette.types import ASGIApp

from headrace.api.routes import api_wire
from headrace.core.plan import Limits
from headrace.dialects.matatika.compile import DIALECT
from headrace.dialects.matatika.deploy import Deployments
from headrace.dialects.matatika.desk import Desk
from headrace.dialects.matatika.doors import Doors
from headrace.dialects.matatika.follow import FollowUps
from headrace.dialects.matatika.project import MatatikaDialect
from headrace.dialects.matatika.rerun import RenewMatatika, SubmitAgain
from headrace.dialects.matatika.routes import matatika_wire
from headrace.dialects.matatika.run import RunPipelines
from headrace.dialects.matatika.runnable import RunnablePipelines
from headrace.dialects.matatika.scheduled import SubmitScheduledRun
from headrace.engine.command_steps import CommandSteps
from headrace.engine.executor import Executor
from headrace.engine.toolbox import Toolbox
from headrace.engine.worker import Worker
from headrace.http.server import create_app
from headrace.http.services_bundle import Services
from headrace.runners.environments import Environments
from headrace.runners.git import GitRules
from headrace.runners.process import ShimPool
from headrace.services.components import Components
from headrace.services.job_files import JobFiles
from headrace.services.job_keys import JobKeys
from headrace.services.kept_catalogs import KeptCatalogs
from headrace.services.meltano_projects import MeltanoProjects
from headrace.services.notices import Notices
from headrace.services.pipeline_jobs import PipelineJobs
from headrace.services.pipeline_states import PipelineStates
from headrace.services.pipelines import Pipelines
from headrace.services.plugins import Plugins
from headrace.services.reruns import Reruns
from headrace.services.schedules import Schedules
from headrace.services.shelf import Shelf
from headrace.services.stored_projects import StoredProjects
from headrace.services.tenant_locks import TenantLocks
from headrace.services.workspaces import Workspaces
from headrace.store.notifications import Notifications
from headrace.store.resources import Resources
from headrace.store.schedules import Schedules as ScheduleStore
from headrace.store.workspace_lives import WorkspaceLives


class Mill:
    """
    The wire's client, and the worker behind it.
    """

    def __init__(self, house: House, project: Path, pool: ShimPool, environments: Path) -> None:
        self.house = house
        self.project = project
        house.announcements._dialects["matatika"] = MatatikaDialect()  # type: ignore[index]  # the house's own dict
        resources = Resources(house.database, house.sealer)
        self.projects = MeltanoProjects(
            StoredProjects(house.files), WorkspaceLives(house.database), folder=project, first=lambda: "demo"
        )
        self.pipelines = Pipelines(resources, self.projects, new_id=uuid4)
        self.jobs = PipelineJobs(house.database, house.files, house.jobs, dialect=DIALECT)
        self.runs = RunPipelines(
            self.pipelines, self.jobs, limits=Limits(grace_seconds=2), api_url="http://headrace.test", new_id=uuid4
        )
        doors = Doors(house.access)
        notices = Notices(resources, Notifications(house.database), new_id=uuid4)
        self.schedules = Schedules(
            house.database,
            ScheduleStore(house.database, house.sealer),
            submit={DIALECT: SubmitScheduledRun(doors, self.pipelines, self.runs, notices)},
            new_id=uuid4,
        )
        self.desk = Desk(
            doors=doors,
            pipelines=self.pipelines,
            components=Components(resources),
            plugins=Plugins(resources, self.projects),
            jobs=self.jobs,
            runs=self.runs,
            schedules=self.schedules,
            notices=notices,
            shelf=Shelf(resources),
            keys=house.access,
            workspaces=Workspaces(house.database, house.files, house.jobs, house.access, declared=lambda: {"demo"}),
            git_schemes=("https", "ssh", "file"),
            now=lambda: datetime.now(UTC),
        )
        self.deployments = Deployments(self.desk, self.projects)
        self.follow_ups = FollowUps(
            doors, self.pipelines, self.desk.components, self.jobs, self.runs, notices, arrived=self.deployments.arrived
        )
        self.places = project.parent / "places"
        self.commands = CommandSteps(
            house.files,
            Environments(environments),
            PipelineStates(house.database),
            places=self.places,
            catalogs=KeptCatalogs(house.database, house.sealer),
            git=GitRules(schemes=("https", "ssh", "file")),
        )
        executor = Executor(
            pool,
            Toolbox(Environments(environments)),
            house.files,
            house.logs,
            commands=self.commands,
            tenant_locks=TenantLocks(house.database),
            api_key=JobKeys(house.database, house.sealer).make,
            clock=lambda: datetime.now(UTC),
        )
        self._worker = Worker(
            house.attempts,
            executor,
            node_id=uuid4(),
            node_name="node-1",
            max_crashes=3,
            clock=lambda: datetime.now(UTC),
        )
        self.client = self.client_with(ADMIN_KEY)

    def allow_schemes(self, *schemes: str) -> None:
        """
        Let repositories of these schemes alone be cloned.
        """
        self.desk = replace(self.desk, git_schemes=schemes)
        self.deployments = Deployments(self.desk, self.projects)
        self.commands._git = GitRules(schemes=schemes)
        self.client = self.client_with(ADMIN_KEY)

    def app(self, *, root_dialect: str = "") -> ASGIApp:
        services = Services(
            access=self.house.access,
            jobs=self.house.jobs,
            pausing=None,  # type: ignore[arg-type]  # no test of this dialect asks
            deployments=self.house.deployments,
            job_files=JobFiles(self.house.attempts, self.house.files),
            bookmarks=None,  # type: ignore[arg-type]  # no test of this dialect asks
            flows=self.house.flows,
            deliveries=self.house.deliveries,
            nodes=self.house.nodes,
            not_ready=_ready,
            run_flow=_no_flows,
            rerun=self._reruns(),
            test_webhooks=self.house.announcements.test,
            other_problems=self.deployments.problems,
            pipelines=RunnablePipelines(self.desk),
        )
        wire = matatika_wire(self.desk, self.deployments, new_id=uuid4)
        return create_app(
            services,
            wires=[wire, api_wire(services)],
            body_limit_bytes=2**20,
            root_dialect=root_dialect,
            monotonic=time.monotonic,
        )

    def _reruns(self) -> Reruns:
        house = self.house
        return Reruns(
            house.database,
            house.sealer,
            house.jobs,
            house.connections,
            house.files,
            renew={DIALECT: RenewMatatika(uuid4)},
            items={},
            submit={DIALECT: SubmitAgain(self.desk)},
        )

    def client_with(self, key: str | None) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.app()),
            base_url="http://headrace.test/matatika/api",
            headers={"authorization": f"Bearer {key}"} if key else {},
        )

    @property
    def workspace(self) -> str:
        return f"workspaces/{self.house.workspace.id}"

    async def work(self) -> int:
        """
        Run every job that can go now, one after the other; gives their number.
        """
        done = 0
        while ids := await self.house.admit(1):
            await self.run_admitted(ids[0])
            done += 1
        return done

    async def run_admitted(self, job_id: UUID) -> None:
        ticket = (await self.house.tickets())[0]
        await self.house.database.run("update procrastinate_jobs set status = 'doing'")  # as a worker that fetches it
        await self._worker.handle(ticket, HeldTicket(job_id))

    async def make_due(self) -> None:
        """
        Let the pause before the next try be over.
        """
        await self.house.database.run("update job set due_at = now() where state = 'scheduled'")

    async def pipeline(self, name: str = "daily", *, ready: bool = True, **fields: Any) -> str:
        """
        Make a pipeline over the wire, configured by its job; gives its id.
        """
        pipeline_id = str(uuid4())
        body = {"label": name, "dataComponents": [], **fields}
        made = await self.client.put(f"{self.workspace}/pipelines/{pipeline_id}", json=body)
        assert made.status_code == 201, made.text
        if ready:
            await self.work()
        return pipeline_id

    async def run(self, pipeline_id: str, *, tries: int = 1) -> dict[str, Any]:
        """
        Create a job and work until it has ended; gives it as it stands then.
        """
        job = await self.create(pipeline_id)
        for _ in range(tries):
            await self.work()
            await self.make_due()
        return await self.job(job["id"])

    async def create(self, pipeline_id: str) -> dict[str, Any]:
        made = await self.client.post(f"pipelines/{pipeline_id}/jobs")
        assert made.status_code == 201, made.text
        return dict(made.json())

    async def job(self, job_id: str, **headers: str) -> dict[str, Any]:
        found = await self.client.get(f"jobs/{job_id}", headers=headers)
        assert found.status_code == 200, found.text
        return dict(found.json())

    async def logs(self, job_id: str) -> str:
        return (await self.client.get(f"jobs/{job_id}/logs")).text


async def _ready() -> list[str]:
    return []


async def _no_flows(*_: Any) -> Any:
    raise NotImplementedError
