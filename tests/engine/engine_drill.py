"""
Worker processes to be killed, and ways to wait for what the database says of them.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import psycopg
import pytest
from workload import TRACE

from headrace.engine.procrastinate import schema_sql

DEADLINE_SECONDS = 60.0
LISTENING = """
FROM pg_stat_activity
WHERE application_name = 'headrace-engine' AND datname = current_database() AND query LIKE '-- Say that the member lives%'
"""


async def prepare(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(schema_sql())
        await connection.execute(TRACE)


class WorkerProcess:
    """
    One `workload.py`; its output is in `log`.
    """

    def __init__(self, url: str, node: str, log: Path, **options: float) -> None:
        self.node = node
        self.log = log
        self._file: IO[bytes] = log.open("wb")
        arguments = [f"--{name}={value}" for name, value in options.items()]
        program = Path(__file__).with_name("workload.py")
        self.process = subprocess.Popen(
            [sys.executable, str(program), url, f"--node={node}", *arguments],
            stdout=self._file,
            stderr=subprocess.STDOUT,
            env={"PYTHONPATH": str(Path(__file__).parents[2])},
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    async def exit_code(self) -> int:
        return await asyncio.to_thread(self.process.wait, DEADLINE_SECONDS)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._file.close()


async def until(url: str, condition: str, *, seconds: float = DEADLINE_SECONDS) -> None:
    """
    Wait until the database says that *condition* holds, through its outages too.
    """
    answer: object = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                        answer = await value(connection, condition)
                        if answer:
                            return
                except psycopg.OperationalError as error:
                    answer = error
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"still not true after {seconds:g} s: {condition} ({answer})")


async def value(connection: psycopg.AsyncConnection[Any], query: str) -> Any:
    """
    Give the first value of the first row.
    """
    row = await (await connection.execute(query)).fetchone()
    return row[0] if row else None
