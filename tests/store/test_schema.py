"""
What the schema promises beyond its constraints.
"""

from __future__ import annotations

from headrace.store.database import Database

# Small tables, of which nothing or little is deleted; and one of the queue's, which holds admitted work alone.
_SMALL = {"api_key", "deployed", "notification", "procrastinate_jobs"}


async def test_what_goes_with_another_row_is_found_by_an_index(database_url: str) -> None:
    """
    Every foreign key has an index that begins with its columns: or each deleted row would have the other table read from end to end.
    """
    database = Database(database_url)
    await database.open()
    rows = await database.all(
        """
        select c.conrelid::regclass::text as "table", pg_get_constraintdef(c.oid) as key from pg_constraint c
        where c.contype = 'f' and not exists (
          select from pg_index i
          where i.indrelid = c.conrelid and i.indpred is null
            and (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey
        )
        """
    )
    await database.close()

    assert [row for row in rows if row["table"] not in _SMALL] == []
