"""
Named things of a workspace that are read and written whole: pipelines, data components, datasets and their like.

What may be secret stands in `secret` and is sealed at rest; the rest is plain JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import sql
from psycopg.errors import UniqueViolation
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from headrace.core.errors import ConflictError
from headrace.store.database import Database
from headrace.store.sealing import Sealer

Kind = Literal[
    "pipeline", "component", "plugin", "dataset", "channel", "subscription", "profile", "apikey", "workspace"
]

# What a caller may sort by, and the column or value behind it; a name that is not here changes nothing.
_SORTS: Mapping[str, sql.SQL] = {
    "id": sql.SQL("id"),
    "name": sql.SQL("lower(name)"),
    "label": sql.SQL("lower(coalesce(body ->> 'label', name))"),
    "created": sql.SQL("created_at"),
    "lastModified": sql.SQL("updated_at"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """
    Attributes:
        workspace_id: None when it is not of one workspace.
        name: unique in its workspace and kind.
    """

    id: str
    kind: Kind
    name: str
    workspace_id: UUID | None
    body: dict[str, Any] = field(default_factory=dict)
    secret: dict[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Resources:
    """
    The table `resource`.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def get(self, kind: Kind, id: str) -> Resource | None:  # noqa: A002 - the column's name
        row = await self._database.one(
            "select * from resource where kind = %(kind)s and id = %(id)s", {"kind": kind, "id": id}
        )
        return self._resource(row) if row else None

    async def named(self, kind: Kind, workspace_id: UUID | None, name: str) -> Resource | None:
        row = await self._database.one(
            """
            select * from resource
            where kind = %(kind)s and workspace_id is not distinct from %(workspace_id)s and name = %(name)s
            """,
            {"kind": kind, "workspace_id": workspace_id, "name": name},
        )
        return self._resource(row) if row else None

    async def all(self, kind: Kind, workspace_id: UUID | None) -> list[Resource]:
        """
        List what a workspace has of a kind, by name.
        """
        rows = await self._database.all(
            """
            select * from resource where kind = %(kind)s and workspace_id is not distinct from %(workspace_id)s
            order by name
            """,
            {"kind": kind, "workspace_id": workspace_id},
        )
        return [self._resource(row) for row in rows]

    async def page(
        self,
        kind: Kind,
        workspace_id: UUID,
        *,
        offset: int,
        limit: int,
        sort: Sequence[tuple[str, bool]] = (),
        where: Mapping[str, Any] | None = None,
    ) -> tuple[list[Resource], int]:
        """
        List a part of what a workspace has of a kind, and count the whole; newest first unless *sort* says otherwise.

        *sort* has names of properties, each with whether it descends; *where* has values that the body has to hold.
        """
        orders = [
            sql.SQL("{} {}").format(_SORTS[name], sql.SQL("desc" if down else "asc"))
            for name, down in sort
            if name in _SORTS
        ]
        order = sql.SQL(", ").join([*orders, *([] if orders else [sql.SQL("created_at desc")]), sql.SQL("id")])
        query = sql.SQL(
            """
            select * from resource
            where kind = %(kind)s and workspace_id = %(workspace_id)s and body @> %(where)s
            order by {} offset %(offset)s limit %(limit)s
            """
        ).format(order)
        parameters = {
            "kind": kind, "workspace_id": workspace_id, "where": Jsonb(dict(where or {})), "offset": offset,
            "limit": limit,
        }  # fmt: skip
        async with self._database.connection() as connection:
            rows = await (await connection.execute(query, parameters)).fetchall()
            count = await (
                await connection.execute(
                    """
                    select count(*) as total from resource
                    where kind = %(kind)s and workspace_id = %(workspace_id)s and body @> %(where)s
                    """,
                    parameters,
                )
            ).fetchone()
        return [self._resource(row) for row in rows], int(count["total"]) if count else 0

    async def put(self, resource: Resource) -> tuple[Resource, bool]:
        """
        Write a resource under its id; tells whether it is new.

        Raises:
            ConflictError: the name belongs to another one, or the id to another workspace or kind.
        """
        parameters = {
            "id": resource.id, "workspace_id": resource.workspace_id, "kind": resource.kind, "name": resource.name,
            "body": Jsonb(resource.body),
            "sealed": self._sealer.seal(resource.secret, f"resource:{resource.id}") if resource.secret else None,
        }  # fmt: skip
        try:
            row = await self._database.one(
                """
                insert into resource as r (id, workspace_id, kind, name, body, sealed)
                values (%(id)s, %(workspace_id)s, %(kind)s, %(name)s, %(body)s, %(sealed)s)
                on conflict (id) do update set name = excluded.name, body = excluded.body, sealed = excluded.sealed,
                  updated_at = now()
                where r.kind = excluded.kind and r.workspace_id is not distinct from excluded.workspace_id
                returning *, xmax = 0 as new
                """,
                parameters,
            )
        except UniqueViolation as error:
            raise ConflictError(
                f"There is a {resource.kind} named {resource.name!r} already.", "Choose another name.", field="name"
            ) from error
        if row is None:
            raise ConflictError(f"The id {resource.id} belongs to something else.", "Choose another id.", field="id")
        return self._resource(row), bool(row["new"])

    async def delete(self, kind: Kind, id: str) -> bool:  # noqa: A002 - the column's name
        """
        Forget a resource; tells whether it was there.
        """
        return bool(
            await self._database.run(
                "delete from resource where kind = %(kind)s and id = %(id)s", {"kind": kind, "id": id}
            )
        )

    def _resource(self, row: DictRow) -> Resource:
        sealed = row["sealed"]
        return Resource(
            id=row["id"],
            kind=row["kind"],
            name=row["name"],
            workspace_id=row["workspace_id"],
            body=row["body"],
            secret=self._sealer.open(sealed, f"resource:{row['id']}") if sealed is not None else {},
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )
