"""Symlinks and generations of connections, tenants, schedules, tenant tokens."""

from __future__ import annotations

from alembic import op

from headrace.store.migrations.upgrade import execute_script, read_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    execute_script(op.get_bind(), read_sql("0002_linking"))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: data of the newer schema has no place in the older one")
