"""
Jobs and single runs of a real project: each item a process of its own, called by the real worker.
"""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from headrace.engine.item_executor import ItemExecutor
from headrace.services.automations import Automations


@pytest.fixture
async def write(automations: Automations, project_folder: Path) -> Any:
    async def write(**functions: str) -> None:
        for name, text in functions.items():
            (project_folder / "automations" / "demo" / "api" / f"{name}.py").write_text(dedent(text))
        await automations.reload()

    return write


async def test_a_job_calls_real_functions_over_two_levels(api: Any, executor: ItemExecutor, write: Any) -> None:
    """
    What the first asks for is run too; one that fails is counted, and its reason is the function's.
    """
    await write(
        map="""
        from intuned_runtime import extend_payload
        async def automation(page, params):
            extend_payload({"api": "leaf", "parameters": {"n": params["n"]}}, {"api": "none", "parameters": {}})
            return "mapped"
        """,
        leaf="""
        from intuned_runtime import NonRetryableError
        async def automation(page, params):
            if params["n"] == 2:
                raise NonRetryableError("two is too many")
            return {"n": params["n"]}
        """,
    )
    await api.create()

    async with api.kit.workers(executor):
        run = await api.trigger()
        ended = await api.ended(run)

    assert (ended["status"], ended["payloads"]) == ("SUCCESS", 6)
    assert (ended["successful_runs"], ended["failed_runs"]) == (3, 3)
    link = (await api("GET", f"/jobs/demo-batch/runs/{run}")).json()["results"]["signed_url"]
    lines = [json.loads(line)["apiInfo"] for line in (await api.client.get(link)).text.splitlines()]
    told = sorted((line["name"], (line["error"] or {}).get("message", "")) for line in lines)
    assert told == [
        ("leaf", ""),
        ("leaf", "NonRetryableError: two is too many"),
        ("map", ""),
        ("map", ""),
        ("none", "The project has no api/none.py."),
        ("none", "The project has no api/none.py."),
    ]


async def test_a_single_run_gives_its_result_and_what_it_keeps_outlives_it(
    api: Any, executor: ItemExecutor, write: Any
) -> None:
    """
    The second run finds what the first has kept.
    """
    await write(
        map="""
        from intuned_runtime import persistent_store
        async def automation(page, params):
            seen = (await persistent_store.get("seen") or 0) + 1
            await persistent_store.set("seen", seen)
            return {"seen": seen}
        """
    )

    async with api.kit.workers(executor):
        results = []
        for _ in range(2):
            run = await api.start()
            results.append(await _ended(api, run))

    assert [found["result"] for found in results] == [{"seen": 1}, {"seen": 2}]


async def test_a_run_whose_time_is_over_fails_as_timeout(api: Any, executor: ItemExecutor, write: Any) -> None:
    await write(map="import time\nasync def automation(page, params): time.sleep(600)\n")

    async with api.kit.workers(executor):
        found = await _ended(api, await api.start(requestTimeout=1, retry={"maximumAttempts": 1}))

    assert (found["status"], found["error"]["code"]) == ("failed", "script-timeout")


async def _ended(api: Any, run: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    async def over() -> bool:
        found.update(await api.result(run))
        return found["status"] in ("completed", "failed", "canceled")

    await api.kit.until(over)
    return found
