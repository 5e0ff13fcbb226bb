"""
Pipelines over the core API: listed, and run by their names.
"""

from __future__ import annotations

from uuid import uuid4

from matatika_mill import Mill

CORE = "http://headrace.test/api/v1"


async def test_a_pipeline_is_listed_and_run_by_its_name_over_the_core_api(mill: Mill) -> None:
    """
    Two requests under one key are one job; a second one beside it is refused, as on Matatika's own wire.
    """
    body = {"name": "daily", "label": "Every day", "dataComponents": [], "script": "true"}
    made = (await mill.client.put(f"{mill.workspace}/pipelines/{uuid4()}", json=body)).json()
    for job in (await mill.client.get(f"{CORE}/jobs")).json()["jobs"]:  # the one that configures it
        await mill.client.post(f"{CORE}/jobs/{job['id']}/cancel")
    runs, key = f"{CORE}/pipelines/demo/daily/runs", {"idempotency-key": "k1"}

    (listed,) = (await mill.client.get(f"{CORE}/pipelines")).json()["pipelines"]
    first = await mill.client.post(runs, headers=key)
    again = await mill.client.post(runs, headers=key)
    beside = await mill.client.post(runs)
    unknown = await mill.client.post(f"{CORE}/pipelines/demo/none/runs")

    assert (listed["id"], listed["name"], listed["description"], listed["held"]) == (
        made["id"], "daily", "Every day", "",
    )  # fmt: skip
    assert (first.status_code, first.json()["definition"]) == (201, made["id"])
    assert again.json()["id"] == first.json()["id"]
    assert (beside.status_code, beside.json()["code"]) == (409, "active-job")
    assert unknown.status_code == 404
