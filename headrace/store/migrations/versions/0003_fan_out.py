"""Jobs of items that are admitted one by one."""

from __future__ import annotations

from alembic import op

from headrace.store.migrations.upgrade import execute_script, read_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    execute_script(op.get_bind(), read_sql("0003_fan_out"))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: data of the newer schema has no place in the older one")
