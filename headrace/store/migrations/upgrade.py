"""
Run the migrations: one at a time over all nodes, each in its transaction.
"""

from __future__ import annotations

import json
import sys
from importlib import resources
from typing import Any

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from headrace.core.errors import FatalError

# Any constant does, as long as every version of Headrace uses the same one.
ADVISORY_LOCK = 0x4EAD_4ACE

EXIT_REFUSED = 65
EXIT_UNAVAILABLE = 75


def upgrade(url: str) -> None:
    """
    Bring the schema of *url* up to this version.

    Raises:
        FatalError: the schema is newer than this program.
    """
    engine = create_engine(_sqlalchemy_url(url), poolclass=NullPool)
    try:
        with engine.connect() as connection, connection.begin():
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
            _run(connection)
    finally:
        engine.dispose()


def _run(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "headrace.store:migrations")
    scripts = ScriptDirectory.from_config(config)
    known = {revision.revision for revision in scripts.walk_revisions()}

    def revisions(current: Any, _context: MigrationContext) -> Any:
        for revision in current if isinstance(current, tuple) else (current,):
            if revision and revision not in known:
                raise FatalError(
                    f"The database has schema {revision}, which this version of Headrace does not know.",
                    "Run the newer version, or restore the backup that was taken before its upgrade.",
                )
        return scripts._upgrade_revs("head", current)  # noqa: SLF001 - what alembic.command.upgrade itself passes on

    context = MigrationContext.configure(
        connection,
        opts={"fn": revisions, "script": scripts, "transactional_ddl": True, "transaction_per_migration": False},
    )
    with context.begin_transaction(), Operations.context(context):
        context.run_migrations()


def main() -> int:
    """
    Run as a program of its own: `python -m headrace.store.migrations.upgrade`, with the database's URL on standard input.

    Alembic and SQLAlchemy take 20 MB that a server would keep for its whole life.
    """
    try:
        upgrade(sys.stdin.read().strip())
    except FatalError as error:
        json.dump({"reason": error.reason, "instruction": error.instruction}, sys.stderr)
        return EXIT_REFUSED
    except OperationalError as error:
        json.dump({"reason": str(error.orig).strip(), "instruction": ""}, sys.stderr)
        return EXIT_UNAVAILABLE
    return 0


def read_sql(name: str) -> str:
    """
    Read a revision's statements.
    """
    return resources.files("headrace.store.migrations").joinpath(f"versions/{name}.sql").read_text("utf-8")


def execute_script(connection: Connection, script: str) -> None:
    """
    Run many statements as they stand: no parameters, so `%` and `:` mean themselves.
    """
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 - a live connection has one
    with driver.cursor() as cursor:
        cursor.execute(script)


def _sqlalchemy_url(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if separator and scheme in ("postgresql", "postgres"):
        return f"postgresql+psycopg://{rest}"
    return url


if __name__ == "__main__":
    sys.exit(main())
