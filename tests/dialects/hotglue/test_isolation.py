"""
Fault drill 24: over every path of the wire, another environment's key finds nothing, and no key finds another tenant's.

The paths are those of the router: a new one is tested the day it is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx2
from fastapi import FastAPI
from hotglue_rows import row
from house import House
from house_app import client_of
from house_hotglue import tenancy_of

from headrace.dialects.hotglue.routes import HotglueRoutes
from headrace.dialects.hotglue.tenancy import Tenancy
from headrace.dialects.hotglue.tenancy_routes import tenancy_routes

MARK = "mark-of-acme"
FILLED = {
    "connector_id": "tap-flights",
    "stream": "people",
    "env_id": "demo",
    "flow_id": "flights",
    "connector": "tap-flights",
}
OPEN = {"/openapi.json"}


def calls(tenancy: Tenancy) -> Iterator[tuple[str, str]]:
    """
    List every method and path pattern of the wire.
    """
    jobs: Any = HotglueRoutes(None, tenancy.run_flow)  # type: ignore[arg-type]
    for route in (*tenancy_routes(tenancy), *jobs.routes(), *jobs.routes("/v2")):
        for method in sorted(route.methods - {"HEAD"}):
            if route.path.removeprefix("/v2") not in OPEN:
                yield method, route.path


async def call(client: httpx2.AsyncClient, method: str, pattern: str, tenant: str, root: str) -> httpx2.Response:
    path = re.sub(r"\{(\w+)\}", lambda name: {**FILLED, "tenant": tenant}[name[1]], pattern)
    query = {
        "tap_name": "tap-flights", "target_name": "target-jsonl", "connector_id": "tap-flights", "job_root": root,
        "config": "true", "catalog": "true", "user_id": tenant, "entity": "tap-flights",
    }  # fmt: skip
    body = None
    if method in ("POST", "PUT", "PATCH"):
        body = {
            "tap": "tap-flights", "target": "target-jsonl", "connector_id": "tap-flights", "job_type": "read",
            "config": {"metadata": {}, "mapping": {}}, "state": {}, "schedule_expression": "rate(1 day)",
        }  # fmt: skip
        if "jobs" in pattern:
            body.pop("state")
            body.pop("target")
    return await client.request(method, f"/hotglue{path}", params=query, json=body)


async def furnish(client: httpx2.AsyncClient) -> str:
    """
    Give tenant acme everything a tenant can have, marked; gives the root of a job of theirs.
    """
    base = "/hotglue/demo/flights/acme"
    config = {"token": MARK}
    await client.post(f"{base}/linkedSources", json={"source": {"tap": "tap-flights", "config": config}})
    await client.post(f"{base}/linkedTargets", json={"target": {"target": "target-jsonl", "config": config}})
    await client.post(
        f"/hotglue/v2{base[8:]}/linkedConnectors", json={"connector": {"id": "tap-flights", "config": config}}
    )
    await client.put(f"{base}/linkedSources/state", json={"state": {"bookmarks": {MARK: 1}}})
    await client.put(f"{base}/jobs/schedule", json={"schedule_expression": "rate(1 day)", "job_name": MARK})
    for part in ("metadata", "mapping"):
        await client.put(f"/hotglue/tenant/demo/acme/{part}", json={"config": {part: {MARK: {}}}})
    made = await client.post(f"{base}/jobs", json={"job_name": MARK})
    assert made.status_code == 200
    return str(made.json()["s3_root"])


@row("drill 24")
async def test_24_another_environments_key_sees_nothing(app: FastAPI, client: httpx2.AsyncClient, house: House) -> None:
    """
    Every path answers as if the environment were not there, to any role, and changes nothing.
    """
    root = await furnish(client)
    other = await house.workspaces.declare(uuid4(), "elsewhere", {})
    before = await state_of(house)

    for role in ("environment", "public"):
        key = await house.access.make_key(name=role, role=role, workspace_id=other.id)
        async with client_of(app, key) as stranger:
            for method, pattern in calls(tenancy_of(house)):
                reply = await call(stranger, method, pattern, "acme", root)

                assert reply.status_code in (400, 403), (role, method, pattern, reply.text)
                assert MARK not in reply.text
                if role == "environment":
                    assert "no workspace" in reply.json()["Message"], (method, pattern, reply.text)
    assert await state_of(house) == before


async def test_24_without_a_key_there_is_nothing(app: FastAPI, client: httpx2.AsyncClient, house: House) -> None:
    root = await furnish(client)

    async with client_of(app, None) as nobody:
        for method, pattern in calls(tenancy_of(house)):
            reply = await call(nobody, method, pattern, "acme", root)

            assert (reply.status_code, reply.json()["message"]) == (403, "Forbidden"), (method, pattern)


async def test_24_a_path_of_another_tenant_shows_nothing_of_this_one(client: httpx2.AsyncClient, house: House) -> None:
    """
    Reading as tenant zeta never shows what is acme's, not even by a root of acme's job.
    """
    root = await furnish(client)
    before = await state_of(house)

    for method, pattern in calls(tenancy_of(house)):
        if method == "GET" and "{tenant}" in pattern and not pattern.endswith("/discover"):
            reply = await call(client, method, pattern, "zeta", root)

            assert MARK not in reply.text.replace(root, ""), (pattern, reply.text)
    kill = await client.post("/hotglue/demo/flights/zeta/jobs/kill", params={"job_root": root})
    assert kill.status_code == 400
    assert await state_of(house) == before


async def state_of(house: House) -> list[Any]:
    """
    Give everything that a call might have changed.
    """
    rows = []
    for table in ("connection", "tenant", "schedule", "job", "token_signing"):
        rows += await house.database.all(f"select to_jsonb(t) as row from {table} t order by 1")
    return rows
