"""
The one way to the database: a pool, transactions, named statements, migrations.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib import resources
from typing import Any, LiteralString
from weakref import WeakKeyDictionary

import msgspec
import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from headrace.core.errors import FatalError, StoreUnavailableError

Connection = psycopg.AsyncConnection[DictRow]

# A migration's exit code for "not now"; see migrations/upgrade.py, which is too heavy to import here.
_EXIT_UNAVAILABLE = 75
# A connection used so lately is lent again without asking whether it lives, which would double the way of a small read: longer than the pauses
# between the looks of an idle server.
_FRESH_SECONDS = 3.0
# Each connection is a process of the database with some megabytes of its own: what a burst has opened is not kept for long.
_SPARE_SECONDS = 60.0
# A transaction that goes on for so long without a statement is that of a process which sleeps, or of a machine which is gone. It may hold the lock
# of the admission, or a dead worker's tickets: what it has not committed is undone, so that the others can go on.
_ABANDONED_SECONDS = 15.0
_used_at: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()

# Behind an odd number of backslashes these six characters are a text that only looks like a NUL.
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def _encode(value: Any) -> bytes:
    """
    Write a value for a column of JSON. PostgreSQL's JSON has no NUL: U+FFFD stands for it, so that what a child has printed can be kept.

    What must come back byte for byte is refused before, or kept as bytes.
    """
    text = msgspec.json.encode(value)
    return _NUL.sub(rb"\1\\ufffd", text) if b"\\u0000" in text else text


set_json_dumps(_encode)
set_json_loads(msgspec.json.decode)


@cache
def statement(name: str) -> LiteralString:
    """
    Read `queries/{name}.sql`.
    """
    return resources.files("headrace.store").joinpath(f"queries/{name}.sql").read_text("utf-8")


class Database:
    """
    A pool of connections in autocommit mode; what must change together runs in `transaction`.

    Args:
        url: `postgresql://` address or a libpq connection string.
        size: connections at most.
        abandoned_seconds: after so long without a statement a transaction is undone; see `held_open`.
    """

    def __init__(
        self, url: str, *, size: int = 10, wait_seconds: float = 10.0, abandoned_seconds: float = _ABANDONED_SECONDS
    ) -> None:
        self.url = url
        self._abandoned_seconds = abandoned_seconds
        self.pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=size,
            open=False,
            timeout=wait_seconds,
            max_idle=_SPARE_SECONDS,
            kwargs={"autocommit": True, "row_factory": dict_row, "application_name": "headrace"},
            configure=self._bound,
            check=_check_when_idle,
            reconnect_timeout=2.0,
            name="headrace",
        )

    async def open(self, *, wait_seconds: float = 30.0) -> None:
        """
        Open the pool and wait for the first connection.

        Raises:
            StoreUnavailableError: the database did not answer in time.
        """
        with _Unavailable():
            await self.pool.open(wait=True, timeout=wait_seconds)

    async def close(self) -> None:
        await self.pool.close()

    async def _bound(self, connection: Connection) -> None:
        """
        Let the database end what nobody goes on with. The last three find a machine that is gone; they mean nothing on a local socket.
        """
        await connection.execute(
            """
            select set_config('idle_in_transaction_session_timeout', %(idle)s, false), set_config('tcp_keepalives_idle', '10', false),
                   set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '3', false)
            """,
            {"idle": f"{self._abandoned_seconds * 1000:.0f}ms"},
        )

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """
        Lend a connection in autocommit mode, for single statements.

        Raises:
            StoreUnavailableError: no connection, or it broke.
        """
        with _Unavailable():
            async with self.pool.connection() as connection:
                yield connection
                _used_at[connection] = time.monotonic()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """
        Lend a connection inside a transaction: all or nothing.

        Not in the driver's pipeline mode: a parameter of megabytes, such as a tap's state, may wait for ever to be sent there.

        Raises:
            StoreUnavailableError: no connection, or it broke; nothing was changed.
        """
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def one(self, query: LiteralString, parameters: dict[str, Any] | None = None) -> DictRow | None:
        """
        Run one statement by itself and give its first row.
        """
        async with self.connection() as connection:
            return await (await connection.execute(query, parameters)).fetchone()

    async def all(self, query: LiteralString, parameters: dict[str, Any] | None = None) -> list[DictRow]:
        """
        Run one statement by itself and give its rows.
        """
        async with self.connection() as connection:
            return await (await connection.execute(query, parameters)).fetchall()

    async def run(self, query: LiteralString, parameters: dict[str, Any] | None = None) -> int:
        """
        Run one statement by itself and tell how many rows it touched.
        """
        async with self.connection() as connection:
            return (await connection.execute(query, parameters)).rowcount


async def held_open(connection: Connection) -> None:
    """
    Let a transaction go on without a statement for as long as it takes: for locks that are held while files are written.
    """
    await connection.execute("set local idle_in_transaction_session_timeout = 0")


async def _check_when_idle(connection: Connection) -> None:
    if time.monotonic() - _used_at.get(connection, 0.0) > _FRESH_SECONDS:
        await AsyncConnectionPool.check_connection(connection)


_NOT_NOW = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,  # this process slept
    PoolTimeout,
)


class _Unavailable:
    """Turn the driver's "not now" into ours; anything else is a bug and stays what it is."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _NOT_NOW):
            raise StoreUnavailableError(
                "The database did not answer.", "Try again in a moment; `headrace doctor` tells more.", cause=str(error)
            ) from error


async def migrate(url: str) -> None:
    """
    Bring the schema up to this version; safe to call from many nodes at once.

    Where nothing is to be done this is one small read; else it runs as a program of its own, for what it needs is large.

    Raises:
        FatalError: the schema is newer than this program, or a migration failed; it was undone.
        StoreUnavailableError: the database did not answer.
    """
    if await _is_current(url):
        return
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "headrace.store.migrations.upgrade",
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await child.communicate(url.encode())
    if child.returncode == 0:
        return
    try:
        why = msgspec.json.decode(told, type=dict[str, str])
    except msgspec.DecodeError:
        raise FatalError(
            "The database's schema could not be brought up to date.",
            "The end of what the migration said tells why.",
            said=told.decode(errors="replace")[-2000:],
        ) from None
    if child.returncode == _EXIT_UNAVAILABLE:
        raise StoreUnavailableError("The database did not answer.", "Try again in a moment.", cause=why["reason"])
    raise FatalError(why["reason"], why["instruction"])


async def _is_current(url: str) -> bool:
    """
    Tell whether the schema is the newest this program knows: revisions are numbered, and each is a file of that number.
    """
    versions = resources.files("headrace.store.migrations").joinpath("versions")
    newest = max(file.name[:4] for file in versions.iterdir() if file.name[:4].isdigit())
    with _Unavailable():
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            try:
                found = await (await connection.execute("select version_num from alembic_version")).fetchall()
            except psycopg.errors.UndefinedTable:
                return False
    return found == [(newest,)]
