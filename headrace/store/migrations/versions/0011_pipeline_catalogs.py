"""The catalogs that runs of pipelines have discovered."""

from __future__ import annotations

from alembic import op

from headrace.store.migrations.upgrade import execute_script, read_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    execute_script(op.get_bind(), read_sql("0011_pipeline_catalogs"))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead: data of the newer schema has no place in the older one")
