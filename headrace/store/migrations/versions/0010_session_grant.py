"""How long a job may use the check of its login that was made for it."""

from __future__ import annotations

from alembic import op

from headrace.store.migrations.upgrade import execute_script, read_sql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    execute_script(op.get_bind(), read_sql("0010_session_grant"))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: data of the newer schema has no place in the older one")
