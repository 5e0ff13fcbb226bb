"""
What tenants hold for the plans of their jobs: outlines of their connections, and their metadata.

Settings, catalogs and bookmarks may be megabytes; a plan needs none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from headrace.store.connections import Role
from headrace.store.database import Connection, statement

TenantOfFlow = tuple[UUID, str, str]  # workspace, flow, tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOutline:
    """
    What a plan has to know of a connection; all else is read when the job begins. See `connections.Linked` for the fields both share.

    Attributes:
        bookmarked: a job has left a bookmark.
    """

    id: UUID
    role: Role
    connector: str
    bookmarked: bool = False
    dangling: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """
    What the store keeps of a tenant for a plan.

    Attributes:
        links: oldest first.
        metadata: facts about the tenant; None when nobody gave any.
    """

    links: tuple[LinkOutline, ...] = ()
    metadata: dict[str, Any] | None = None


_decode_held = msgspec.json.Decoder(Held).decode


async def held_by_tenants(connection: Connection, tenants: Sequence[TenantOfFlow]) -> dict[TenantOfFlow, Held]:
    """
    Read what each of several tenants holds for a plan of a flow; there is an answer for each.
    """
    asked = [
        {"workspace_id": workspace_id, "flow_id": flow_id, "tenant_id": tenant}
        for workspace_id, flow_id, tenant in tenants
    ]
    rows = await (await connection.execute(statement("held_by_tenants"), {"asked": Jsonb(asked)})).fetchall()
    return {(row["workspace_id"], row["flow_id"], row["tenant_id"]): _decode_held(row["held"]) for row in rows}
