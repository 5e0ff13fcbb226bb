"""
Submits that go together in one transaction, and still stand or fall alone.
"""

from __future__ import annotations

import asyncio
from typing import NoReturn

import pytest
from house import House, plan

from headrace.core.errors import ActiveJobError, RootTakenError
from headrace.core.plan import OnTaken
from headrace.core.state import JobState


async def test_submits_that_come_at_once_share_transactions(house: House) -> None:
    """
    Each is what it would be alone, with its own plan, steps and inputs, and the history keeps their order.
    """
    await house.submit(tenant="before")  # from here on it is known that nobody listens, which each would ask otherwise
    asked = [
        house.jobs.submit(house.new_job(tenant=f"t{number}", sealed={"config": {"n": number}}), plan(key=f"k{number}"))
        for number in range(40)
    ]

    jobs = [submission.job for submission in await asyncio.gather(*asked)]

    commits = await house.database.one("select count(distinct xmin::text) as n, count(*) as jobs from job")
    assert commits is not None
    assert (commits["jobs"], commits["n"] < 20) == (41, True)
    assert [job.tenant for job in sorted(jobs, key=lambda job: job.seq)] == [f"t{number}" for number in range(40)]
    for number in (0, 7, 39):
        await house.admit(slots=100)
        work = await house.claim(jobs[number].id)
        assert work is not None
        assert (work.plan, work.sealed) == (plan(key=f"k{number}"), {"config": {"n": number}})
        assert [step.name for step in work.job.steps] == [step.name for step in work.plan.steps]
        assert next(event.kind for event in await house.jobs.events(work.job.id)) == "job-submitted"


async def test_a_submit_that_cannot_be_written_takes_no_neighbour_along(house: House) -> None:
    """
    A root that is taken, a key that rejects, an id that no database keeps: each is refused alone, all others are committed.
    """
    await house.submit(root="taken", key="busy")
    new = house.new_job
    asked = [
        house.jobs.submit(new(tenant="first"), plan(key="a")),
        house.jobs.submit(new(root="taken"), plan(key="b")),
        house.jobs.submit(new(tenant="second"), plan(key="c")),
        house.jobs.submit(new(), plan(key="busy", on_taken=OnTaken.REJECT)),
        house.jobs.submit(new(name="a\x00b"), plan(key="d")),
        house.jobs.submit(new(tenant="third"), plan(key=None)),
    ]

    answers = await asyncio.gather(*asked, return_exceptions=True)

    refused = [answers[at] for at in (1, 3, 4)]
    assert [type(error) for error in refused[:2]] == [RootTakenError, ActiveJobError]
    assert isinstance(refused[2], Exception)
    written = await house.database.all("select tenant_id from job where root <> 'taken'")
    assert sorted(row["tenant_id"] for row in written) == ["first", "second", "third"]
    # And a refused one has not kept its key.
    for key in ("b", "d"):
        assert (await house.submit(key=key, on_taken=OnTaken.REJECT)).state is JobState.WAITING


async def test_submits_of_one_key_go_one_after_the_other(house: House) -> None:
    """
    Of those that arrive together the first alone is ready, and the rest wait in the order in which they came.
    """
    await house.submit()
    asked = [
        house.jobs.submit(house.new_job(name=str(number)), plan(key="k", on_taken=OnTaken.QUEUE)) for number in range(5)
    ]

    made = await asyncio.gather(*asked)

    assert [submission.queued for submission in made] == [False, True, True, True, True]
    assert [submission.job.seq for submission in made] == sorted(submission.job.seq for submission in made)


async def test_a_key_that_is_held_keeps_nobody_waiting_but_its_own(house: House) -> None:
    """
    While another transaction holds a key, submits of other keys are written, those that came together with it included.
    """
    async with house.database.transaction() as holder:
        await holder.execute("insert into lane (key, active) values ('held', 1)")
        stuck = asyncio.ensure_future(house.jobs.submit(house.new_job(), plan(key="held")))
        others = [house.jobs.submit(house.new_job(), plan(key=f"k{number}")) for number in range(8)]
        also_stuck = asyncio.ensure_future(house.jobs.submit(house.new_job(), plan(key="held")))

        async with asyncio.timeout(20):
            await asyncio.gather(*others)
            await house.submit(key="later")
        assert not stuck.done()
        assert not also_stuck.done()

    async with asyncio.timeout(20):
        assert [(await each).queued for each in (stuck, also_stuck)] == [True, True]


async def test_an_asker_that_has_gone_harms_no_other(house: House) -> None:
    """
    A client that hangs up while its submit is on the way: the others' answers come.
    """
    gone = asyncio.ensure_future(house.jobs.submit(house.new_job(), plan(key="gone")))
    others = [asyncio.ensure_future(house.jobs.submit(house.new_job(), plan(key=f"k{n}"))) for n in range(5)]
    await asyncio.sleep(0)
    gone.cancel()

    async with asyncio.timeout(20):
        assert len(await asyncio.gather(*others)) == 5
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_failure_that_nobody_foresaw_is_told_to_whoever_asked(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Whatever the way to the database raises, each submit hears of it, and the next ones go on.
    """

    def broken() -> NoReturn:
        raise RuntimeError("no way")

    await house.submit()
    with monkeypatch.context() as broken_way:
        broken_way.setattr(house.database.pool, "connection", broken)
        asked = [house.jobs.submit(house.new_job(), plan(key=key)) for key in "abc"]
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*asked, return_exceptions=True)

    assert [str(answer) for answer in answers] == ["no way"] * 3
    assert (await house.submit(key="a")).state is JobState.WAITING
