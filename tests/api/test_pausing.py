"""
Pausing a job and letting it go on.
"""

from __future__ import annotations

import httpx2
from house import House
from item_kit import Batches, done


async def test_a_paused_job_ends_what_runs_and_goes_on_where_it_was(client: httpx2.AsyncClient, house: House) -> None:
    """
    Asked again, both change nothing; whoever looks is told why it waits and what to do.
    """
    kit = Batches(house)
    job = await kit.submit(["first", "second"], max_concurrent=1)
    path = f"/api/v1/jobs/{job.id}"
    await kit.admitted(slots=2)
    work = await kit.claim(job, 0)

    pausing = [(await client.post(f"{path}/pause")).json() for _ in range(2)]
    told_meanwhile = (await client.get(f"{path}/waiting")).json()
    await kit.settle(work, done())
    paused = (await client.get(path)).json()
    told = (await client.get(f"{path}/waiting")).json()
    nothing = await kit.admitted(slots=2)
    resumed = [(await client.post(f"{path}/resume")).json() for _ in range(2)]
    goes_on = await kit.admitted(slots=2)

    assert [each["state"] for each in pausing] == ["running", "running"]
    assert pausing[0]["items"]["pause_requested_at"] == pausing[1]["items"]["pause_requested_at"] is not None
    assert (told_meanwhile["code"], told["code"]) == ("pausing", "paused")
    assert (paused["state"], paused["items"]["completed"], nothing) == ("paused", 1, [])
    assert [(each["state"], each["items"]["pause_requested_at"]) for each in resumed] == [("waiting", None)] * 2
    assert goes_on == ["second"]
    events = (await client.get(f"{path}/events")).json()["events"]
    asked = [
        (event["kind"], event["data"]) for event in events if "pause" in event["kind"] or "resumed" in event["kind"]
    ]
    by = {"by": "admin"}
    assert asked == [("job-pause-requested", by), ("job-paused", {}), ("job-resumed", by)]


async def test_what_cannot_be_paused_says_what_else_to_do(client: httpx2.AsyncClient, house: House) -> None:
    """
    Not a job of stages, not one that has ended, not one of others; and not by a key that only looks.
    """
    stages, ended = await house.submit(), await Batches(house).submit(["item"])
    await client.post(f"/api/v1/jobs/{ended.id}/cancel")
    viewer = await house.access.make_key(name="looks", role="viewer")

    for word in ("pause", "resume"):
        refused = await client.post(f"/api/v1/jobs/{stages.id}/{word}")
        final = await client.post(f"/api/v1/jobs/{ended.id}/{word}")
        looks = await client.post(f"/api/v1/jobs/{ended.id}/{word}", headers={"x-api-key": viewer})
        unknown = await client.post(f"/api/v1/jobs/{house.workspace.id}/{word}")

        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        assert "cancel it" in refused.json()["instruction"]
        assert (final.status_code, final.json()["code"]) == (409, "final-state")
        assert (looks.status_code, unknown.status_code) == (403, 404)
