"""
L1 to L4: sources, targets and connectors that a tenant links, and their bookmarks.
"""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from hotglue_rows import row
from house import House
from house_app import client_of

SOURCES = "/hotglue/demo/flights/acme/linkedSources"
TARGETS = "/hotglue/demo/flights/acme/linkedTargets"
CONNECTORS = "/hotglue/v2/demo/flights/acme/linkedConnectors"
FIELD_MAP = {"flights": {"name": "flights", "selected": ["id", "carrier"]}}


async def key_of(house: House, role: str) -> str:
    return await house.access.make_key(name=role, role=role, workspace_id=house.workspace.id)


@pytest.mark.parametrize(
    ("path", "body", "listed"),
    [
        (SOURCES, {"source": {"tap": "tap-flights", "config": {"a": 1}}}, ("tap", "tap-flights")),
        (SOURCES, {"tap": "tap-flights", "config": {"a": 1}}, ("tap", "tap-flights")),
        (TARGETS, {"target": {"target": "target-jsonl", "config": {"a": 1}}}, ("target", "target-jsonl")),
        (TARGETS, {"target": "target-jsonl", "config": {"a": 1}}, ("target", "target-jsonl")),
        (CONNECTORS, {"connector": {"id": "tap-flights", "config": {"a": 1}}}, ("id", "tap-flights")),
        (CONNECTORS, {"connector_id": "tap-flights", "config": {"a": 1}}, ("id", "tap-flights")),
    ],
)
@row("2.2 L1", "2.2 L2", "2.2 L3")
async def test_l1_l2_l3_what_is_linked_is_listed(
    client: httpx2.AsyncClient, path: str, body: dict[str, Any], listed: tuple[str, str]
) -> None:
    """
    Nested or flat, by V1 or V2: one element with every field that a client may look for.
    """
    made = await client.post(path, json=body)
    found = await client.get(f"{path}?config=true")

    assert made.status_code == 200
    assert found.status_code == 200
    [element] = found.json()
    assert element[listed[0]] == listed[1]
    assert element["config"] == {"a": 1}
    assert {"domain", "label", "type", "fieldMap", "connect_ui_params", "disconnected", "error", "isForked"} <= set(
        element
    )
    assert (element["disconnected"], element["tenant_id"]) == (False, "acme")


async def test_l1_linking_again_overwrites_under_the_same_id(client: httpx2.AsyncClient, house: House) -> None:
    """
    Whoever reconnects goes on where they were: new settings, the same id, bookmark and field map.
    """
    await client.patch(SOURCES, json={"tap": "tap-flights", "field_map": FIELD_MAP})
    await client.put(f"{SOURCES}/state?tap_name=tap-flights", json={"state": {"bookmarks": {"flights": 1}}})
    [before] = await house.connections.of_tenant(house.workspace.id, "acme", "flights")

    await client.post(SOURCES, json={"source": {"tap": "tap-flights", "config": {"token": "new"}}})

    [after] = await house.connections.of_tenant(house.workspace.id, "acme", "flights")
    assert (after.id, after.config) == (before.id, {"token": "new"})
    assert (after.field_map, after.bookmark) == (FIELD_MAP, {"bookmarks": {"flights": 1}})
    assert after.generation == before.generation + 1


@row("2.2 L1")
async def test_l1_patch_merges_settings_key_by_key(client: httpx2.AsyncClient) -> None:
    """
    Not deeper than the first level: a nested object is replaced whole.
    """
    await client.post(SOURCES, json={"source": {"tap": "tap-flights", "config": {"a": 1, "b": {"x": 1, "y": 2}}}})

    await client.patch(SOURCES, json={"tap": "tap-flights", "config": {"b": {"x": 3}, "c": 4}})

    [element] = (await client.get(f"{SOURCES}?config")).json()
    assert element["config"] == {"a": 1, "b": {"x": 3}, "c": 4}


async def test_l1_patch_replaces_the_field_map(client: httpx2.AsyncClient) -> None:
    await client.patch(SOURCES, json={"tap": "tap-flights", "field_map": FIELD_MAP})

    [element] = (await client.get(SOURCES)).json()
    assert element["fieldMap"] == FIELD_MAP
    assert "config" not in element


@row("2.2 L1")
async def test_l1_delete_unlinks(client: httpx2.AsyncClient) -> None:
    gone = await client.delete(f"{SOURCES}?tap_name=tap-flights")
    again = await client.delete(f"{SOURCES}?tap_name=tap-flights")

    assert (gone.status_code, gone.json()) == (200, {})
    assert (await client.get(SOURCES)).json() == []
    assert again.status_code == 400
    assert again.json()["Code"] == "NotFoundError"


async def test_l1_delete_wants_a_name(client: httpx2.AsyncClient) -> None:
    reply = await client.delete(SOURCES)

    assert reply.status_code == 400
    assert len((await client.get(SOURCES)).json()) == 1


async def test_l1_a_tap_that_the_flow_does_not_offer_is_refused(client: httpx2.AsyncClient) -> None:
    reply = await client.post(SOURCES, json={"source": {"tap": "tap-rails"}})

    assert reply.status_code == 400
    assert "tap-flights" in reply.json()["Message"]


