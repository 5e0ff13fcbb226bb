"""
The whole HTTP face over a test's house: flow `flights`, its tap linked for tenant `acme`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
from fastapi import FastAPI
from house import ADMIN_KEY, House

from headrace.api.routes import api_wire
from headrace.core.definitions import FlowDef
from headrace.core.plan import ConnectorSpec, Limits
from headrace.dialects.hotglue.doors import Doors
from headrace.dialects.hotglue.linking_wire import show_change
from headrace.dialects.hotglue.routes import hotglue_wire
from headrace.dialects.hotglue.run import RunFlows
from headrace.dialects.hotglue.tenancy import Tenancy
from headrace.http.server import create_app
from headrace.http.services_bundle import Services
from headrace.services.connections import Linking
from headrace.services.tenant_tokens import TenantTokens
from headrace.services.tenants import Tenants
from headrace.store.tenants import Tenants as TenantStore
from headrace.store.token_signing import TokenSigning

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


async def _ready() -> Sequence[str]:
    return ()


def face_of(
    house: House,
    *,
    body_limit_bytes: int = BODY_LIMIT_BYTES,
    not_ready: Callable[[], Awaitable[Sequence[str]]] = _ready,
    **more: Any,
) -> FastAPI:
    runs = RunFlows(
        house.access,
        house.flows,
        house.jobs,
        limits=Limits(),
        api_url="http://127.0.0.1:8450/hotglue",
        now=lambda: datetime.now(UTC),
        new_id=uuid4,
        chance=secrets.token_bytes,
    )
    services = Services(
        access=house.access,
        jobs=house.jobs,
        flows=house.flows,
        deliveries=house.deliveries,
        nodes=house.nodes,
        not_ready=not_ready,
        run_flow=runs,
    )
    return create_app(
        services,
        wires=[hotglue_wire(services, runs, tenancy_of(house)), api_wire(services)],
        body_limit_bytes=body_limit_bytes,
        **more,
    )


def tenancy_of(house: House) -> Tenancy:
    tenants = TenantStore(house.database, house.sealer)
    tokens = TenantTokens(
        TokenSigning(house.database, house.sealer), now=lambda: datetime.now(UTC), monotonic=time.monotonic
    )
    return Tenancy(
        doors=Doors(house.access, tokens),
        flows=house.flows,
        linking=Linking(
            house.database,
            house.connections,
            tenants,
            house.announcements,
            words=show_change,
            now=lambda: datetime.now(UTC),
            new_id=uuid4,
        ),
        tenants=Tenants(house.database, tenants, house.files, house.jobs),
        tokens=tokens,
    )


@asynccontextmanager
async def client_of(app: FastAPI, key: str | None = ADMIN_KEY) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"x-api-key": key} if key else {}
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://headrace.test", headers=headers) as client:
        yield client
