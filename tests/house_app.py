"""
The whole HTTP face over a test's house: flow `flights`, its tap linked for tenant `acme`.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
from fastapi import FastAPI
from house import ADMIN_KEY, House
from house_hotglue import tenancy_of

from headrace.api.routes import api_wire
from headrace.core.definitions import FlowDef
from headrace.core.plan import ConnectorSpec
from headrace.dialects.hotglue.rerun import RenewHotglue
from headrace.dialects.hotglue.routes import hotglue_wire
from headrace.dialects.hotglue.tenancy import Tenancy
from headrace.http.runnables import NothingToRun, Pausables
from headrace.http.server import create_app
from headrace.http.services_bundle import Services
from headrace.services.fan_outs import FanOuts
from headrace.services.job_files import JobFiles
from headrace.services.pausing import Pausing
from headrace.services.reruns import Reruns

TAP = ConnectorSpec(name="tap-flights", kind="tap", command=("python", "tap.py"), install=("tap-flights==1.0",))
OTHER_TAP = ConnectorSpec(name="tap-rails", kind="tap", command=("python", "tap.py"))
TARGET = ConnectorSpec(name="target-jsonl", kind="target", command=("python", "target.py"))

BODY_LIMIT_BYTES = 256 * 1024


async def furnish_flights(house: House) -> None:
    house.define(
        FlowDef(id="flights", workspace="demo", sources=("tap-flights",), targets=("target-jsonl",)),
        TAP,
        OTHER_TAP,
        TARGET,
    )
    await house.link("flights", "acme", "source", "tap-flights", {"token": "secret-of-acme"})


def reruns_of(house: House) -> Reruns:
    renew = RenewHotglue(now=lambda: datetime.now(UTC), new_id=uuid4, chance=secrets.token_bytes)
    return Reruns(
        house.database,
        house.sealer,
        house.jobs,
        house.connections,
        house.files,
        renew={"hotglue": renew},
        items={},
        submit={},
    )


def pausing_of(house: House) -> Pausing:
    fan_outs = FanOuts(house.database, house.sealer, house.queue, house.admission, house.announcements)
    return Pausing(house.jobs, fan_outs)


async def _ready() -> Sequence[str]:
    return ()


def face_of(
    house: House,
    *,
    body_limit_bytes: int = BODY_LIMIT_BYTES,
    not_ready: Callable[[], Awaitable[Sequence[str]]] = _ready,
    tenancy: Tenancy | None = None,
    batches: Pausables | None = None,
    **more: Any,
) -> FastAPI:
    hotglue = tenancy or tenancy_of(house)
    services = Services(
        access=house.access,
        jobs=house.jobs,
        pausing=pausing_of(house),
        flows=house.flows,
        deployments=house.deployments,
        job_files=JobFiles(house.attempts, house.files),
        bookmarks=hotglue.linking,
        deliveries=house.deliveries,
        nodes=house.nodes,
        not_ready=not_ready,
        run_flow=hotglue.run_flow,
        rerun=reruns_of(house),
        test_webhooks=house.announcements.test,
        schedules=hotglue.schedules.of_workspace,
        batches=batches or NothingToRun(),
    )
    return create_app(
        services,
        wires=[hotglue_wire(services, hotglue), api_wire(services)],
        body_limit_bytes=body_limit_bytes,
        **more,
    )


@asynccontextmanager
async def client_of(app: FastAPI, key: str | None = ADMIN_KEY) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"x-api-key": key} if key else {}
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://headrace.test", headers=headers) as client:
        yield client
