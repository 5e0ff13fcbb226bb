"""
Intuned's wire over the real services: project `demo` with two APIs, and workers that call a plain Python function for each run.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI
from house import ADMIN_KEY, House, open_house
from intuned_kit import Api
from item_kit import Batches as BatchKit
from session_kit import PROJECT, Shop

from headrace.core.plan import Limits
from headrace.dialects.intuned.compile import DIALECT
from headrace.dialects.intuned.places import IntunedServices
from headrace.dialects.intuned.routes import PREFIX, intuned_wire
from headrace.dialects.intuned.run import StartAutomations
from headrace.dialects.intuned.schedules import SubmitScheduledJob, expression
from headrace.engine.item_executor import ItemExecutor
from headrace.http.server import create_app
from headrace.runners.automation import AutomationRunner
from headrace.runners.environments import Environments
from headrace.runners.process import ShimPool
from headrace.services.auth_sessions import AuthSessions
from headrace.services.automations import Automations
from headrace.services.batch_schedules import BatchSchedules
from headrace.services.batches import Batches
from headrace.services.job_files import JobFiles
from headrace.services.result_links import ResultLinks
from headrace.services.schedules import Schedules
from headrace.store.auth_sessions import AuthSessions as AuthSessionTable
from headrace.store.batch_schedules import BatchSchedules as BatchScheduleTable
from headrace.store.batches import Batches as BatchTable
from headrace.store.schedules import Schedules as ScheduleStore

SETTINGS = {"projectName": "demo", "replication": {"maxConcurrentRequests": 4}}


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(database_url, tmp_path) as house:
        yield house


@pytest.fixture
def kit(house: House) -> BatchKit:
    return BatchKit(house)


@pytest.fixture
def project_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    demo = folder / "automations" / "demo"
    (demo / "api").mkdir(parents=True)
    (demo / "api" / "map.py").write_text("async def automation(page, params): ...\n")
    (demo / "Intuned.json").write_text(json.dumps(SETTINGS))
    closed = folder / "automations" / "closed"
    closed.mkdir()
    (closed / "Intuned.jsonc").write_text('{"apiAccess": {"enabled": false}, /* jobs only */}\n')
    return folder


@pytest.fixture
async def automations(house: House, project_folder: Path) -> Automations:
    automations = Automations(house.files, folder=project_folder)
    await automations.reload()
    return automations


@pytest.fixture
def batches(house: House, kit: BatchKit) -> Batches:
    return Batches(BatchTable(house.database, house.sealer), house.jobs, kit.fan_outs, new_id=uuid4)


@pytest.fixture
def sessions(house: House, kit: BatchKit) -> AuthSessions:
    return AuthSessions(AuthSessionTable(house.database, house.sealer), house.jobs, kit.fan_outs, new_id=uuid4)


@pytest.fixture
def start(house: House, batches: Batches, sessions: AuthSessions) -> StartAutomations:
    return StartAutomations(batches, house.jobs, sessions, limits=Limits(), new_id=uuid4, chance=secrets.token_bytes)


@pytest.fixture
def submit(house: House, automations: Automations, batches: Batches, start: StartAutomations) -> SubmitScheduledJob:
    return SubmitScheduledJob(house.access, automations, batches, start)


@pytest.fixture
def schedules(house: House, submit: SubmitScheduledJob) -> Schedules:
    """What turns instants into job runs; tests say what time it is."""
    store = ScheduleStore(house.database, house.sealer)
    return Schedules(house.database, store, submit={DIALECT: submit}, new_id=uuid4)


@pytest.fixture
def services(
    house: House,
    kit: BatchKit,
    automations: Automations,
    batches: Batches,
    start: StartAutomations,
    submit: SubmitScheduledJob,
    schedules: Schedules,
    sessions: AuthSessions,
) -> IntunedServices:
    return IntunedServices(
        access=house.access,
        automations=automations,
        batches=batches,
        fan_outs=kit.fan_outs,
        files=JobFiles(house.attempts, house.files),
        jobs=house.jobs,
        links=ResultLinks(house.sealer, now=lambda: datetime.now(UTC)),
        schedules=BatchSchedules(
            BatchScheduleTable(house.database, dialect=DIALECT),
            batches,
            schedules,
            expression=expression,
            dialect=DIALECT,
            now=lambda: datetime.now(UTC),
        ),
        sessions=sessions,
        start=start,
        submit_scheduled=submit,
    )


@pytest.fixture
def app(services: IntunedServices) -> FastAPI:
    return create_app(_NoServices(), wires=[intuned_wire(services)], body_limit_bytes=4 * 2**20)  # type: ignore[arg-type]  # health is not asked


class _NoServices:
    """This wire brings its own."""


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(
        transport=transport, base_url=f"http://headrace.test{PREFIX}", headers={"x-api-key": ADMIN_KEY}
    ) as client:
        yield client


@pytest.fixture
def api(client: httpx2.AsyncClient, kit: BatchKit, services: IntunedServices) -> Api:
    return Api(client, kit, services)


@pytest.fixture(scope="package")
def checked_environments(environments: Path) -> Environments:
    return Environments(environments)


@pytest.fixture
async def executor(api: Any, checked_environments: Environments, tmp_path: Path) -> AsyncIterator[ItemExecutor]:
    """What runs items for real: processes, logs, files."""
    house = api.kit.house
    async with ShimPool(warm=1) as pool:
        run = AutomationRunner(checked_environments, house.files)
        yield ItemExecutor(pool, house.files, house.logs, run, project=tmp_path, clock=lambda: datetime.now(UTC))


@pytest.fixture
async def shop(api: Any, automations: Automations, project_folder: Path, tmp_path: Path) -> Shop:
    """Project `shop`, whose functions need a login."""
    shop = Shop(api, automations, tmp_path / "site", project_folder / "automations" / PROJECT)
    shop.write()
    await automations.reload()
    return shop
