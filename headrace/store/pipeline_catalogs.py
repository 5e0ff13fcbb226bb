"""
The catalogs that a pipeline's last runs have discovered, by workspace, pipeline and extractor.

Sealed: Meltano's key of a catalog is a plain hash of settings, secret ones among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from headrace.store.database import Connection


async def load(connection: Connection, workspace_id: UUID, scope: str, digest: str) -> dict[str, bytes]:
    """
    Read what was kept, by extractor, of the definition that *digest* stands for.
    """
    rows = await (
        await connection.execute(
            """
            select extractor, sealed from pipeline_catalog
            where workspace_id = %(workspace_id)s and scope = %(scope)s and digest = %(digest)s
            """,
            {"workspace_id": workspace_id, "scope": scope, "digest": digest},
        )
    ).fetchall()
    return {row["extractor"]: bytes(row["sealed"]) for row in rows}


async def save(
    connection: Connection, workspace_id: UUID, scope: str, digest: str, catalogs: Mapping[str, bytes], *, job_id: UUID
) -> None:
    """
    Keep catalogs in the place of what was kept of the same extractors.
    """
    for extractor, sealed in catalogs.items():
        await connection.execute(
            """
            insert into pipeline_catalog (workspace_id, scope, extractor, digest, sealed, job_id)
            values (%(workspace_id)s, %(scope)s, %(extractor)s, %(digest)s, %(sealed)s, %(job_id)s)
            on conflict (workspace_id, scope, extractor) do update
              set digest = excluded.digest, sealed = excluded.sealed, job_id = excluded.job_id, updated_at = now()
            """,
            {
                "workspace_id": workspace_id,
                "scope": scope,
                "extractor": extractor,
                "digest": digest,
                "sealed": sealed,
                "job_id": job_id,
            },
        )


async def forget(connection: Connection, workspace_id: UUID, scope: str) -> None:
    """
    Forget the catalogs of one pipeline.
    """
    await connection.execute(
        "delete from pipeline_catalog where workspace_id = %(workspace_id)s and scope = %(scope)s",
        {"workspace_id": workspace_id, "scope": scope},
    )
