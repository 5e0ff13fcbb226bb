"""Pipelines and what belongs to them, their state, what follows from their jobs, notifications."""

from __future__ import annotations

from alembic import op

from headrace.store.migrations.upgrade import execute_script, read_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    execute_script(op.get_bind(), read_sql("0005_pipelines"))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: data of the newer schema has no place in the older one")
