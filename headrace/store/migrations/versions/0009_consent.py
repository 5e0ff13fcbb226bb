"""Connections whose owners are asked for consent anew."""

from __future__ import annotations

from alembic import op

from headrace.store.migrations.upgrade import execute_script, read_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    execute_script(op.get_bind(), read_sql("0009_consent"))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: data of the newer schema has no place in the older one")
