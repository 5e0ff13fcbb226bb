"""
The schema and the code name the same states, and the schema itself refuses what must never be.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from house import House, open_house

from headrace.core.state import FINAL_JOB_STATES, HOLDING_JOB_STATES, JOB_MOVES, JobState, StepState
from headrace.dialects.hotglue.project import record
from headrace.store import job_reads


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(database_url, tmp_path) as house:
        yield house


async def _definition(house: House, query: str, name: str) -> set[str]:
    row = await house.database.one(query, {"name": name})  # type: ignore[arg-type]  # both callers pass a literal
    assert row is not None
    return set(re.findall(r"'([a-z]+)'", row["definition"]))


_CHECK = "select pg_get_constraintdef(oid) as definition from pg_constraint where conname = %(name)s"
_INDEX = "select indexdef as definition from pg_indexes where indexname = %(name)s"


async def test_the_schema_names_the_states_of_the_code(house: House) -> None:
    """
    JobState, StepState and the CHECK constraints are one list each.
    """
    assert await _definition(house, _CHECK, "job_state_check") == {str(state) for state in JobState}
    assert await _definition(house, _CHECK, "step_state_check") == {str(state) for state in StepState}


async def test_the_index_that_guards_a_key_covers_every_holding_state(house: House) -> None:
    held = await _definition(house, _INDEX, "job_key_held")

    assert held == {str(state) for state in HOLDING_JOB_STATES}


async def test_a_state_is_final_exactly_when_nothing_follows_and_it_has_an_end(house: House) -> None:
    """
    Final states have no moves, and the schema ties `finished_at` to them.
    """
    job = await house.submit()

    assert {state for state, moves in JOB_MOVES.items() if not moves} == FINAL_JOB_STATES
    for state in JobState:
        if state.final:
            with pytest.raises(psycopg.errors.CheckViolation):
                await house.database.run(
                    "update job set state = %(state)s where id = %(id)s", {"state": str(state), "id": job.id}
                )
        else:
            with pytest.raises(psycopg.errors.CheckViolation):
                await house.database.run(
                    "update job set state = %(state)s, finished_at = now(), ready = true where id = %(id)s",
                    {"state": str(state), "id": job.id},
                )


async def test_the_schema_refuses_a_second_holder_of_a_key(house: House) -> None:
    """
    Whatever the code above it does: two admitted jobs of one key are impossible.
    """
    await house.submit(key="k")
    await house.submit(key="k")

    with pytest.raises(psycopg.errors.UniqueViolation):
        await house.database.run("update job set state = 'admitted', ready = true")


async def test_a_job_of_another_workspace_is_not_found(house: House) -> None:
    job = await house.submit()
    other = await house.workspaces.declare(uuid4(), "other", {})

    assert await house.jobs.by_root(job.root, workspace_id=other.id) is None
    assert await house.jobs.by_root(job.root, workspace_id=house.workspace.id) is not None


async def test_a_job_reads_the_same_wherever_the_database_thinks_it_is(house: House) -> None:
    """
    Times are the same instants under any time zone of a session; texts and details come back as they were given.
    """
    given = {"quote": '"\\', "lines": "a\nb\u2028", "deep": [{"n": 1.5, "big": 2**60}], "\u00e9": None}
    made = await house.submit(name='quoted "\\" and\ttabbed', details=given)
    async with house.database.connection() as connection:
        await connection.execute("set time zone 'Asia/Kathmandu'")
        there = await job_reads.read(connection, made.id)
        await connection.execute("reset time zone")
    here = await house.jobs.get(made.id, workspace_id=None)

    assert there is not None
    assert there == here == made
    assert here.details == given
    assert record(there) == record(here)
