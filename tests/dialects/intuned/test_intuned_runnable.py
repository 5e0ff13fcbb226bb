"""
Batches over the core API: listed, and run by their names.
"""

from __future__ import annotations

from house import House
from house_app import client_of, face_of
from intuned_kit import Api

from headrace.dialects.intuned.places import IntunedServices
from headrace.dialects.intuned.runnable import RunnableBatches


async def test_a_batch_is_listed_and_run_by_its_name(house: House, services: IntunedServices, api: Api) -> None:
    """
    One that is paused says so; while a job of it has not ended, the next is recorded as cancelled.
    """
    await api.create(id="nightly")
    batches = RunnableBatches(services)
    async with client_of(face_of(house, batches=batches)) as client:
        runs = "/api/v1/batches/demo/demo/nightly/runs"
        (listed,) = (await client.get("/api/v1/batches")).json()["batches"]
        first = (await client.post(runs)).json()
        beside = (await client.post(runs)).json()
        await services.batches.pause(await services.batches.get(house.workspace.id, "demo", "nightly"))
        (held,) = (await client.get("/api/v1/batches")).json()["batches"]
        refused = await client.post(runs)
        unknown = await client.post("/api/v1/batches/demo/demo/none/runs")

    assert (listed["project"], listed["name"], listed["held"]) == ("demo", "nightly", "")
    assert (first["state"], beside["state"]) == ("waiting", "cancelled")
    assert ("paused" in held["held"], refused.status_code, unknown.status_code) == (True, 409, 404)
