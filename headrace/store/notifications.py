"""
What people are told, one row for each who is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from headrace.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """
    Attributes:
        kind: `JOB_STARTED`, `JOB_ENDED` or `PIPELINE_ACTIVITY`.
        body: what it is about, as plain JSON.
    """

    id: UUID
    workspace_id: UUID
    profile_id: str
    kind: str
    message: str
    body: dict[str, Any] = field(default_factory=dict)
    resolved: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Notifications:
    """
    The table `notification`; every read names whose they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, new: Notification) -> None:
        """
        Write a notification; one of an id that is there stays as it is.
        """
        await self._database.run(
            """
            insert into notification (id, workspace_id, profile_id, kind, message, body)
            values (%(id)s, %(workspace_id)s, %(profile_id)s, %(kind)s, %(message)s, %(body)s) on conflict do nothing
            """,
            {
                "id": new.id,
                "workspace_id": new.workspace_id,
                "profile_id": new.profile_id,
                "kind": new.kind,
                "message": new.message,
                "body": Jsonb(new.body),
            },
        )

    async def of_profile(
        self,
        profile_id: str,
        *,
        resolved_too: bool,
        workspace_id: UUID | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        limit: int = 200,
    ) -> list[Notification]:
        """
        List somebody's notifications, newest first.
        """
        rows = await self._database.all(
            """
            select * from notification where profile_id = %(profile_id)s and (%(all)s or not resolved)
              and (%(workspace_id)s::uuid is null or workspace_id = %(workspace_id)s)
              and (%(since)s::timestamptz is null or created_at >= %(since)s)
              and (%(before)s::timestamptz is null or created_at < %(before)s)
            order by created_at desc, id limit %(limit)s
            """,
            {
                "profile_id": profile_id,
                "all": resolved_too,
                "workspace_id": workspace_id,
                "since": since,
                "before": before,
                "limit": limit,
            },
        )
        return [Notification(**row) for row in rows]

    async def get(self, profile_id: str, notification_id: UUID) -> Notification | None:
        row = await self._database.one(
            "select * from notification where profile_id = %(profile_id)s and id = %(id)s",
            {"profile_id": profile_id, "id": notification_id},
        )
        return Notification(**row) if row else None

    async def resolve(self, profile_id: str, *, since: datetime | None) -> int:
        """
        Mark somebody's notifications as resolved; gives their number.
        """
        return await self._database.run(
            """
            update notification set resolved = true, updated_at = now()
            where profile_id = %(profile_id)s and not resolved
              and (%(since)s::timestamptz is null or created_at >= %(since)s)
            """,
            {"profile_id": profile_id, "since": since},
        )

    async def delete(self, profile_id: str, notification_id: UUID) -> bool:
        return bool(
            await self._database.run(
                "delete from notification where profile_id = %(profile_id)s and id = %(id)s",
                {"profile_id": profile_id, "id": notification_id},
            )
        )
