"""Workspaces, keys, connections, jobs, deliveries; and the queue of the engine."""

from __future__ import annotations

from importlib import resources

from alembic import op

from headrace.store.migrations.upgrade import execute_script, read_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    connection = op.get_bind()
    execute_script(connection, read_sql("0001_core"))
    execute_script(connection, resources.files("procrastinate.sql").joinpath("schema.sql").read_text("utf-8"))
    execute_script(connection, read_sql("0001_queue"))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: data of the newer schema has no place in the older one")
