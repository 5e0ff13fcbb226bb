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
        await client.post("/api/v1/batches/demo/demo/nightly/pause")
        (held,) = (await client.get("/api/v1/batches")).json()["batches"]
        refused = await client.post(runs)
        unknown = await client.post("/api/v1/batches/demo/demo/none/runs")

    assert (listed["project"], listed["name"], listed["held"]) == ("demo", "nightly", "")
    assert (first["state"], beside["state"]) == ("waiting", "cancelled")
    assert ("paused" in held["held"], refused.status_code, unknown.status_code) == (True, 409, 404)


async def test_a_batch_is_paused_with_its_job_and_goes_on_with_it(
    house: House, services: IntunedServices, api: Api
) -> None:
    """
    As over Intuned's wire, schedule included; a job that was resumed by itself goes on while its batch stays paused.
    """
    await api.create(id="nightly", schedule={"intervals": [{"every": "1h"}]})
    run = await api.trigger("nightly")
    async with client_of(face_of(house, batches=RunnableBatches(services))) as client:
        batch = "/api/v1/batches/demo/demo/nightly"
        paused = [(await client.post(f"{batch}/pause")).json() for _ in range(2)]
        over_the_wire = (await api("GET", "/jobs/nightly")).json()
        its_job = await api.job_run(run, "nightly")
        alone = (await client.post(f"/api/v1/jobs/{run}/resume")).json()
        resumed = [(await client.post(f"{batch}/resume")).json() for _ in range(2)]
        next_time = (await api("GET", "/jobs/nightly")).json()["next_run_time"]
        unknown = await client.post("/api/v1/batches/demo/demo/none/pause")

    assert [(each["name"], each["paused"], bool(each["held"])) for each in paused] == [("nightly", True, True)] * 2
    assert (over_the_wire["state"], over_the_wire["next_run_time"], its_job["status"]) == ("PAUSED", None, "PAUSED")
    assert (alone["state"], alone["items"]["pause_requested_at"]) == ("waiting", None)
    assert [(each["paused"], each["held"]) for each in resumed] == [(False, "")] * 2
    assert (next_time is not None, unknown.status_code) == (True, 404)
