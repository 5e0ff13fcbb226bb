"""
What tenants have linked: a connector's sealed settings, catalog, field map and bookmark.

Reads of a tenant's data take the workspace and the tenant; those by a connection's id are for the engine.

A symlink has another connection's settings and catalog, and a bookmark and a field map of its own; it is one step long, because
whoever makes one is led to where the settings really are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, LiteralString
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from headrace.store.database import Connection, Database
from headrace.store.sealing import Sealer

Role = Literal["source", "target", "connector"]

# Every connection as it counts: a symlink with the settings and the catalog of the one it stands for.
_SELECT: LiteralString = """
    select c.*, o.id as origin_id, o.config as origin_config, o.catalog as origin_catalog,
           o.generation as origin_generation, o.disconnected as origin_disconnected
    from connection c left join connection o
      on c.symlink is not null and o.workspace_id = c.workspace_id and o.flow_id = c.symlink ->> 'flow'
     and o.tenant_id = c.symlink ->> 'tenant' and o.role = c.symlink ->> 'role' and o.connector = c.connector
     and o.symlink is null
"""
# One connection by its place; the order of the unique index.
_HERE: LiteralString = """
    c.workspace_id = %(workspace_id)s and c.flow_id = %(flow_id)s and c.tenant_id = %(tenant)s and c.role = %(role)s
    and c.connector = %(connector)s
"""
# The row that holds the settings of a connection: its own, or that of its symlink.
_ORIGIN: LiteralString = """
    coalesce((select o.id from connection c join connection o
                on o.workspace_id = c.workspace_id and o.flow_id = c.symlink ->> 'flow' and o.tenant_id = c.symlink ->> 'tenant'
               and o.role = c.symlink ->> 'role' and o.connector = c.connector where c.id = %(id)s), %(id)s)