WRONG_LINKS = [
    b"[]",
    b"{",
    b'{"source": {}}',
    b'{"source": {"tap": 5}}',
    b'{"source": {"tap": "tap-flights", "config": []}}',
    b'{"source": {"tap": "tap-flights", "symlink": "x"}}',
    b'{"source": {"tap": "tap-flights", "config": {"a": "\\u0000"}}}',
    b'{"source": {"tap": "../x"}}',
]


async def test_l1_a_wrong_body_is_refused_and_changes_nothing(client: httpx2.AsyncClient) -> None:
    for body in WRONG_LINKS:
        reply = await client.post(SOURCES, content=body)

        assert reply.status_code == 400
        assert set(reply.json()) == {"Code", "Message"}
        [element] = (await client.get(f"{SOURCES}?config=true")).json()
        assert element["config"] == {"token": "secret-of-acme"}


@pytest.mark.parametrize(
    ("role", "sees"), [("environment", True), ("developer", True), ("viewer", False), ("public", False)]
)
async def test_l1_settings_are_shown_to_whom_they_may_be(app: FastAPI, house: House, role: str, sees: bool) -> None:
    """
    A key that may not see secrets gets the element without them, as from a call without `config`.
    """
    async with client_of(app, await key_of(house, role)) as client:
        [element] = (await client.get(f"{SOURCES}?config=true")).json()

    assert ("config" in element) is sees
    assert element["config_fetched"] is sees


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("public", 200), ("developer", 200)])
async def test_l1_a_viewer_links_nothing(app: FastAPI, house: House, role: str, status: int) -> None:
    async with client_of(app, await key_of(house, role)) as client:
        made = await client.post(SOURCES, json={"source": {"tap": "tap-flights", "config": {}}})

    assert made.status_code == status


@row("2.2 L4")
async def test_l4_state_is_set_shown_and_cleared(client: httpx2.AsyncClient) -> None:
    """
    With or without the tap's name, as long as only one is linked.
    """
    state = {"bookmarks": {"flights": {"id": 7}}}

    assert (await client.get(f"{SOURCES}/state")).json() == {}
    put = await client.put(f"{SOURCES}/state", json={"state": state})
    assert (put.status_code, put.json()) == (200, {})
    assert (await client.get(f"{SOURCES}/state?tap_name=tap-flights")).json() == state
    gone = await client.delete(f"{SOURCES}/state?tap_name=tap-flights")
    assert (gone.status_code, gone.json()) == (200, {})
    assert (await client.get(f"{SOURCES}/state")).json() == {}


@row("2.2 L4")
async def test_l4_v2_state_goes_by_connector(client: httpx2.AsyncClient) -> None:
    await client.post(CONNECTORS, json={"connector": {"id": "tap-flights", "config": {}}})

    await client.put(f"{CONNECTORS}/state", json={"connector_id": "tap-flights", "state": {"bookmarks": {}}})

    assert (await client.get(f"{CONNECTORS}/state?connector_id=tap-flights")).json() == {"bookmarks": {}}
    assert (await client.get(f"{SOURCES}/state")).json() == {}


@row("2.2 L7")
async def test_l7_a_catalog_is_searched_by_stream(client: httpx2.AsyncClient, house: House) -> None:
    [linked] = await house.connections.of_tenant(house.workspace.id, "acme", "flights")
    streams = [{"stream": name, "tap_stream_id": name} for name in ("Flights", "airlines", "flight_notes")]
    async with house.database.transaction() as connection:
        await house.connections.save_catalog(connection, linked.id, {"streams": streams})

    found = await client.get(f"{SOURCES}/catalog/search?tap_name=tap-flights&query=flight")

    assert [stream["stream"] for stream in found.json()["streams"]] == ["Flights", "flight_notes"]


@row("2.2 L8")
async def test_l8_the_flows_in_which_an_entity_is_linked(client: httpx2.AsyncClient) -> None:
    """
    The widget offers them for reuse, and sends the chosen one back as the symlink of a link.
    """
    linked = await client.get("/hotglue/entity/demo/acme/linked?entity=tap-flights")
    other = await client.get("/hotglue/entity/demo/acme/linked?entity=tap-rails")

    [flow] = linked.json()
    assert (flow["id"], flow["tenant"], flow["entity_type"], flow["tap_name"]) == (
        "flights", "acme", "source", "tap-flights"
    )  # fmt: skip
    assert other.json() == []
    reused = await client.post(
        SOURCES.replace("acme", "zeta"), json={"source": {"tap": "tap-flights", "symlink": flow}}
    )
    assert reused.json()["symlink"] == {"id": "flights", "tenant": "acme", "type": "source"}


async def test_l9_a_tap_is_told_to_refresh_its_token_itself(client: httpx2.AsyncClient) -> None:
    """
    The words are those on which hotglue's SDK falls back to its own refresh.
    """
    path = "/hotglue/demo/flights/acme/connectors/tap-flights/accesstoken?include_properties=expires_in"

    reply = await client.get(path)

    assert reply.status_code == 400
    assert reply.json() == {"Code": "BadRequestError", "Message": "Connector doesn't support get access token"}
