"""
Tenants: who they are, and what is kept of them beside their connections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from headrace.store.database import Connection, Database
from headrace.store.sealing import Sealer

METADATA = "hotglue_metadata"
MAPPING = "hotglue_mapping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """
    Attributes:
        config: keys that scripts and people keep for the tenant; secrets may be among them.
        mapping: the tenant's own mapping of fields; None when nobody made one.
        metadata: free-form facts; None when nobody gave any.
    """

    config: dict[str, Any] = field(default_factory=dict)
    mapping: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None

    @property
    def document(self) -> dict[str, Any]:
        """
        All of it in one object, as hotglue's `tenant-config.json` has it; empty when nothing is kept.
        """
        document = dict(self.config)
        if self.metadata is not None:
            document[METADATA] = {"metadata": self.metadata}
        if self.mapping is not None:
            document[MAPPING] = {"mapping": self.mapping}
        return document

    def with_document(self, document: Mapping[str, Any]) -> Tenant:
        """
        Take every part from a document; a part of the wrong shape stays as it is.
        """
        return Tenant(
            config={name: value for name, value in document.items() if name not in (METADATA, MAPPING)},
            mapping=_part(document, MAPPING, "mapping", self.mapping),
            metadata=_part(document, METADATA, "metadata", self.metadata),
        )


class Tenants:
    """
    The table `tenant`; a tenant is also whoever has linked anything.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def ensure(self, connection: Connection, workspace_id: UUID, tenant: str) -> None:
        """
        Let a tenant be there, in the caller's transaction.
        """
        await connection.execute(
            "insert into tenant (workspace_id, tenant_id) values (%(workspace_id)s, %(tenant)s) on conflict do nothing",
            {"workspace_id": workspace_id, "tenant": tenant},
        )

    async def ids(self, workspace_id: UUID, *, prefix: str = "") -> list[str]:
        """
        List the tenants whose ids begin with *prefix*, in the order of their ids.
        """
        rows = await self._database.all(
            """
            select tenant_id from tenant where workspace_id = %(workspace_id)s and starts_with(tenant_id, %(prefix)s)
            union select tenant_id from connection where workspace_id = %(workspace_id)s and starts_with(tenant_id, %(prefix)s)
            order by tenant_id
            """,
            {"workspace_id": workspace_id, "prefix": prefix},
        )
        return [row["tenant_id"] for row in rows]

    async def read(
        self, connection: Connection, workspace_id: UUID, tenant: str, *, lock: bool = False
    ) -> Tenant | None:
        """
        Read what is kept of a tenant; None when nothing ever was. *lock* holds it until the transaction ends.
        """
        query = f"select * from tenant where workspace_id = %(workspace_id)s and tenant_id = %(tenant)s {'for update' if lock else ''}"
        row = await (await connection.execute(query, {"workspace_id": workspace_id, "tenant": tenant})).fetchone()
        if row is None:
            return None
        config = self._sealer.open(row["config"], _place(workspace_id, tenant)) if row["config"] is not None else {}
        return Tenant(config=config, mapping=row["mapping"], metadata=row["metadata"])

    async def save(self, connection: Connection, workspace_id: UUID, tenant: str, kept: Tenant) -> None:
        """
        Keep *kept* in place of what was kept before.
        """
        await connection.execute(
            """
            insert into tenant (workspace_id, tenant_id, config, mapping, metadata)
            values (%(workspace_id)s, %(tenant)s, %(config)s, %(mapping)s, %(metadata)s)
            on conflict (workspace_id, tenant_id) do update set config = excluded.config, mapping = excluded.mapping,
              metadata = excluded.metadata, updated_at = now()
            """,
            {
                "workspace_id": workspace_id,
                "tenant": tenant,
                "config": self._sealer.seal(kept.config, _place(workspace_id, tenant)) if kept.config else None,
                "mapping": _json(kept.mapping),
                "metadata": _json(kept.metadata),
            },
        )

    async def unfinished_jobs(self, connection: Connection, workspace_id: UUID, tenant: str) -> list[tuple[UUID, str]]:
        """
        List a tenant's jobs that have not ended, oldest first: id and name.
        """
        rows = await (
            await connection.execute(
                """
                select id, name from job where workspace_id = %(workspace_id)s and tenant_id = %(tenant)s
                  and finished_at is null order by seq
                """,
                {"workspace_id": workspace_id, "tenant": tenant},
            )
        ).fetchall()
        return [(row["id"], row["name"]) for row in rows]

    async def finished_jobs(self, workspace_id: UUID, tenant: str, *, limit: int) -> list[tuple[UUID, datetime]]:
        """
        List a tenant's jobs that have ended: id and time of creation, which name the folder of their files.
        """
        rows = await self._database.all(
            """
            select id, created_at from job where workspace_id = %(workspace_id)s and tenant_id = %(tenant)s
              and finished_at is not null order by seq limit %(limit)s
            """,
            {"workspace_id": workspace_id, "tenant": tenant, "limit": limit},
        )
        return [(row["id"], row["created_at"]) for row in rows]

    async def delete(self, connection: Connection, workspace_id: UUID, tenant: str) -> Sequence[str]:
        """
        Delete a tenant's connections, schedules, deliveries and what is kept of it; gives what there was of each, by table.
        """
        deleted = []
        for table in ("connection", "schedule", "delivery", "tenant_turn", "tenant"):
            found = await connection.execute(
                f"delete from {table} where workspace_id = %(workspace_id)s and tenant_id = %(tenant)s",
                {"workspace_id": workspace_id, "tenant": tenant},
            )
            deleted += [table] if found.rowcount else []
        return deleted


def _part(document: Mapping[str, Any], key: str, inner: str, otherwise: dict[str, Any] | None) -> dict[str, Any] | None:
    found = document.get(key)
    if found is None:
        return None
    part = found.get(inner) if isinstance(found, dict) else None
    # PostgreSQL's JSON has no NUL.
    storable = isinstance(part, dict) and b"\\u0000" not in msgspec.json.encode(part)
    return part if storable else otherwise


def _place(workspace_id: UUID, tenant: str) -> str:
    return f"tenant:{workspace_id}:{tenant}"


def _json(value: Mapping[str, Any] | None) -> Jsonb | None:
    return Jsonb(dict(value)) if value is not None else None
