"""Deliveries are found by their job, and the failed ones apart."""

from __future__ import annotations

from alembic import op

from headrace.store.migrations.upgrade import execute_script, read_sql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    execute_script(op.get_bind(), read_sql("0012_delivery_indices"))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: data of the newer schema has no place in the older one")
