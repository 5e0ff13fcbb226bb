"""
The outbox: payloads owed to others, written with the change that they tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from headrace.store.database import Connection, Database


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """
    One payload owed.

    Attributes:
        id: stays the same over all tries; receivers use it to recognise repeats.
        sink: name of the endpoint; one job's deliveries to one sink go one after the other.
        body: the exact bytes that are signed and sent.
    """

    id: UUID
    workspace_id: UUID
    tenant: str
    job_id: UUID | None
    event_id: int | None
    sink: str
    topic: str
    url: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A payload owed, as the dispatcher and the history see it."""

    id: UUID
    workspace_id: UUID
    tenant_id: str
    job_id: UUID | None
    sink: str
    topic: str
    url: str
    body: bytes
    state: str
    attempts: int
    due_at: datetime
    last_status: int | None
    last_error: str | None
    created_at: datetime
    finished_at: datetime | None


async def owe(connection: Connection, delivery: NewDelivery) -> None:
    """
    Write a payload owed, in the transaction of the change that it tells.
    """
    await connection.execute(
        """
        insert into delivery (id, workspace_id, tenant_id, job_id, event_id, sink, topic, url, body)
        values (%(id)s, %(workspace_id)s, %(tenant)s, %(job_id)s, %(event_id)s, %(sink)s, %(topic)s, %(url)s, %(body)s)
        """,
        {name: getattr(delivery, name) for name in NewDelivery.__dataclass_fields__},
    )


_COLUMNS = """id, workspace_id, tenant_id, job_id, sink, topic, url, body, state, attempts, due_at, last_status,
              last_error, created_at, finished_at"""


class Deliveries:
    """
    The table `delivery`, for the dispatcher and for the history.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take_due(self, *, limit: int, lease: timedelta) -> list[Delivery]:
        """
        Take at most *limit* payloads that are due, for *lease*; of one job and sink only the oldest that is owed.
        """
        rows = await self._database.all(
            f"""
            with due as (
              select d.id from delivery d
              where d.state = 'pending' and d.due_at <= now() and (d.locked_until is null or d.locked_until < now())
                and not exists (select from delivery earlier where earlier.state = 'pending' and earlier.job_id = d.job_id
                                and earlier.sink = d.sink and earlier.seq < d.seq)
              order by d.due_at, d.seq limit %(limit)s for update of d skip locked
            )
            update delivery set locked_until = now() + %(lease)s, attempts = attempts + 1
            from due where delivery.id = due.id
            returning {", ".join("delivery." + name.strip() for name in _COLUMNS.split(","))}
            """,
            {"limit": limit, "lease": lease},
        )
        return [Delivery(**row) for row in rows]

    async def settle(
        self,
        delivery: Delivery,
        *,
        state: str,
        status: int | None,
        error: str | None,
        retry_after: timedelta | None = None,
    ) -> None:
        """
        Write how one try ended: `delivered`, `failed` for good, or `pending` again after *retry_after*.
        """
        await self._database.run(
            """
            update delivery set state = %(state)s, last_status = %(status)s, last_error = %(error)s, locked_until = null,
              due_at = now() + coalesce(%(retry_after)s, interval '0'),
              finished_at = case when %(state)s = 'pending' then null else now() end
            where id = %(id)s and attempts = %(attempts)s and state = 'pending'
            """,
            {"id": delivery.id, "attempts": delivery.attempts, "state": state, "status": status, "error": error,
             "retry_after": retry_after},
        )  # fmt: skip

    async def seconds_to_next(self) -> float | None:
        """
        Tell how long nothing will be due; None when nothing is owed.
        """
        row = await self._database.one(
            """
            select extract(epoch from min(greatest(due_at, coalesce(locked_until, due_at))) - now())::float as seconds
            from delivery where state = 'pending'
            """
        )
        return max(0.0, row["seconds"]) if row and row["seconds"] is not None else None

    async def of_workspace(self, workspace_id: UUID, *, job_id: UUID | None = None, limit: int = 100) -> list[Delivery]:
        rows = await self._database.all(
            f"""
            select {_COLUMNS} from delivery where workspace_id = %(workspace_id)s
              and (%(job_id)s::uuid is null or job_id = %(job_id)s)
            order by seq desc limit %(limit)s
            """,
            {"workspace_id": workspace_id, "job_id": job_id, "limit": limit},
        )
        return [Delivery(**row) for row in rows]

    async def redeliver(self, workspace_id: UUID, delivery_id: UUID) -> bool:
        """
        Owe a payload once more, under the same id.
        """
        return bool(
            await self._database.run(
                """
                update delivery set state = 'pending', due_at = now(), attempts = 0, finished_at = null, locked_until = null
                where id = %(id)s and workspace_id = %(workspace_id)s
                """,
                {"id": delivery_id, "workspace_id": workspace_id},
            )
        )


def facts(delivery: Delivery) -> dict[str, Any]:
    """
    Show a delivery without its body.
    """
    return {name: getattr(delivery, name) for name in Delivery.__dataclass_fields__ if name != "body"}
