"""
The job settings of an environment that decide what becomes of a job in trouble.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hotglue_mill import TAP, TARGET, Mill, mill_over
from hotglue_rows import row
from house import House

from headrace.core.errors import InvalidError
from headrace.core.plan import Limits
from headrace.dialects.hotglue.retries import again
from headrace.runners.process import ShimPool

MEBIBYTE = 2**20
STUCK_SOON = {"sync": Limits(no_progress_seconds=1, grace_seconds=1)}


@pytest.fixture
async def mill(house: House, environments: Path) -> AsyncIterator[Mill]:
    async with ShimPool(warm=1) as pool, mill_over(house, pool, environments) as mill:
        mill.flow(limits={"sync": Limits(memory_bytes=200 * MEBIBYTE, no_progress_seconds=20)})
        await mill.link(TARGET)
        yield mill


async def test_a_stage_out_of_memory_is_tried_again_with_twice_as_much(mill: Mill) -> None:
    """
    With `retrigger_on_memory_failure` the limit is doubled; log and history say so, and the job ends well.
    """
    await mill.settings(retrigger_on_memory_failure=True)
    await mill.link(TAP, mode="memory-once", bytes=250 * MEBIBYTE)

    record = await mill.run()

    assert (record["status"], record["processed_rows"]) == ("JOB_COMPLETED", 3), record["message"]
    (retry,) = await mill.events(record, "step-retried")
    assert (retry["step"], retry["reason"], retry["memory_bytes"]) == ("sync", "memory", 400 * MEBIBYTE)
    assert "sync is tried again with 400 MiB of memory: out of memory: limit 200 MB" in await mill.log(record)


@row("drill 35")
async def test_without_the_setting_a_stage_out_of_memory_has_failed(mill: Mill) -> None:
    await mill.link(TAP, mode="memory-once", bytes=250 * MEBIBYTE)

    record = await mill.run()

    assert record["status"] == "SYNC_FAILED"
    assert record["message"].startswith("out of memory: limit 200 MB")
    assert await mill.events(record, "step-retried") == []


async def test_more_memory_is_given_only_up_to_the_most(mill: Mill) -> None:
    await mill.settings(retrigger_on_memory_failure=True, retrigger_memory_bytes=240 * MEBIBYTE)
    await mill.link(TAP, mode="memory", bytes=250 * MEBIBYTE)

    record = await mill.run()

    assert record["status"] == "SYNC_FAILED"
    assert record["message"].startswith("out of memory: limit 240 MB")
    assert [retry["memory_bytes"] for retry in await mill.events(record, "step-retried")] == [240 * MEBIBYTE]


@row("drill 29")
async def test_a_stuck_stage_is_tried_again_from_its_last_state(mill: Mill) -> None:
    """
    With `retrigger_stuck_jobs` a tap that sends nothing any more is ended, and goes on after what it had sent.
    """
    late = Limits(no_progress_seconds=5, grace_seconds=1)  # the second try has to send something in that time
    mill.flow(limits={"sync": late})
    await mill.settings(retrigger_stuck_jobs=True)
    await mill.link(TAP, mode="stuck-once", records=5)

    record = await mill.run()

    assert (record["status"], record["processed_rows"]) == ("JOB_COMPLETED", 5), record["message"]
    assert [retry["reason"] for retry in await mill.events(record, "step-retried")] == ["stuck"]
    assert "sync is tried again: no output for 5 s" in await mill.log(record)
    assert record["metrics"]["recordCount"] == {"people": 5}


async def test_a_stage_that_is_always_stuck_fails_in_the_end(mill: Mill) -> None:
    mill.flow(limits=STUCK_SOON)
    await mill.settings(retrigger_stuck_jobs=1)
    await mill.link(TAP, mode="hang")

    record = await mill.run()

    assert (record["status"], record["message"]) == ("SYNC_FAILED", "no output for 1 s at stage sync")
    assert len(await mill.events(record, "step-retried")) == 1


@pytest.mark.parametrize("rollback", [True, False])
async def test_a_failed_job_moves_the_state_only_where_it_is_not_rolled_back(mill: Mill, *, rollback: bool) -> None:
    """
    A source that was read to its end keeps its new state, though the target failed, with `rollback_on_failure: false`.
    """
    await mill.settings(rollback_on_failure=rollback)
    await mill.link(TAP)
    record = await mill.run(override_target_config={"mode": "exit-4"})
    state = (await mill.client.get(f"{mill.path}/linkedSources/state")).json()

    assert record["status"] == "EXPORT_FAILED"
    assert state == ({} if rollback else {"bookmarks": {"people": {"last_id": 3}}})


async def test_a_sync_that_failed_itself_moves_no_state(mill: Mill) -> None:
    await mill.settings(rollback_on_failure=False)
    await mill.link(TAP, mode="state-then-crash")
    record = await mill.run()
    state = (await mill.client.get(f"{mill.path}/linkedSources/state")).json()

    assert record["status"] == "SYNC_FAILED"
    assert state == {}


async def test_forced_full_syncs_read_all_each_time(mill: Mill) -> None:
    """
    With `force_full_sync` the saved state is handed to no tap.
    """
    await mill.settings(force_full_sync=True)
    await mill.link(TAP)

    jobs = [await mill.run(), await mill.run()]

    assert [(job["sync_type"], job["processed_rows"]) for job in jobs] == [("full_sync", 3), ("full_sync", 3)]


def test_the_limits_of_tries_double_up_to_eight_times() -> None:
    settings = {"retrigger_on_memory_failure": True}

    assert again(settings, 100).memory_bytes == (200, 400, 800)
    assert again({**settings, "retrigger_memory_bytes": 300}, 100).memory_bytes == (200, 300)
    assert again({**settings, "retrigger_memory_bytes": 100}, 100).memory_bytes == ()
    assert again(settings, None).memory_bytes == (None,)
    assert again({}, 100).memory_bytes == ()


@pytest.mark.parametrize("wrong", [{"retrigger_stuck_jobs": "often"}, {"retrigger_stuck_jobs": -1}])
def test_a_setting_that_says_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidError, match="retrigger_stuck_jobs"):
        again(wrong, None)
