"""
Workspaces and the keys that open them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from headrace.store.database import Connection, Database


@dataclass(frozen=True, slots=True)
class Workspace:
    """
    Attributes:
        definition: variables, webhooks and settings as JSON; secrets in it are sealed.
    """

    id: UUID
    name: str
    definition: dict[str, Any]


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """
    What is known of an API key; the key itself is known only to whom it was given.

    Attributes:
        workspace_id: None opens every workspace.
        hint: its first characters, to tell keys apart.
    """

    id: UUID
    workspace_id: UUID | None
    name: str
    role: str
    hint: str
    created_at: datetime
    revoked_at: datetime | None


def digest_of(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


class Workspaces:
    """
    The tables `workspace` and `api_key`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def declare(self, id: UUID, name: str, definition: dict[str, Any]) -> Workspace:  # noqa: A002 - the column's name
        """
        Make a workspace or replace its definition.
        """
        row = await self._database.one(
            """
            insert into workspace (id, name, definition) values (%(id)s, %(name)s, %(definition)s)
            on conflict (name) do update set definition = excluded.definition returning id, name, definition
            """,
            {"id": id, "name": name, "definition": Jsonb(definition)},
        )
        assert row is not None  # noqa: S101 - an upsert returns its row
        return Workspace(**row)

    async def all(self) -> list[Workspace]:
        rows = await self._database.all(
            "select id, name, definition from workspace where deleted_at is null order by name"
        )
        return [Workspace(**row) for row in rows]

    async def find(self, id_or_name: str) -> Workspace | None:
        row = await self._database.one(
            """
            select id, name, definition from workspace
            where (name = %(name)s or id::text = %(name)s) and deleted_at is null
            """,
            {"name": id_or_name},
        )
        return Workspace(**row) if row else None

    async def read(self, connection: Connection, workspace_id: UUID) -> Workspace | None:
        """
        Read a workspace over a connection that the caller has already.
        """
        query = "select id, name, definition from workspace where id = %(id)s"
        row = await (await connection.execute(query, {"id": workspace_id})).fetchone()
        return Workspace(**row) if row else None

    async def add_key(self, id: UUID, *, workspace_id: UUID | None, name: str, role: str, key: str) -> bool:  # noqa: A002 - the column's name
        """
        Let *key* in; False when it is known already.
        """
        return bool(
            await self._database.run(
                """
                insert into api_key (id, workspace_id, name, role, digest, hint)
                values (%(id)s, %(workspace_id)s, %(name)s, %(role)s, %(digest)s, %(hint)s) on conflict (digest) do nothing
                """,
                {"id": id, "workspace_id": workspace_id, "name": name, "role": role, "digest": digest_of(key),
                 "hint": key[:6] if len(key) >= 20 else ""},
            )
        )  # fmt: skip

    async def find_key(self, key: str) -> KeyRecord | None:
        """
        Give what is known of *key*; None when it is not known or was revoked.
        """
        row = await self._database.one(
            "select * from api_key where digest = %(digest)s and revoked_at is null", {"digest": digest_of(key)}
        )
        return _key_of(row) if row else None

    async def keys(self) -> list[KeyRecord]:
        rows = await self._database.all("select * from api_key order by created_at")
        return [_key_of(row) for row in rows]

    async def revoke_key(self, key_id: UUID) -> bool:
        return bool(
            await self._database.run(
                "update api_key set revoked_at = now() where id = %(id)s and revoked_at is null", {"id": key_id}
            )
        )


def _key_of(row: dict[str, Any]) -> KeyRecord:
    return KeyRecord(
        row["id"], row["workspace_id"], row["name"], row["role"], row["hint"], row["created_at"], row["revoked_at"]
    )
