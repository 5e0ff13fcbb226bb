"""
An outbox to put payloads into, and dispatchers for it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from headrace.deliveries.dispatcher import Dispatcher
from headrace.store.database import Database
from headrace.store.deliveries import Deliveries, Delivery, NewDelivery, owe


@dataclass
class Outbox:
    """
    What is owed, by whom and for which job.
    """

    database: Database
    workspace_id: UUID
    deliveries: Deliveries
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def add_job(self) -> UUID:
        job_id, number = uuid4(), next(self._numbers)
        await self.database.run(
            """
            insert into job (id, workspace_id, tenant_id, dialect, definition, public_id, root, name, state, trigger)
            values (%(id)s, %(workspace_id)s, 'acme', 'hotglue', 'flights', %(name)s, %(name)s, %(name)s, 'waiting', 'api')
            """,
            {"id": job_id, "workspace_id": self.workspace_id, "name": f"job-{number}"},
        )
        return job_id

    async def owe(self, url: str, *, job_id: UUID | None = None, body: bytes = b'{"a":"\xc3\xa9"}') -> UUID:
        delivery_id = uuid4()
        async with self.database.transaction() as connection:
            await owe(
                connection,
                NewDelivery(
                    id=delivery_id,
                    workspace_id=self.workspace_id,
                    tenant="acme",
                    job_id=job_id,
                    event_id=None,
                    sink=f"webhook:{url}",
                    topic="SYNC_STARTED",
                    url=url,
                    body=body,
                ),
            )
        return delivery_id

    async def make_due(self) -> None:
        """
        Let the time of every pause pass.
        """
        await self.database.run("update delivery set due_at = now() where state = 'pending'")

    async def lose_leases(self) -> None:
        await self.database.run("update delivery set locked_until = now() - interval '1 second'")

    async def read(self, delivery_id: UUID) -> Delivery:
        found = await self.deliveries.of_workspace(self.workspace_id)
        return next(one for one in found if one.id == delivery_id)

    async def pause_of(self, delivery_id: UUID) -> timedelta:
        delivery = await self.read(delivery_id)
        return delivery.due_at - datetime.now(UTC)


def make_dispatcher(outbox: Outbox, sender: Any, *, secrets: str = "", **options: Any) -> Dispatcher:
    async def secrets_of(_workspace_id: UUID, _url: str) -> str:
        return secrets

    given: dict[str, Any] = {"chance": lambda: 0.5, "poll_seconds": 0.05, **options}
    return Dispatcher(outbox.deliveries, given.pop("secrets_of", secrets_of), sender, **given)
