"""What a workspace made over a wire has besides its definition."""

from __future__ import annotations

from alembic import op

from headrace.store.migrations.upgrade import execute_script, read_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    execute_script(op.get_bind(), read_sql("0007_workspaces"))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: data of the newer schema has no place in the older one")
