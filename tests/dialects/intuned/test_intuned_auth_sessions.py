"""
Auth sessions through the wire, the engine and real processes: jobs and runs that need a login, and what becomes of them when it is gone.
"""

from __future__ import annotations

from typing import Any

import pytest
from session_kit import Shop

from headrace.engine.item_executor import ItemExecutor


@pytest.mark.row("§3.12 create")
@pytest.mark.row("§3.12 validate")
async def test_a_session_is_created_used_and_found_valid(shop: Shop, executor: ItemExecutor) -> None:
    """
    §3.12 create, validate, valid: made once, checked before the run and before the job, and never made again.
    """
    async with shop.api.kit.workers(executor):
        made = await shop.create()
        status = (await shop.session())["status"]
        single = await shop.result(await shop.start())
        await shop.job([1, 2])
        run = await shop.job_run_is(await shop.trigger(), "SUCCESS")
        checked = await shop.validate()

    assert made == {"status": "done", "authSessionId": "ada"}
    assert checked == {"status": "done", "authSessionId": "ada"}
    assert status == "READY"
    assert (single["status"], single["result"]) == ("completed", {"n": 1, "user": "ada", "session": "ada"})
    assert (run["successful_runs"], run["failed_runs"]) == (2, 0)
    assert shop.count("create") == 1


@pytest.mark.row("§3.12 before a Run's attempt")
async def test_an_expired_session_is_made_again_before_a_run(shop: Shop, executor: ItemExecutor) -> None:
    """
    §3.12 before a Run's attempt: its check fails, it is made again with the parameters that are kept, and the run completes.
    """
    async with shop.api.kit.workers(executor):
        await shop.create()
        shop.expire()
        found = await shop.result(await shop.start({"id": "ada", "checkAttempts": 2}))

    assert found["status"] == "completed"
    assert (shop.count("create"), shop.count("check")) == (2, 1 + 2 + 1)


@pytest.mark.row("§3.12 before a JobRun")
@pytest.mark.row("§3.11 JobRun auth-session-validate-dependency-failed")
async def test_three_failures_cancel_a_job_run(shop: Shop, executor: ItemExecutor) -> None:
    """
    §3.12 before a JobRun: three checks and three tries of making it; none of its runs is started, and each is canceled with the reason.
    """
    async with shop.api.kit.workers(executor):
        await shop.create()
        shop.expire()
        shop.close()
        await shop.job([1, 2])
        run = await shop.trigger()
        ended = await shop.job_run_is(run, "CANCELED")
        items = (await shop("GET", f"/jobs/reading/runs/{run}/items")).json()
        status = (await shop.session())["status"]

    assert ended["reason"]["type"] == "auth-session-validate-dependency-failed"
    assert ended["reason"]["details"] == {"code": "create-attempts-failed"}
    assert "pass-word" not in ended["reason"]["message"]
    assert [item["apiInfo"]["reason"]["type"] for item in items] == ["auth-session-validate-dependency-failed"] * 2
    assert (shop.count("check"), shop.count("create"), shop.count("read")) == (1 + 3, 1 + 3, 0)
    assert status == "EXPIRED"


@pytest.mark.row("§3.12 going bad later pauses it")
@pytest.mark.row("§3.11 JobRun auth-session-invalid-mid-job")
async def test_a_session_that_goes_bad_pauses_the_job_until_it_is_repaired(shop: Shop, executor: ItemExecutor) -> None:
    """
    §3.12 going bad later pauses it: updated and resumed, the job goes on where it was; no item is lost, and none ran twice.
    """
    payload = [{"apiName": "read", "parameters": {"n": n, "break": n == 2}} for n in (1, 2, 3)]
    async with shop.api.kit.workers(executor):
        await shop.create()
        await shop.job([], payload=payload, configuration={"maxConcurrentRequests": 1, "retry": {"maximumAttempts": 1}})
        shop.close()
        run = await shop.trigger()
        paused = await shop.job_run_is(run, "PAUSED")
        early = await shop.post("/jobs/reading/resume", None, 200)
        again = await shop.job_run_is(run, "PAUSED")
        shop.close(False)
        repaired = await shop.update()
        await shop.post("/jobs/reading/resume", None, 200)
        ended = await shop.job_run_is(run, "SUCCESS")

    assert paused["reason"]["type"] == again["reason"]["type"] == "auth-session-invalid-mid-job"
    assert (paused["successful_runs"], paused["failed_runs"], paused["end_time"]) == (1, 0, None)
    assert (early, repaired["status"]) == ({"message": "Resumed"}, "done")
    assert (ended["successful_runs"], ended["failed_runs"]) == (3, 0)
    assert shop.notes("read") == ["1", "2", "3"]


async def test_a_session_that_goes_bad_is_made_again_in_the_midst_of_a_job(shop: Shop, executor: ItemExecutor) -> None:
    """
    An item that fails because the login is gone has its try back: with a single attempt, all of them complete.
    """
    payload = [{"apiName": "read", "parameters": {"n": n, "break": n == 2}} for n in (1, 2, 3)]
    async with shop.api.kit.workers(executor):
        await shop.create()
        await shop.job([], payload=payload, configuration={"maxConcurrentRequests": 1, "retry": {"maximumAttempts": 1}})
        ended = await shop.job_run_is(await shop.trigger(), "SUCCESS")

    assert (ended["successful_runs"], ended["failed_runs"]) == (3, 0)
    assert (shop.notes("read"), shop.count("create")) == (["1", "2", "3"], 2)


@pytest.mark.row("§3.12 one writer at a time")
async def test_two_runs_that_need_an_expired_session_make_it_once(shop: Shop, executor: ItemExecutor) -> None:
    """
    §3.12 one writer at a time: the others wait, and find what the first has made.
    """
    async with shop.api.kit.workers(executor, count=2):
        await shop.create()
        shop.expire()
        runs = [await shop.start() for _ in range(3)]
        found = [await shop.result(run) for run in runs]

    assert [each["status"] for each in found] == ["completed"] * 3
    assert shop.count("create") == 2


async def test_nothing_of_a_session_is_shown(shop: Shop, executor: ItemExecutor) -> None:
    """
    Neither what it was made with nor its state: in answers, in logs, in reasons.
    """
    async with shop.api.kit.workers(executor):
        await shop.create()
        await shop.create("eve", parameters={"user": "eve", "password": "wrong-word-of-eve"})
        shown = [(await shop("GET", path)).text for path in ("/auth-sessions", "/auth-sessions/ada")]
        logs = await shop.api.kit.house.database.all("select job_id from log_chunk", {})

    texts = [str(line) for row in logs for line in await _log_of(shop, row["job_id"])]
    assert any("made" in text for text in texts)
    for text in (*shown, *texts):
        assert not any(secret in text for secret in ("word-of-", "cookie-value-")), text


async def _log_of(shop: Shop, job_id: Any) -> list[Any]:
    return list(await shop.api.kit.house.logs.read(job_id, step=0))
