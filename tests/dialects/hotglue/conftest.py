"""
hotglue's wire over the real services: flow `flights`, its tap linked for tenant `acme`.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI
from house import ADMIN_KEY, House, open_house

from headrace.core.definitions import FlowDef
from headrace.core.plan import ConnectorSpec, Limits
from headrace.dialects.hotglue.routes import hotglue_wire
from headrace.dialects.hotglue.run import RunFlows
from headrace.http.server import create_app
from headrace.http.services_bundle import Services

TAP = ConnectorSpec(name="tap-flights", kind="tap", command=("python", "tap.py"), install=("tap-flights==1.0",))
OTHER_TAP = ConnectorSpec(name="tap-rails", kind="tap", command=("python", "tap.py"))
TARGET = ConnectorSpec(name="target-jsonl", kind="target", command=("python", "target.py"))

BODY_LIMIT_BYTES = 256 * 1024


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(database_url, tmp_path) as house:
        house.define(
            FlowDef(id="flights", workspace="demo", sources=("tap-flights",), targets=("target-jsonl",)),
            TAP,
            OTHER_TAP,
            TARGET,
        )
        await house.link("flights", "acme", "source", "tap-flights", {"token": "secret-of-acme"})
        yield house


@pytest.fixture
def runs(house: House) -> RunFlows:
    return RunFlows(
        house.access,
        house.flows,
        house.jobs,
        limits=Limits(),
        api_url="http://127.0.0.1:8450/hotglue",
        now=lambda: datetime.now(UTC),
        new_id=uuid4,
        chance=secrets.token_bytes,
    )


@pytest.fixture
def services(house: House, runs: RunFlows) -> Services:
    async def not_ready() -> list[str]:
        return []

    return Services(
        access=house.access,
        jobs=house.jobs,
        flows=house.flows,
        deliveries=house.deliveries,
        nodes=house.nodes,
        not_ready=not_ready,
        run_flow={"hotglue": runs},
    )


@pytest.fixture
def app(services: Services, runs: RunFlows) -> FastAPI:
    return create_app(services, wires=[hotglue_wire(services, runs)], body_limit_bytes=BODY_LIMIT_BYTES)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://headrace.test", headers={"x-api-key": ADMIN_KEY}
    ) as client:
        yield client
