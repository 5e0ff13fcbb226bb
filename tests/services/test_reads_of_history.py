"""
What is read of jobs again and again touches no more rows for all the jobs that have ended.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from house import House, open_house
from item_kit import Batches

from headrace.core.state import JobState
from headrace.store.database import Database

ENDED = 3_000

T = TypeVar("T")


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """
    Two workspaces with a long history, every other job one of items.
    """
    async with open_house(database_url, tmp_path, connections=1) as house:
        await house.workspaces.declare(uuid4(), "other", {})
        await house.database.run(
            """
            with ended as (
              insert into job (id, workspace_id, tenant_id, dialect, definition, public_id, root, name, state, ready, priority, trigger,
                               started_by, details, fan_out, key, finished_at)
              select gen_random_uuid(), w.id, 'acme', 'hotglue', 'flights', 'p' || n, 'r' || w.name || n, w.name || n, 'completed', true,
                     0, 'api', '', '{}', n %% 2 = 0, 'k', now() - interval '2 days'
              from workspace w, generate_series(1, %(ended)s::integer) n order by n, w.name
              returning id, fan_out
            )
            insert into fan_out (job_id, open) select id, false from ended where fan_out
            """,
            {"ended": ENDED},
        )
        await house.database.run("vacuum analyze job, fan_out")
        yield house


async def _rows_touched(database: Database, call: Awaitable[T]) -> tuple[T, int]:
    """
    Make a call, and count the rows of jobs that the database has looked at for it.
    """
    before = await _rows(database)
    found = await call
    return found, await _rows(database) - before


async def _rows(database: Database) -> int:
    await database.all("select pg_stat_force_next_flush()")
    query = "select seq_tup_read + coalesce(idx_tup_fetch, 0) as n from pg_stat_user_tables where relname = 'job'"
    row = await database.one(query)
    assert row is not None
    return int(row["n"])


@pytest.mark.parametrize("filters", [{}, {"before_seq": ENDED}, {"states": [JobState.COMPLETED], "tenant": "acme"}])
async def test_the_newest_jobs_of_every_workspace_are_found_without_the_others(
    house: House, filters: dict[str, Any]
) -> None:
    jobs, rows = await _rows_touched(house.database, house.jobs.history(None, limit=20, **filters))

    top = filters.get("before_seq", 2 * ENDED + 1)
    assert [job.seq for job in jobs] == list(range(top - 1, top - 21, -1))
    assert {job.workspace for job in jobs} == {"demo", "other"}
    assert rows < 200


async def test_what_has_not_ended_is_counted_without_what_has(house: House) -> None:
    found, rows = await _rows_touched(house.database, house.jobs.unfinished())

    assert found == {}
    assert rows < 10


async def test_why_a_job_waits_is_told_without_the_history_of_its_key(house: House) -> None:
    """
    The head of the line counts, whether it is a job of steps or of items, and those in line before it.
    """
    batches = Batches(house)
    of_steps = [await house.submit(key="k", priority=priority) for priority in (0, 0, 5)]
    of_items = [await batches.submit(["a"], key="l") for _ in range(2)]

    async def ahead(job_id: UUID) -> int:
        job = await house.job(job_id)
        wait, rows = await _rows_touched(house.database, house.jobs.why_it_waits(job, slots=1))
        assert rows < 20
        return 0 if "Before it in line" not in wait.sentence else int(wait.sentence.split(": ")[1].split()[0])

    assert [await ahead(job.id) for job in (*of_steps, *of_items)] == [0, 2, 1, 0, 1]
