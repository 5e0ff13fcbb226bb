"""
Fault drill 24: over every call of hotglue's wire and of the core API, another environment's key finds nothing, and no key finds
another tenant's.

The calls are read off the application: a new one is tested the day it is made. One with a parameter that nobody has seen fails the
test until `FILLED` has a value for it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from app_routes import Call, calls_of, filled
from fastapi import FastAPI
from hotglue_rows import row
from house import House
from house_app import client_of
from test_linking_sequels import signed

MARK = "mark-of-acme"
FILLED = {
    "env_id": "demo", "workspace": "demo", "flow_id": "flights", "flow": "flights", "connector": "tap-flights",
    "connector_id": "tap-flights", "tap": "tap-flights", "stream": "people", "number": "1", "version": "1", "ordinal": "0",
    "path": "sync-output/people.csv", "pipeline": "daily", "project": "demo", "batch": "demo-batch",
}  # fmt: skip
OPEN = {
    "/hotglue/openapi.json",
    # The ends of an OAuth popup name their environment in `state`; test_consent.py tries them.
    *(f"/hotglue{path}" for path in ("/tap/authorize", "/tap/auth", "/entity/authorize", "/entity/auth")),
    "/api/v1/openapi.json",
    "/api/v1/docs",
    "/api/v1/redoc",
    "/api/v1/docs/oauth2-redirect",
}
"""Calls whose path says nothing of whom they concern: documents about the API, the ends of an OAuth popup."""

BODY: dict[str, Any] = {
    "tap": "tap-flights", "target": "target-jsonl", "connector_id": "tap-flights", "job_type": "read", "tenant": "acme",
    "config": {"metadata": {}, "mapping": {}}, "state": {}, "schedule_expression": "rate(1 day)", "data": {"id": 1},
    "version": 1, "files": {}, "connector": {}, "name": "x", "role": "viewer", "workspace": "demo",
}  # fmt: skip
"""What any call that takes a body may look for; nothing in it is a reason to refuse before the key is looked at."""


@pytest.fixture
def hotglue(app: FastAPI) -> list[Call]:
    """
    The calls of hotglue's wire.
    """
    return [
        call for call in calls_of(app) if call[1].startswith("/hotglue/") and call[1].replace("/v2", "") not in OPEN
    ]


@pytest.fixture
def core(app: FastAPI) -> list[Call]:
    """
    The calls of the core API.
    """
    return [call for call in calls_of(app) if call[1].startswith("/api/v1/") and call[1] not in OPEN]


async def ask(client: httpx2.AsyncClient, call: Call, values: dict[str, str], **query: str) -> httpx2.Response:
    method, pattern = call
    tenant = values["tenant"]
    asked = {
        "tap_name": "tap-flights", "target_name": "target-jsonl", "connector_id": "tap-flights", "config": "true",
        "catalog": "true", "user_id": tenant, "entity": "tap-flights", "job_root": values["job_root"], "query": "",
        "state": "completed", **query,
    }  # fmt: skip
    if pattern.startswith("/api/"):
        asked = {}
    body = dict(BODY)
    if pattern.endswith("/jobs"):
        del body["state"], body["target"]
    content = json.dumps(body) if method in ("POST", "PUT", "PATCH") else None
    path = filled(call, values)
    return await client.request(
        method, path, params=asked, content=content, headers={"content-type": "application/json"}
    )


async def furnish(client: httpx2.AsyncClient) -> dict[str, str]:
    """
    Give tenant acme everything a tenant can have, marked; gives what fills the parameters of a call about them.
    """
    base = "/hotglue/demo/flights/acme"
    config = {"token": MARK}
    await client.post(f"{base}/linkedSources", json={"source": {"tap": "tap-flights", "config": config}})
    await client.post(f"{base}/linkedTargets", json={"target": {"target": "target-jsonl", "config": config}})
    connector = {"id": "tap-flights", "config": config}
    await client.post(base.replace("/demo", "/v2/demo") + "/linkedConnectors", json={"connector": connector})
    await client.put(f"{base}/linkedSources/state", json={"state": {"bookmarks": {MARK: 1}}})
    await client.put(f"{base}/jobs/schedule", json={"schedule_expression": "rate(1 day)", "job_name": MARK})
    for part in ("metadata", "mapping"):
        await client.put(f"/hotglue/tenant/demo/acme/{part}", json={"config": {part: {MARK: {}}}})
    made = await client.post(f"{base}/jobs", json={"job_name": MARK})
    assert made.status_code == 200
    key = (await client.get("/api/v1/keys")).json()["keys"][0]["id"]
    job = {"job_root": made.json()["s3_root"], "job_id": str(UUID(made.json()["task_id"]))}
    return {**FILLED, **job, "key_id": key, "delivery_id": str(uuid4()), "tenant": "acme"}


@row("drill 24")
@pytest.mark.parametrize("role", ["environment", "public"])
async def test_24_another_environments_key_sees_nothing(
    client: httpx2.AsyncClient, app: FastAPI, house: House, hotglue: list[Call], role: str
) -> None:
    """
    Every call answers as if the environment were not there, to any role and before it looks at anything else, and changes nothing.
    """
    values = await furnish(client)
    key = await key_elsewhere(house, role)
    before = await state_of(house)

    assert len(hotglue) > 60
    async with client_of(app, key) as stranger:
        for call in hotglue:
            reply = await ask(stranger, call, values)

            assert reply.status_code in (400, 403), (call, reply.text)
            assert MARK not in reply.text, call
            if role == "environment":
                assert "no workspace" in reply.json()["Message"], (call, reply.text)
    assert await state_of(house) == before


@row("drill 24")
async def test_24_the_core_api_shows_another_environments_key_its_own_alone(
    client: httpx2.AsyncClient, app: FastAPI, house: House, core: list[Call]
) -> None:
    """
    What a path names is not there; lists have nothing of the other environment; nothing is changed.
    """
    values = await furnish(client)
    key = await key_elsewhere(house, "environment")
    before = await state_of(house)

    assert len(core) > 20
    async with client_of(app, key) as stranger:
        for call in core:
            reply = await ask(stranger, call, values)

            assert MARK not in reply.text, call
            if "{" in call[1]:
                assert reply.status_code in (403, 404), (call, reply.status_code, reply.text, "give BODY what it wants")
    assert await state_of(house) == before


@row("drill 24")
async def test_24_without_a_key_there_is_nothing(
    client: httpx2.AsyncClient, app: FastAPI, hotglue: list[Call], core: list[Call]
) -> None:
    values = await furnish(client)

    async with client_of(app, None) as nobody:
        for call in hotglue:
            reply = await ask(nobody, call, values)

            assert (reply.status_code, reply.json()["message"]) == (403, "Forbidden"), call
        for call in core:
            assert (await ask(nobody, call, values)).status_code == 401, call


@row("drill 24")
async def test_24_a_public_key_opens_nothing_but_the_widgets_calls(
    client: httpx2.AsyncClient, app: FastAPI, house: House, core: list[Call]
) -> None:
    """
    It stands in pages that anybody reads, so the core API is closed to it, whatever it asks.
    """
    values = await furnish(client)
    public = await house.access.make_key(name="p", role="public", workspace_id=house.workspace.id)

    async with client_of(app, public) as browser:
        for call in core:
            assert (await ask(browser, call, values)).status_code == 403, call


@row("drill 24")
async def test_24_another_tenants_token_opens_nothing_of_this_one(
    client: httpx2.AsyncClient, app: FastAPI, house: House, hotglue: list[Call]
) -> None:
    """
    With a public key, as browsers have it: refused on every call about a tenant; the others show nothing of any. Nothing is changed.
    """
    values = await furnish(client)
    pair = (await client.get("/hotglue/demo/signingKey")).json()
    soon = (datetime.now(UTC) + timedelta(minutes=5)).timestamp()
    token = signed(pair["private_key"], {"sub": "zeta", "exp": soon})
    public = await house.access.make_key(name="p", role="public", workspace_id=house.workspace.id)
    before = await state_of(house)

    async with client_of(app, public) as browser:
        for call in hotglue:
            reply = await ask(browser, call, values, token=token)

            assert MARK not in reply.text, call
            if "{tenant}" in call[1] or call[1].endswith("/flows/linked"):
                assert reply.status_code == 403, (call, reply.text)
    assert await state_of(house) == before


@row("drill 24")
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_24_a_path_of_another_tenant_reaches_nothing_of_this_one(
    client: httpx2.AsyncClient, house: House, hotglue: list[Call], method: str
) -> None:
    """
    Whoever asks for tenant zeta, even with an environment key and the root of a job of acme's, sees and removes nothing of acme's.
    """
    values = await furnish(client)
    before = await state_of(house, of="acme")
    own = [
        await ask(client, call, values) for call in hotglue if call[0] == "GET" and not call[1].endswith("/discover")
    ]
    assert sum(MARK in reply.text for reply in own) > 10  # there is something to see

    for call in hotglue:
        if call[0] == method and "{tenant}" in call[1]:
            reply = await ask(client, call, {**values, "tenant": "zeta"})

            assert MARK not in reply.text.replace(values["job_root"], ""), (call, reply.text)
    assert await state_of(house, of="acme") == before


@row("drill 24")
async def test_24_writing_as_another_tenant_changes_nothing_of_this_one(
    client: httpx2.AsyncClient, house: House, hotglue: list[Call]
) -> None:
    values = await furnish(client)
    before = await state_of(house, of="acme")

    for call in hotglue:
        if call[0] in ("POST", "PUT", "PATCH") and "{tenant}" in call[1]:
            reply = await ask(client, call, {**values, "tenant": "zeta"})

            assert MARK not in reply.text.replace(values["job_root"], ""), (call, reply.text)
    assert await state_of(house, of="acme") == before


async def key_elsewhere(house: House, role: str) -> str:
    """
    Make a key of another workspace.
    """
    other = await house.workspaces.declare(uuid4(), "elsewhere", {})
    return await house.access.make_key(name=role, role=role, workspace_id=other.id)


async def state_of(house: House, *, of: str = "") -> list[Any]:
    """
    Give all that is stored of tenants, or *of* one, and the keys of tenant tokens.
    """
    owned = await house.database.all(
        "select table_name as name from information_schema.columns"
        " where column_name = 'tenant_id' and table_schema = 'public' order by 1"
    )
    found = [] if of else await house.database.all("select to_jsonb(t) as row from token_signing t")
    for table in owned:
        query = f"select to_jsonb(t) as row from {table['name']} t where %(of)s in ('', tenant_id) order by 1"
        found += await house.database.all(query, {"of": of})
    assert len(owned) > 4
    return found
