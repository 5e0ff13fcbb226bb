"""Kept logins of automation projects, and what jobs await for their sake."""

from __future__ import annotations

from alembic import op

from headrace.store.migrations.upgrade import execute_script, read_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    execute_script(op.get_bind(), read_sql("0008_auth_sessions"))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: data of the newer schema has no place in the older one")
