"""
How far a tenant's sources have been read, over the core API.
"""

from __future__ import annotations

import httpx2
from fastapi import FastAPI
from house import House
from house_app import client_of

STATE = "/api/v1/flows/demo/flights/tenants/acme/state"


async def test_a_state_is_shown_set_and_cleared(house: House, client: httpx2.AsyncClient) -> None:
    """
    What is set is what the next job starts from; a target has no state.
    """
    await house.link("flights", "acme", "target", "target-jsonl")
    before = (await client.get(STATE)).json()
    put = await client.put(f"{STATE}/tap-flights", json={"state": {"bookmarks": {"flights": {"at": "2026"}}}})
    after = (await client.get(STATE)).json()
    await client.put(f"{STATE}/tap-flights", json={"state": None})

    assert before == {"states": [{"connector": "tap-flights", "state": None}]}
    assert after == {"states": [put.json()]}
    assert after["states"][0]["state"] == {"bookmarks": {"flights": {"at": "2026"}}}
    assert (await client.get(STATE)).json() == before


async def test_only_who_may_link_moves_a_state(house: House, app: FastAPI, client: httpx2.AsyncClient) -> None:
    viewer = await house.access.make_key(name="looks", role="viewer")

    async with client_of(app, viewer) as looker:
        refused = await looker.put(f"{STATE}/tap-flights", json={"state": None})
    unfit = await client.put(f"{STATE}/tap-flights", json={"state": {"at": "\x00"}})
    unknown = await client.put(f"{STATE}/target-jsonl", json={"state": None})

    assert (refused.status_code, unfit.status_code) == (403, 400)
    assert unknown.status_code == 404
    assert "Its sources: tap-flights" in unknown.json()["instruction"]
