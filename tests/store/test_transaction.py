"""
Transactions: all or nothing, whatever ends them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from headrace.core.errors import StoreUnavailableError
from headrace.store.database import Database, held_open
from headrace.store.jobs import lock_admission

_WRITE = "insert into setting (name, value) values (%(name)s, '1')"
_COUNT = "select count(*) as found from setting"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, size=2)
    await database.open()
    yield database
    await database.close()


async def _written(database: Database) -> int:
    row = await database.one(_COUNT)
    assert row is not None
    return int(row["found"])


async def test_all_is_written_when_the_block_ends_well(database: Database) -> None:
    before = await _written(database)

    async with database.transaction() as connection:
        await connection.execute(_WRITE, {"name": "a"})
        seen = await (await connection.execute(_COUNT)).fetchone()
        await connection.execute(_WRITE, {"name": "b"})

    assert seen == {"found": before + 1}
    assert await _written(database) == before + 2


@pytest.mark.parametrize("asked", [True, False])
async def test_a_statement_that_is_refused_is_told_as_what_it_was_and_undoes_all(
    database: Database, asked: bool
) -> None:
    """
    At the next answer or at the end: never as an absence of the database, which would be tried again for ever.
    """
    before = await _written(database)

    with pytest.raises(psycopg.errors.UniqueViolation):
        await _write_twice(database, asked=asked)

    assert await _written(database) == before


async def _write_twice(database: Database, *, asked: bool) -> None:
    async with database.transaction() as connection:
        await connection.execute(_WRITE, {"name": "a"})
        await connection.execute(_WRITE, {"name": "a"})
        if asked:
            await (await connection.execute(_COUNT)).fetchone()


async def test_an_error_of_the_callers_undoes_all_and_leaves_a_connection_that_works(database: Database) -> None:
    before = await _written(database)

    with pytest.raises(ZeroDivisionError):
        await _fail(database)

    assert await _written(database) == before


async def _fail(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(_WRITE, {"name": "a"})
        raise ZeroDivisionError


async def test_a_connection_that_is_cut_is_an_absence_of_the_database(database: Database) -> None:
    with pytest.raises(StoreUnavailableError):
        await _cut(database)


async def _cut(database: Database) -> None:
    async with database.transaction() as connection:
        pid = connection.info.backend_pid
        await connection.execute(_WRITE, {"name": "a"})
        await database.run("select pg_terminate_backend(%(pid)s, 5000)", {"pid": pid})
        await (await connection.execute(_COUNT)).fetchone()


async def test_a_transaction_that_its_process_sleeps_in_holds_up_nobody(database: Database, database_url: str) -> None:
    """
    Its locks are let go of and nothing of it is written; whoever wakes up in it is told to try again.
    """
    before = await _written(database)
    sleeper = Database(database_url, size=1, abandoned_seconds=0.2)
    await sleeper.open()
    try:
        with pytest.raises(StoreUnavailableError):
            await _sleep_until_another_is_through(sleeper, database)
    finally:
        await sleeper.close()

    assert await _written(database) == before


async def _sleep_until_another_is_through(sleeper: Database, database: Database) -> None:
    async with sleeper.transaction() as asleep:
        await lock_admission(asleep)
        await asleep.execute(_WRITE, {"name": "a"})
        async with asyncio.timeout(20), database.transaction() as awake:
            await lock_admission(awake)
        await asleep.execute(_WRITE, {"name": "b"})


async def test_a_lock_may_be_held_while_files_are_written(database_url: str) -> None:
    """
    A transaction that says so outlives the time after which another is given up.
    """
    database = Database(database_url, size=1, abandoned_seconds=0.1)
    await database.open()
    try:
        async with database.transaction() as held, await psycopg.AsyncConnection.connect(database_url) as other:
            await held_open(held)
            await other.execute("select pg_sleep(0.4)")
            answer = await (await held.execute("select 1 as one")).fetchone()
    finally:
        await database.close()

    assert answer == {"one": 1}
