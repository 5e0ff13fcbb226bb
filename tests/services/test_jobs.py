"""
What submitting, admitting, claiming and settling promise.
"""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from house import House, gather_limited, plan
from item_kit import Batches

from headrace.core.errors import ActiveJobError, ConflictError, FencedError, FinalStateError, RootTakenError
from headrace.core.outcome import Cancelled, Cause, Failed, Interrupted, Succeeded
from headrace.core.plan import OnTaken
from headrace.core.state import JobState, StepState

BROKEN = Failed(Cause("sync", "It broke."))


async def test_an_acknowledged_job_is_in_the_history_with_its_first_event(house: House) -> None:
    """
    When submit returns, job, steps and event are committed.
    """
    job = await house.submit(steps=3)

    kept = await house.job(job.id)
    assert (kept.state, kept.workspace, [step.name for step in kept.steps]) == (
        JobState.WAITING,
        "demo",
        ["sync", "etl", "export"],
    )
    assert [event.kind for event in await house.jobs.events(job.id)] == ["job-submitted"]
    assert job == kept


async def test_of_many_parallel_submits_of_one_key_exactly_one_goes_through(house: House) -> None:
    """
    A plan that rejects lets one job of its key in, whatever races.
    """
    calls = [house.submit(key="acme/flights", on_taken=OnTaken.REJECT) for _ in range(1000)]

    results = await gather_limited(calls, 200)

    assert sum(not isinstance(result, BaseException) for result in results) == 1
    assert {type(result) for result in results if isinstance(result, BaseException)} == {ActiveJobError}
    assert len(await house.jobs.history(house.workspace.id, limit=10)) == 1


async def test_parallel_submits_that_queue_are_all_kept_and_go_first_in_first_out(house: House) -> None:
    """
    Jobs of a key run in the order of `seq`, and no two of them are admitted at once.
    """
    calls = [house.submit(key="acme/flights") for _ in range(1000)]
    jobs = await gather_limited(calls, 200)
    by_seq = [job.id for job in sorted(jobs, key=lambda job: job.seq)]

    ran = []
    for _ in range(20):
        (admitted,) = await house.admit(slots=5)
        work = await house.claim(admitted)
        assert work is not None
        ran.append(admitted)
        house.queue.slots = 0
        await house.settle(work, Succeeded())

    assert len({job.seq for job in jobs}) == 1000
    assert ran == by_seq[:20]


@pytest.mark.parametrize("of_items", [False, True])
async def test_a_job_in_line_may_be_cancelled_while_the_one_before_it_ends(house: House, of_items: bool) -> None:
    """
    Neither waits for the other, whoever comes first, and the next in line has its turn.
    """
    work = await house.started(key="k")
    batches = Batches(house)
    waiting = [await (batches.submit(["a"], key="k") if of_items else house.submit(key="k")) for _ in range(2)]

    async with house.database.transaction() as connection:
        await connection.execute("select from lane for update")
        ended = asyncio.create_task(house.settle(work, Succeeded()))
        await house.until_locked_out(1)
        cancelled = asyncio.create_task(house.jobs.cancel(waiting[0].id, by="a person", workspace_id=None))
        await house.until_locked_out(2)
    await asyncio.gather(ended, cancelled)

    assert (await cancelled).state is JobState.CANCELLED
    assert await house.admit(slots=2) == [waiting[1].id]


async def test_a_flood_of_one_tenant_makes_another_wait_one_turn(house: House) -> None:
    """
    Between tenants the choice is fair, however many keys one of them fills.
    """
    await gather_limited([house.submit(tenant="a", key=f"a/{number}") for number in range(1000)], 50)
    of_b = await house.submit(tenant="b", key="b/1")

    first = await house.admit(slots=1)
    second = await house.admit(slots=2)

    assert second[0] == first[0]
    assert of_b.id in second


async def test_many_slots_are_shared_in_turns(house: House) -> None:
    """
    One admission with many slots serves tenants in turns, not one after the other.
    """
    for tenant in ("a", "b", "c"):
        for number in range(10):
            await house.submit(tenant=tenant, key=f"{tenant}/{number}")

    admitted = [(await house.job(job_id)).tenant for job_id in await house.admit(slots=6)]

    assert sorted(admitted) == ["a", "a", "b", "b", "c", "c"]


