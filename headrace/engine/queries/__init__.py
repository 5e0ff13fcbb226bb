"""
The engine's own statements, one file each; the file's comment says what the statement guarantees.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import TupleRow, tuple_row


@cache
def query(name: str) -> LiteralString:
    """
    Read `<name>.sql`: one statement with named placeholders.
    """
    return files(__name__).joinpath(f"{name}.sql").read_text("utf-8")


async def ask(connection: AsyncConnection[Any], name: str, **values: Any) -> list[TupleRow]:
    """
    Run the statement *name* in whatever transaction *connection* is in, and return its rows.
    """
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(query(name), values)
        return await cursor.fetchall()
