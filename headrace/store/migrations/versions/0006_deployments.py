"""Versions of flows and connectors that came over the API."""

from __future__ import annotations

from alembic import op

from headrace.store.migrations.upgrade import execute_script, read_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    execute_script(op.get_bind(), read_sql("0006_deployments"))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: data of the newer schema has no place in the older one")