async def test_a_higher_priority_goes_first_within_a_tenant(house: House) -> None:
    await house.submit(key="one")
    urgent = await house.submit(key="two", priority=5)

    assert await house.admit(slots=1) == [urgent.id]


async def test_admission_hands_out_no_more_than_the_free_slots(house: House) -> None:
    for number in range(5):
        await house.submit(key=str(number))

    assert len(await house.admit(slots=3)) == 3
    assert len(await house.admit(slots=3)) == 3


async def test_equal_requests_under_one_idempotency_key_make_one_job(house: House) -> None:
    """
    A hundred parallel repeats all get the job that the first of them made, also when its key rejects others.
    """
    calls = [
        house.jobs.submit(
            house.new_job(idempotency_key="again", fingerprint=b"same"), plan(key="k", on_taken=OnTaken.REJECT)
        )
        for _ in range(100)
    ]

    submissions = await gather_limited(calls, 100)

    assert len({submission.job.id for submission in submissions}) == 1
    assert sum(not submission.repeated for submission in submissions) == 1


async def test_an_idempotency_key_cannot_be_used_for_another_request(house: House) -> None:
    await house.submit(idempotency_key="again", fingerprint=b"one")

    with pytest.raises(ConflictError):
        await house.submit(idempotency_key="again", fingerprint=b"two")


async def test_a_root_is_given_to_one_job_only(house: House) -> None:
    """
    A root that is taken is refused, and nothing of the job stays, not even its place in its key's lane.
    """
    await house.submit(root="acme/1")

    with pytest.raises(RootTakenError):
        await house.submit(root="acme/1", key="k")

    assert (await house.submit(key="k", on_taken=OnTaken.REJECT)).state is JobState.WAITING


async def test_settling_frees_the_key_and_admits_the_next_in_one_commit(house: House) -> None:
    """
    Whoever finishes a job lets the next of its key through.
    """
    work = await house.started(key="k")
    behind = await house.submit(key="k")
    assert await house.admit(slots=1) == [work.job.id]

    done = await house.finish(work, Succeeded())

    assert done.state is JobState.COMPLETED
    assert (await house.job(behind.id)).state is JobState.ADMITTED
    assert [ticket.job_id for ticket in await house.tickets()] == [str(behind.id)]


async def test_the_next_job_starts_however_the_one_before_ended(house: House) -> None:
    for outcome in (Succeeded(), BROKEN, Cancelled(Cause("", "Asked for."))):
        work = await house.started(key="k")
        await house.submit(key="k")
        await house.finish(work, outcome)
        (admitted,) = await house.admit(slots=1)
        successor = await house.claim(admitted)
        assert successor is not None
        await house.finish(successor, Succeeded())

    free = await house.submit(key="k", on_taken=OnTaken.REJECT)
    assert free.state is JobState.WAITING


async def test_a_second_claim_fences_the_first(house: House) -> None:
    """
    Every write of the worker that lost its job is refused, and none of it is seen.
    """
    old = await house.started(key="k", steps=2)
    await house.attempts.start_step(old, 0)
    new = await house.claim(old.job.id)
    assert new is not None
    before = await house.job(old.job.id)
    linked = uuid4()

    for write in (
        lambda: house.attempts.start_step(old, 1),
        lambda: house.attempts.finish_step(old, 0, Succeeded({"record_count": {"a": 1}})),
        lambda: house.settle(old, Succeeded()),
        lambda: house.attempts.save_config(old, linked, {"token": "stale"}),
        lambda: house.attempts.save_catalog(old, linked, {}),
        lambda: house.attempts.forget_bookmark(old, linked),
    ):
        with pytest.raises(FencedError):
            await write()

    assert (await house.attempts.report_step(old, 0, {"stale": True})).fenced
    assert (await house.attempts.standing(old.claim)).fenced
    assert await house.job(old.job.id) == before
    assert new.claim.token == old.claim.token + 1


