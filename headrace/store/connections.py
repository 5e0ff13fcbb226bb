"""
What tenants have linked: a connector's sealed settings, catalog, field map and bookmark.

Reads of a tenant's data take the workspace and the tenant; those by a connection's id are for the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from headrace.store.database import Connection, Database
from headrace.store.sealing import Sealer

Role = Literal["source", "target", "connector"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """
    One connection of a tenant.

    Attributes:
        bookmark: Singer state of the last completed job; None before the first.
    """

    id: UUID
    workspace_id: UUID
    flow_id: str
    tenant: str
    role: Role
    connector: str
    config: dict[str, Any]
    catalog: dict[str, Any] | None
    field_map: dict[str, Any] | None
    bookmark: dict[str, Any] | None
    disconnected: bool


class Connections:
    """
    The table `connection`, its settings sealed.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def declare(
        self,
        connection: Connection,
        id: UUID,  # noqa: A002 - the column's name
        *,
        workspace_id: UUID,
        flow_id: str,
        tenant: str,
        role: Role,
        connector: str,
        config: Mapping[str, Any],
        digest: str | None,
        catalog: Mapping[str, Any] | None = None,
        field_map: Mapping[str, Any] | None = None,
    ) -> UUID:
        """
        Link a connector, or link it anew when *digest* differs from the one it was declared with; gives its id.

        An unchanged declaration leaves tokens that a tap has rewritten, catalog and bookmark as they are.
        """
        place = await (
            await connection.execute(
                """
                insert into connection (id, workspace_id, flow_id, tenant_id, role, connector)
                values (%(id)s, %(workspace_id)s, %(flow_id)s, %(tenant)s, %(role)s, %(connector)s)
                on conflict (workspace_id, flow_id, tenant_id, role, connector) do update set updated_at = connection.updated_at
                returning id, declared_digest
                """,
                {"id": id, "workspace_id": workspace_id, "flow_id": flow_id, "tenant": tenant, "role": role,
                 "connector": connector},
            )
        ).fetchone()  # fmt: skip
        assert place is not None  # noqa: S101 - an upsert returns its row
        if digest is None or place["declared_digest"] != digest:
            await connection.execute(
                """
                update connection set config = %(config)s, declared_digest = %(digest)s, updated_at = now(),
                  disconnected = false, catalog = coalesce(%(catalog)s, catalog), field_map = %(field_map)s
                where id = %(id)s
                """,
                {
                    "id": place["id"],
                    "config": self._sealer.seal(dict(config), _place(place["id"])),
                    "digest": digest,
                    "catalog": Jsonb(dict(catalog)) if catalog is not None else None,
                    "field_map": Jsonb(dict(field_map)) if field_map is not None else None,
                },
            )
        found: UUID = place["id"]
        return found

    async def of_tenant(self, workspace_id: UUID, tenant: str, flow_id: str) -> list[Linked]:
        """
        List what a tenant has linked in a flow, oldest first.
        """
        rows = await self._database.all(
            """
            select * from connection where workspace_id = %(workspace_id)s and tenant_id = %(tenant)s and flow_id = %(flow_id)s
            order by created_at, id
            """,
            {"workspace_id": workspace_id, "tenant": tenant, "flow_id": flow_id},
        )
        return [self._linked(row) for row in rows]

    async def read(self, connection: Connection, connection_id: UUID) -> Linked | None:
        """
        Read one connection, for the engine.
        """
        query = "select * from connection where id = %(id)s"
        row = await (await connection.execute(query, {"id": connection_id})).fetchone()
        return self._linked(row) if row else None

    async def save_config(self, connection: Connection, connection_id: UUID, config: Mapping[str, Any]) -> None:
        """
        Keep settings that a connector has rewritten, such as a rotated token.
        """
        await connection.execute(
            "update connection set config = %(config)s, updated_at = now() where id = %(id)s",
            {"id": connection_id, "config": self._sealer.seal(dict(config), _place(connection_id))},
        )

    async def save_catalog(self, connection: Connection, connection_id: UUID, catalog: Mapping[str, Any]) -> None:
        await connection.execute(
            "update connection set catalog = %(catalog)s, updated_at = now() where id = %(id)s",
            {"id": connection_id, "catalog": Jsonb(dict(catalog))},
        )

    async def save_bookmark(
        self, connection: Connection, connection_id: UUID, bookmark: Mapping[str, Any] | None, *, job_id: UUID | None
    ) -> None:
        """
        Keep how far a source has been read; None forgets it.
        """
        await connection.execute(
            "update connection set bookmark = %(bookmark)s, bookmark_job_id = %(job_id)s, updated_at = now() where id = %(id)s",
            {
                "id": connection_id,
                "bookmark": Jsonb(dict(bookmark)) if bookmark is not None else None,
                "job_id": job_id,
            },
        )

    def _linked(self, row: DictRow) -> Linked:
        config = self._sealer.open(row["config"], _place(row["id"])) if row["config"] is not None else {}
        return Linked(
            id=row["id"], workspace_id=row["workspace_id"], flow_id=row["flow_id"], tenant=row["tenant_id"],
            role=row["role"], connector=row["connector"], config=config, catalog=row["catalog"],
            field_map=row["field_map"], bookmark=row["bookmark"], disconnected=row["disconnected"],
        )  # fmt: skip


def _place(connection_id: UUID) -> str:
    return f"connection:{connection_id}"
