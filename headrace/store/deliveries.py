"""
The outbox: payloads owed to others, written with the change that they tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from headrace.store.database import Connection, Database, statement


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """
    One payload owed.

    Attributes:
        id: stays the same over all tries; receivers use it to recognise repeats.
        sink: name of the endpoint; one job's deliveries to one sink go one after the other.
        body: the exact bytes that are signed and sent.
        ordered: whether it waits for earlier payloads of its job and sink.
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
    ordered: bool = True


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
        insert into delivery (id, workspace_id, tenant_id, job_id, event_id, sink, topic, url, body, ordered)
        values (%(id)s, %(workspace_id)s, %(tenant)s, %(job_id)s, %(event_id)s, %(sink)s, %(topic)s, %(url)s, %(body)s,
                %(ordered)s)
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

    async def take_due(
        self, *, limit: int, lease: timedelta, per_host: int = 1_000_000, busy: Mapping[str, int] | None = None
    ) -> list[Delivery]:
        """
        Take at most *limit* payloads that are due, for *lease*; hosts take turns, and one with much owed holds up no other.

        Of one job and sink only the oldest that is owed can be taken: it has to end before the next is looked at.

        Args:
            limit: at most so many.
            lease: whoever took them has so long to settle them; then they are due again.
            per_host: at most so many of one host.
            busy: what the caller has under way already, by host as `host_of` names it; counts against *per_host*.
        """
        rows = await self._database.all(
            statement("take_due"),
            {"limit": limit, "lease": lease, "per_host": per_host, "busy": Jsonb(dict(busy or {}))},
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

        Writes nothing when the lease was lost and another try has begun since.
        """
        await self._database.run(
            statement("settle_delivery"),
            {"id": delivery.id, "attempts": delivery.attempts, "state": state, "status": status, "error": error,
             "retry_after": retry_after},
        )  # fmt: skip

    async def seconds_to_next(self) -> float | None:
        """
        Tell how long nothing can be taken; None when nothing is owed but what is under way.
        """
        row = await self._database.one(
            """
            select extract(epoch from d.due_at - now())::float as seconds from delivery d
            where d.state = 'pending' and (d.locked_until is null or d.locked_until < now())
              and not (d.ordered and exists (
                select from delivery earlier where earlier.state = 'pending' and earlier.ordered and earlier.job_id = d.job_id
                  and earlier.sink = d.sink and earlier.seq < d.seq))
            order by d.due_at limit 1
            """
        )
        return max(0.0, row["seconds"]) if row else None

    async def of_workspace(
        self, workspace_id: UUID, *, job_id: UUID | None = None, state: str | None = None, limit: int = 100
    ) -> list[Delivery]:
        rows = await self._database.all(
            f"""
            select {_COLUMNS} from delivery where workspace_id = %(workspace_id)s
              and (%(job_id)s::uuid is null or job_id = %(job_id)s) and (%(state)s::text is null or state = %(state)s)
            order by seq desc limit %(limit)s
            """,
            {"workspace_id": workspace_id, "job_id": job_id, "state": state, "limit": limit},
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


def host_of(url: str) -> str:
    """
    Name the host and port of a URL as `take_due` counts them.
    """
    found = re.match(r"[^:]+://([^/?#]*)", url)
    return found[1].lower() if found else ""


def facts(delivery: Delivery) -> dict[str, Any]:
    """
    Show a delivery without its body.
    """
    return {name: getattr(delivery, name) for name in Delivery.__dataclass_fields__ if name != "body"}