async def test_a_take_over_counts_as_a_crash_and_a_first_claim_does_not(house: House) -> None:
    first = await house.started()
    second = await house.claim(first.job.id)
    third = await house.claim(first.job.id)

    assert second is not None
    assert third is not None
    assert [work.claim.crashes for work in (first, second, third)] == [0, 1, 2]
    assert [work.claim.taken_over for work in (first, second, third)] == [False, True, True]


async def test_a_job_handed_back_waits_again_and_costs_nothing(house: House) -> None:
    """
    Our own shutdown gives the attempt back: no crash, no failure, and the key stays with the job.
    """
    work = await house.started(key="k")
    behind = await house.submit(key="k")
    house.queue.slots = 0
    back = await house.finish(work, Interrupted())

    assert (back.state, back.crashes, back.failures) == (JobState.WAITING, 0, 0)
    assert [step.state for step in back.steps] == [StepState.PENDING]
    assert await house.admit(slots=5) == [work.job.id]
    again = await house.claim(work.job.id)
    assert again is not None
    assert again.claim.crashes == 0
    assert (await house.job(behind.id)).state is JobState.WAITING


async def test_a_failed_try_waits_for_its_pause_and_keeps_its_key(house: House) -> None:
    work = await house.started(key="k")
    await house.submit(key="k")
    house.queue.slots = 0
    later = await house.finish(work, BROKEN, max_attempts=3)

    assert (later.state, later.failures) == (JobState.SCHEDULED, 1)
    assert later.due_at is not None
    assert await house.admit(slots=5) == []

    await house.database.run("update job set due_at = now() where state = 'scheduled'")
    assert await house.admit(slots=5) == [work.job.id]


async def test_only_the_steps_that_did_not_finish_start_anew(house: House) -> None:
    """
    A job goes on from its last finished step.
    """
    work = await house.started(steps=2)
    await house.attempts.start_step(work, 0)
    await house.attempts.finish_step(work, 0, Succeeded({"record_count": {"flights": 3}}))
    await house.attempts.start_step(work, 1)
    house.queue.slots = 0
    await house.settle(work, Interrupted())

    steps = (await house.job(work.job.id)).steps
    assert [step.state for step in steps] == [StepState.COMPLETED, StepState.PENDING]
    assert steps[0].output == {"record_count": {"flights": 3}}


@pytest.mark.parametrize("admitted", [False, True])
async def test_a_job_that_no_worker_has_ends_at_once_when_cancelled(house: House, admitted: bool) -> None:
    job = await house.submit(key="k")
    behind = await house.submit(key="k")
    if admitted:
        assert await house.admit(slots=1) == [job.id]

    ended = await house.jobs.cancel(job.id, by="ann", workspace_id=house.workspace.id)

    assert ended.state is JobState.CANCELLED
    assert ended.finished_at is not None
    assert await house.claim(job.id) is None
    assert await house.admit(slots=1) == [behind.id]


async def test_cancelling_a_job_in_the_middle_of_a_lane_keeps_the_order(house: House) -> None:
    head = await house.submit(key="k")
    middle = await house.submit(key="k")
    last = await house.submit(key="k")

    await house.jobs.cancel(middle.id, by="ann", workspace_id=None)

    assert await house.admit(slots=3) == [head.id]
    work = await house.claim(head.id)
    assert work is not None
    await house.finish(work, Succeeded())
    assert [ticket.job_id for ticket in await house.tickets()] == [str(last.id)]


async def test_a_running_job_is_asked_to_end(house: House) -> None:
    """
    Cancel sets the wish; the worker learns of it with its next report, and ends the job.
    """
    work = await house.started()
    await house.attempts.start_step(work, 0)

    asked = await house.jobs.cancel(work.job.id, by="ann", workspace_id=None)

    assert asked.state is JobState.RUNNING
    assert asked.cancel_requested_at is not None
    assert (await house.attempts.report_step(work, 0, {})).cancel_requested
    await house.settle(work, Cancelled(Cause("sync", "Cancelled by ann.")))
    assert (await house.job(work.job.id)).state is JobState.CANCELLED


