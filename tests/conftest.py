"""
What every test may ask for: a throw-away PostgreSQL, and in it an empty database of its own.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from grounds import new_ground, remove_grounds
from psycopg import sql
from two_processes import Shares, turn_of

from headrace.store.database import migrate
from headrace.store.embedded import EmbeddedPostgres

# A shell's background job ignores Ctrl-C, and so would all programs that the tests start from there.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=turn_of)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Shares:
    return Shares(config, log)


@pytest.fixture(scope="session", autouse=True)
def _grounds() -> Iterator[None]:
    yield
    remove_grounds()


@pytest.fixture(scope="session")
async def postgres() -> AsyncIterator[str]:
    """
    One embedded server for the whole run, without durability; the URL of its own database.

    It ends with this process, even with a kill -9. Its files are in memory where there is room: a copy of a database, of which most tests
    have one, takes a fifth of the time there.
    """
    server = EmbeddedPostgres(
        new_ground() / "postgres",
        user="nobody" if os.getuid() == 0 else None,
        system_dir=new_ground(in_memory=False),  # no program need be allowed to run from memory
        settings={"shared_buffers": "16MB", "autovacuum": "off", "max_wal_size": "256MB", "min_wal_size": "32MB"},
        durable=False,
    )
    yield await server.start()
    await server.stop()


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    One folder of environments for all tests, in both processes, that do not look at how one is built: each is built once, under a lock.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "environments"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
async def migrated(postgres: str) -> str:
    """
    The name of a database with our schema, to make others from: a copy takes a tenth of the time of the migrations.
    """
    name = "test_migrated"
    async with await psycopg.AsyncConnection.connect(postgres, autocommit=True) as admin:
        await admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    await migrate(_url_of(postgres, name))
    return name


@pytest.fixture
async def database_url(postgres: str, migrated: str) -> AsyncIterator[str]:
    """
    The URL of a database with our schema and nothing in it, dropped after the test with whoever is still connected.
    """
    async with _database(postgres, migrated) as url:
        yield url


@pytest.fixture(scope="session")
async def lasting_database_url(postgres: str, migrated: str) -> AsyncIterator[str]:
    """
    As `database_url`, one for all tests of the run: for those that only look at what one long story has left.
    """
    async with _database(postgres, migrated) as url:
        yield url


@pytest.fixture
async def empty_database_url(postgres: str) -> AsyncIterator[str]:
    """
    The same without a schema.
    """
    async with _database(postgres, "template0") as url:
        yield url


@asynccontextmanager
async def _database(postgres: str, template: str) -> AsyncIterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    async with await psycopg.AsyncConnection.connect(postgres, autocommit=True) as admin:
        make = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        await admin.execute(make.format(sql.Identifier(name), sql.Identifier(template)))
        yield _url_of(postgres, name)
        await admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _url_of(postgres: str, name: str) -> str:
    return urlunsplit(urlsplit(postgres)._replace(path=f"/{name}"))
