"""
`Idempotency-Key` with the calls that start something; Intuned has none, the other wires do.
"""

from __future__ import annotations

from typing import Any

from item_kit import BROKEN, done

from headrace.core.fan_out import ItemEnd
from headrace.services.item_attempts import ItemWork

KEY = {"Idempotency-Key": "night of the 1st of March"}


async def test_a_repeated_trigger_gives_the_job_run_that_the_first_made(api: Any) -> None:
    """
    Under one key no second run is made or recorded, also when the job has been paused since; the key means this job alone.
    """
    await api.create()
    await api.create(id="other")
    first, again = [(await api("POST", "/jobs/demo-batch/trigger", headers=KEY)).json() for _ in range(2)]
    await api("POST", "/jobs/demo-batch/pause")

    paused = (await api("POST", "/jobs/demo-batch/trigger", headers=KEY)).json()
    other = await api("POST", "/jobs/other/trigger", headers=KEY)
    long = await api("POST", "/jobs/other/trigger", headers={"Idempotency-Key": "k" * 256})
    runs = (await api("GET", "/jobs/demo-batch/runs")).json()

    assert first == again == paused
    assert runs["totalCount"] == 1
    assert (other.status_code, "another request" in other.json()["message"], long.status_code) == (400, True, 400)
    assert (await api("GET", "/jobs/other/runs")).json()["totalCount"] == 0


async def test_a_repeated_start_gives_the_run_that_the_first_made(api: Any) -> None:
    """
    The same key with other parameters is a mistake, not another run.
    """
    body = {"api": "map", "parameters": {"n": 1}}
    first, again = [(await api("POST", "/run/start", body, headers=KEY)).json() for _ in range(2)]

    changed = await api("POST", "/run/start", {"api": "map", "parameters": {"n": 2}}, headers=KEY)

    assert first == again
    assert (changed.status_code, changed.json()["code"]) == (400, "bad-request")


async def test_a_repeated_rerun_gives_the_job_run_that_the_first_made(api: Any) -> None:
    async def function(work: ItemWork) -> ItemEnd:
        tries.append(work.item.name)
        return ItemEnd(outcome=BROKEN) if len(tries) == 1 else done()

    tries: list[str] = []
    async with api.kit.workers(function):
        await api.create(payload=[{"apiName": "flaky", "parameters": {}, "retry": {"maximumAttempts": 1}}])
        ended = await api.trigger()
        await api.ended(ended)
        path = f"/jobs/demo-batch/runs/{ended}/rerun"
        first = (await api("POST", path, headers=KEY)).json()
        await api.ended(first["jobRunId"])
        again = await api("POST", path, headers=KEY)

    assert (again.status_code, again.json()) == (200, first)
    assert len(tries) == 2