"""


@dataclass(frozen=True, slots=True)
class Symlink:
    """The connection of the same connector whose settings another one uses."""

    flow: str
    tenant: str
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """
    One connection of a tenant.

    Attributes:
        bookmark: Singer state of the last completed job; None before the first.
        disconnected: its account refused the settings, its owner has not consented, or they are gone: somebody has to link it anew.
        symlink: whose settings and catalog these are; None for its own.
        reconnecting: its owner is being asked for consent anew; meanwhile it works as before.
        dangling: a symlink whose connection is gone, so that there is nothing to use.
        generation: raised by each new link, of it or of where its settings are.
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
    reconnecting: bool = False
    symlink: Symlink | None = None
    dangling: bool = False
    generation: int = 1
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where a connection stands; no two share one.
    """

    workspace_id: UUID
    tenant: str
    flow_id: str
    role: Role
    connector: str

    @property
    def parameters(self) -> dict[str, Any]:
        return asdict(self)


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
                  symlink = null,
                  disconnected = false, catalog = coalesce(%(catalog)s, catalog), field_map = %(field_map)s, generation = generation + 1
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
            f"""
            {_SELECT} where c.workspace_id = %(workspace_id)s and c.flow_id = %(flow_id)s and c.tenant_id = %(tenant)s
            order by c.created_at, c.id
            """,
            {"workspace_id": workspace_id, "flow_id": flow_id, "tenant": tenant},
        )
        return [self._linked(row) for row in rows]

    async def read(self, connection: Connection, connection_id: UUID) -> Linked | None:
        """
        Read one connection, for the engine.
        """
        query = f"{_SELECT} where c.id = %(id)s"
        row = await (await connection.execute(query, {"id": connection_id})).fetchone()
        return self._linked(row) if row else None

    async def link(
        self,
        connection: Connection,
        id: UUID,  # noqa: A002 - the column's name
        place: Place,
        *,
        config: Mapping[str, Any],
        field_map: Mapping[str, Any] | None = None,
        symlink: Symlink | None = None,
        disconnected: bool = False,
    ) -> bool:
        """
        Link a connector, or link it anew under the id it has; tells whether it was linked before.

        *disconnected* until its owner has given consent.
        Bookmark and catalog stay, and so does the field map when there is no new one: whoever reconnects goes on where they were.
        """
        row = await (
            await connection.execute(
                """
                insert into connection (id, workspace_id, flow_id, tenant_id, role, connector)
                values (%(id)s, %(workspace_id)s, %(flow_id)s, %(tenant)s, %(role)s, %(connector)s)
                on conflict (workspace_id, flow_id, tenant_id, role, connector)
                  do update set generation = connection.generation + 1
                returning id, generation > 1 as overwritten
                """,
                {"id": id, **place.parameters},
            )
        ).fetchone()
        assert row is not None  # noqa: S101 - an upsert returns its row
        await connection.execute(
            """
            update connection set config = %(config)s, symlink = %(symlink)s, disconnected = %(disconnected)s, reconnecting = false,
              updated_at = now(), field_map = coalesce(%(field_map)s, field_map)
            where id = %(id)s
            """,
            {
                "id": row["id"],
                "config": None if symlink else self._sealer.seal(dict(config), _place(row["id"])),
                "symlink": Jsonb(asdict(symlink)) if symlink else None,
                "disconnected": disconnected,
                "field_map": Jsonb(dict(field_map)) if field_map is not None else None,
            },
        )
        return bool(row["overwritten"])

    async def find(self, connection: Connection, place: Place, *, lock: bool = False) -> Linked | None:
        """
        Read the connection at a place; *lock* holds it until the transaction ends.
        """
        query = f"{_SELECT} where {_HERE} {'for update of c' if lock else ''}"
        row = await (await connection.execute(query, place.parameters)).fetchone()
        return self._linked(row) if row else None

    async def unlink(self, connection: Connection, place: Place) -> UUID | None:
        """
        Forget a connection with its bookmark; gives the id it had.
        """
        row = await (
            await connection.execute(f"delete from connection c where {_HERE} returning c.id", place.parameters)
        ).fetchone()
        return row["id"] if row else None

    async def flows_of(self, workspace_id: UUID, tenant: str) -> list[tuple[str, Role, str]]:
        """
        List what a tenant has linked in all flows: flow, role, connector.
        """
        rows = await self._database.all(
            """
            select flow_id, role, connector from connection where workspace_id = %(workspace_id)s and tenant_id = %(tenant)s
            order by flow_id, role, connector
            """,
            {"workspace_id": workspace_id, "tenant": tenant},
        )
        return [(row["flow_id"], row["role"], row["connector"]) for row in rows]

    async def read_settings(self, connection: Connection, connection_id: UUID) -> Linked | None:
        """
        Read one connection and hold the row with its settings until the transaction ends: what is written then undoes nobody's change.
        """
        await connection.execute(f"select from connection where id = {_ORIGIN} for update", {"id": connection_id})
        return await self.read(connection, connection_id)

    async def save_disconnected(self, connection: Connection, connection_id: UUID, *, disconnected: bool) -> None:
        """
        Note whether the account of a connection refuses its settings; of a symlink, that of where they are.
        """
        await connection.execute(
            f"""
            update connection set disconnected = %(disconnected)s, updated_at = now()
            where id = {_ORIGIN} and disconnected <> %(disconnected)s
            """,
            {"id": connection_id, "disconnected": disconnected},
        )

    async def save_config(self, connection: Connection, connection_id: UUID, config: Mapping[str, Any]) -> None:
        """
        Keep settings that a connector has rewritten, such as a rotated token; a symlink's go to where they came from.
        """
        found = await (await connection.execute(f"select {_ORIGIN} as id", {"id": connection_id})).fetchone()
        assert found is not None  # noqa: S101 - a select without from has one row
        await connection.execute(
            "update connection set config = %(config)s, updated_at = now() where id = %(id)s",
            {"id": found["id"], "config": self._sealer.seal(dict(config), _place(found["id"]))},
        )

    async def connected(self, connection: Connection, connection_id: UUID) -> None:
        """
        Let a connection count as connected: its owner has given consent.
        """
        await connection.execute(
            "update connection set disconnected = false, reconnecting = false, generation = generation + 1, updated_at = now() where id = %(id)s",
            {"id": connection_id},
        )

    async def save_reconnecting(self, connection: Connection, connection_id: UUID, reconnecting: bool) -> None:
        """
        Keep whether its owner is being asked for consent anew.
        """
        await connection.execute(
            "update connection set reconnecting = %(reconnecting)s, updated_at = now() where id = %(id)s",
            {"id": connection_id, "reconnecting": reconnecting},
        )

    async def save_catalog(self, connection: Connection, connection_id: UUID, catalog: Mapping[str, Any]) -> None:
        await connection.execute(
            f"update connection set catalog = %(catalog)s, updated_at = now() where id = {_ORIGIN}",
            {"id": connection_id, "catalog": Jsonb(dict(catalog))},
        )

    async def save_field_map(
        self, connection: Connection, connection_id: UUID, field_map: Mapping[str, Any] | None
    ) -> None:
        """
        Keep which streams and fields to read; None reads what the tap selects by itself.
        """
        await connection.execute(
            "update connection set field_map = %(field_map)s, updated_at = now() where id = %(id)s",
            {"id": connection_id, "field_map": Jsonb(dict(field_map)) if field_map is not None else None},
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
        symlink = Symlink(**row["symlink"]) if row["symlink"] else None
        dangling = symlink is not None and row["origin_id"] is None
        side = "origin_" if symlink else ""
        sealed, sealed_for = row[f"{side}config"], row[f"{side}id"]
        return Linked(
            id=row["id"], workspace_id=row["workspace_id"], flow_id=row["flow_id"], tenant=row["tenant_id"],
            role=row["role"], connector=row["connector"],
            config=self._sealer.open(sealed, _place(sealed_for)) if sealed is not None else {},
            catalog=row[f"{side}catalog"], field_map=row["field_map"], bookmark=row["bookmark"],
            disconnected=row["disconnected"] or bool(row["origin_disconnected"]) or dangling, reconnecting=row["reconnecting"],
            symlink=symlink, dangling=dangling,
            generation=row["generation"] + (row["origin_generation"] or 0), created_at=row["created_at"], updated_at=row["updated_at"],
        )  # fmt: skip


def _place(connection_id: UUID) -> str:
    return f"connection:{connection_id}"
