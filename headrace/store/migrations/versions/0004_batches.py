"""Batches: stored blueprints of jobs of items."""

from __future__ import annotations

from alembic import op

from headrace.store.migrations.upgrade import execute_script, read_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    execute_script(op.get_bind(), read_sql("0004_batches"))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: data of the newer schema has no place in the older one")