async def test_a_paused_retry_can_be_cancelled(house: House) -> None:
    work = await house.started(key="k")
    await house.finish(work, BROKEN, max_attempts=3)

    ended = await house.jobs.cancel(work.job.id, by="ann", workspace_id=None)

    assert ended.state is JobState.CANCELLED
    assert (await house.submit(key="k", on_taken=OnTaken.REJECT)).state is JobState.WAITING


@pytest.mark.parametrize("outcome", [Succeeded(), BROKEN, Cancelled(Cause("", "Asked for."))])
async def test_a_job_that_has_ended_cannot_be_cancelled_claimed_or_settled(
    house: House, outcome: Succeeded | Failed | Cancelled
) -> None:
    """
    A final state is final.
    """
    work = await house.started()
    ended = await house.finish(work, outcome)

    with pytest.raises(FinalStateError):
        await house.jobs.cancel(work.job.id, by="ann", workspace_id=None)
    assert await house.claim(work.job.id) is None
    with pytest.raises(FencedError):
        await house.settle(work, Succeeded())
    assert await house.job(work.job.id) == ended


async def test_cancel_and_claim_that_race_leave_one_winner(house: House) -> None:
    """
    Either the worker has the job and is asked to end it, or the job is cancelled and the claim finds nothing.
    """
    for _ in range(20):
        job = await house.submit()
        await house.admit(slots=1)
        cancelled, work = await asyncio.gather(
            house.jobs.cancel(job.id, by="ann", workspace_id=None), house.claim(job.id)
        )
        after = await house.job(job.id)
        assert cancelled.cancel_requested_at is not None
        assert (after.state is JobState.CANCELLED) == (work is None)
        if work is not None:
            await house.finish(work, Cancelled(Cause("", "Asked for.")))


async def test_submits_in_a_cold_house_do_not_wait_for_each_other(house: House) -> None:
    """
    No transaction needs a second connection: as many submits as the pool has connections go through at once.
    """
    async with asyncio.timeout(8):
        jobs = await asyncio.gather(*(house.submit(tenant=f"t{number}") for number in range(50)))

    assert len({job.id for job in jobs}) == 50


async def test_unfinished_jobs_are_counted_by_state(house: House) -> None:
    await house.finish(await house.started(), Succeeded())
    await house.started()
    await house.submit()
    await house.submit()

    assert await house.jobs.unfinished() == {JobState.RUNNING: 1, JobState.WAITING: 2}


async def test_the_history_can_be_narrowed(house: House) -> None:
    """
    Newest first; by tenant, state, details and page.
    """
    jobs = [await house.submit(tenant=f"t{number % 2}", details={"tap": f"tap-{number}"}) for number in range(6)]
    listed = await house.jobs.history(house.workspace.id)
    of_tenant = await house.jobs.history(house.workspace.id, tenant="t1")
    of_tap = await house.jobs.history(house.workspace.id, details={"tap": "tap-3"})
    page = await house.jobs.history(house.workspace.id, before_seq=jobs[3].seq, limit=2)

    assert [job.id for job in listed] == [job.id for job in reversed(jobs)]
    assert [job.id for job in of_tenant] == [jobs[5].id, jobs[3].id, jobs[1].id]
    assert [job.id for job in of_tap] == [jobs[3].id]
    assert [job.id for job in page] == [jobs[2].id, jobs[1].id]
    assert await house.jobs.history(uuid4()) == []


async def test_a_running_job_whose_worker_is_gone_ends_at_once_when_cancelled(house: House) -> None:
    """
    Its ticket is free: with the ticket taken back nobody would ever look at it again.
    """
    work = await house.started()
    await house.attempts.start_step(work, 0)
    await house.lose_worker(work.job.id)

    ended = await house.jobs.cancel(work.job.id, by="ann", workspace_id=None)

    assert (ended.state, ended.steps[0].state) == (JobState.CANCELLED, StepState.SKIPPED)
    with pytest.raises(FencedError):
        await house.settle(work, Succeeded())
