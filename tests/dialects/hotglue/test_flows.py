"""
M1 to M4: what an environment offers; and both spellings of what is spelled in two ways.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx2
import pytest
from hotglue_rows import case, row
from house import House

from headrace.core.definitions import FlowDef
from headrace.dialects.hotglue.flow_routes import PREFERENCES
from headrace.engine.tenant_files import folder_of_tenant

JOBS = "/hotglue/demo/flights/acme/jobs"
SOURCES = "/hotglue/demo/flights/acme/linkedSources"


@pytest.fixture(autouse=True)
def rails(house: House) -> None:
    """
    A second flow, with a source that the first one does not offer.
    """
    house.define(FlowDef(id="rails", workspace="demo", name="Rails", sources=("tap-rails",), targets=("target-jsonl",)))


@row("2.2 M1")
async def test_m1_flows_are_listed_and_shown(client: httpx2.AsyncClient) -> None:
    """
    With the keys of hotglue's own object; `type` is a boolean.
    """
    flights, rails = (await client.get("/hotglue/demo/flows/supported")).json()
    one = (await client.get("/hotglue/demo/flows/rails/supported")).json()
    none = await client.get("/hotglue/demo/flows/ships/supported")

    assert [flights["id"], rails["id"]] == ["flights", "rails"]
    assert one == rails
    shown = {"id": "rails", "name": "Rails", "description": "", "taps": ["tap-rails"], "targets": ["target-jsonl"]}
    assert {name: rails[name] for name in shown} == shown
    assert isinstance(rails["type"], bool)
    assert set(rails) == {*shown, "type", "connectors", "version"}
    assert (none.status_code, none.json()["Code"]) == (400, "NotFoundError")


@row("2.2 M1")
@pytest.mark.parametrize("name", ["user_id", "tenant_id"])
async def test_m1_linked_flows_are_those_of_a_tenant(client: httpx2.AsyncClient, name: str) -> None:
    found = (await client.get("/hotglue/demo/flows/linked", params={name: "acme"})).json()
    nobody = (await client.get("/hotglue/demo/flows/linked", params={name: "zeta"})).json()
    unasked = await client.get("/hotglue/demo/flows/linked")

    assert [(flow["id"], flow["linkedSources"]) for flow in found] == [("flights", ["tap-flights"])]
    assert nobody == []
    assert unasked.status_code == 400


@pytest.mark.parametrize(
    ("path", "key", "offered"),
    [
        case("2.2 M2", "/demo/flights/supportedSources", "tap", ["tap-flights"]),
        case("2.2 M2", "/demo/flights/supportedTargets", "target", ["target-jsonl"]),
        case("2.2 M2", "/v2/demo/rails/supportedConnectors", "id", ["tap-rails", "target-jsonl"]),
        case("2.2 M3", "/demo/availableSources", "tap", ["tap-flights", "tap-rails"]),
        case("2.2 M3", "/demo/availableTargets", "target", ["target-jsonl"]),
        case("2.2 M3", "/v2/demo/availableConnectors", "id", ["tap-flights", "tap-rails", "target-jsonl"]),
    ],
)
async def test_connectors_are_offered(client: httpx2.AsyncClient, path: str, key: str, offered: list[str]) -> None:
    """
    Each with what the widget needs to draw it; with `catalog=true`, which may have no value, its catalog's place, too.
    """
    found = (await client.get(f"/hotglue{path}")).json()
    with_catalog = (await client.get(f"/hotglue{path}?catalog")).json()

    assert sorted(connector[key] for connector in found) == offered
    assert all(
        {"domain", "label", "icon", "type", "connect_ui_params", "connector_props", "tags"} <= set(connector)
        for connector in found
    )
    assert all("catalog" in connector for connector in with_catalog)


@row("2.2 M4")
@pytest.mark.parametrize("widget", [{}, {"company": "Acme", "darkTheme": True}])
async def test_m4_preferences_are_the_widgets_under_the_workspaces(
    client: httpx2.AsyncClient, house: House, widget: dict[str, Any]
) -> None:
    await house.furnish({"settings": {"widget": widget}})

    shown = (await client.get("/hotglue/demo/preferences")).json()

    assert shown == {**PREFERENCES, "redirectUri": shown["redirectUri"], **widget}
    assert shown["redirectUri"].endswith("/hotglue/tap/auth")


@row("10 2")
async def test_both_spellings_are_given_and_taken(client: httpx2.AsyncClient) -> None:
    """
    `flow` and `flow_id`; `job_root` asks for what answers call `s3_root`; `field_map` goes in and `fieldMap` comes out; `READ` is
    `read`; a schedule is set in small letters and shown in capitals; errors have `Code` and `Message`.
    """
    made = (await client.post(JOBS)).json()
    polled = (await client.get(f"{JOBS}/status", params={"job_root": made["s3_root"]})).json()
    for name in ("field_map", "fieldMap"):
        await client.patch(SOURCES, json={"tap": "tap-flights", name: {name: {"selected": ["*"]}}})
        [element] = (await client.get(SOURCES)).json()
        assert element["fieldMap"] == element["field_map"] == {name: {"selected": ["*"]}}
    await client.put(f"{JOBS}/schedule", json={"schedule_expression": "cron(0 0 * * *)", "state": "disabled"})
    schedule = (await client.get(f"{JOBS}/schedule")).json()
    wrong = (await client.put(f"{JOBS}/schedule", json={"state": "maybe"})).json()

    assert polled["flow"] == polled["flow_id"] == "flights"
    assert (schedule["ScheduleExpression"], schedule["State"]) == ("cron(0 0 * * *)", "DISABLED")
    assert set(wrong) == {"Code", "Message"}
    for job_type in ("READ", "read"):
        run = {"connector_id": "tap-flights", "job_type": job_type, "ignore_parallel_jobs": True}
        reply = await client.post(JOBS.replace("/demo", "/v2/demo"), json=run)
        assert reply.json()["job_type"] == "READ"


@row("10 1")
async def test_all_that_is_no_queued_job_is_200(client: httpx2.AsyncClient) -> None:
    """
    The widget takes anything else for an error, also when something was made.
    """
    made = [
        await client.post(SOURCES, json={"source": {"tap": "tap-flights", "config": {}}}),
        await client.post(JOBS),
        await client.put(f"{JOBS}/schedule", json={"schedule_expression": "rate(1 day)"}),
        await client.delete(f"{JOBS}/schedule"),
        await client.delete(f"{SOURCES}?tap_name=tap-flights"),
    ]

    assert [reply.status_code for reply in made] == [200] * 5


@row("10 3")
@pytest.mark.parametrize("tenant", ["quickbooks:sandbox", "Müller & Söhne", "a b%20c", "root_sub", "x..y", "🙂"])
async def test_a_tenant_may_have_any_characters(client: httpx2.AsyncClient, house: House, tenant: str) -> None:
    """
    The root begins with the tenant as it is, and finds the job again; on disk it is no part of a path.
    """
    await house.link("flights", tenant, "source", "tap-flights")
    jobs = f"/hotglue/demo/flights/{quote(tenant, safe='')}/jobs"

    made = (await client.post(jobs)).json()
    polled = await client.get(f"{jobs}/status", params={"job_root": made["s3_root"]})

    assert (made["tenant"], made["s3_root"].split("/")[0]) == (tenant, tenant)
    assert polled.json()["job_id"] == made["job_id"]
    assert tenant not in folder_of_tenant(await house.job(UUID(made["task_id"])))


@row("2.2 X1")
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/credentials/jobs/demo"), ("DELETE", "/demo/resetAvailableEntities")]
)
async def test_x1_the_calls_of_hotglues_command_line_are_not_there(
    client: httpx2.AsyncClient, method: str, path: str
) -> None:
    """
    They hand out keys of an object store that a server of one's own need not have: 404, in the wire's own shape.
    """
    reply = await client.request(method, f"/hotglue{path}")

    assert (reply.status_code, reply.json()["Code"]) == (404, "NotFoundError")
