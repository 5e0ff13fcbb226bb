"""
Schedules, and the instants they have met.

Time comes from the database where it decides anything, so that all nodes go by one clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.rows import DictRow

from headrace.store.database import Connection, Database
from headrace.store.sealing import Sealer

FiringOutcome = Literal["submitted", "skipped", "missed", "failed"]


@dataclass(frozen=True, slots=True)
class SchedulePlace:
    """
    What a schedule is for; no two share one.

    Attributes:
        connector: empty for the definition as a whole.
    """

    workspace_id: UUID
    tenant: str
    dialect: str
    definition: str
    connector: str = ""

    @property
    def parameters(self) -> dict[str, Any]:
        return {
            "workspace_id": self.workspace_id,
            "tenant": self.tenant,
            "dialect": self.dialect,
            "definition": self.definition,
            "connector": self.connector,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """
    Attributes:
        options: what its jobs are asked with, in the dialect's words; secrets may be among them.
        anchor_at: from which rates count.
        next_at: None when it is disabled or never comes again.
    """

    id: UUID
    place: SchedulePlace
    expression: str
    enabled: bool
    options: dict[str, Any]
    anchor_at: datetime
    next_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """
    One instant that a schedule has met.

    Attributes:
        missed: instants before it that nobody was there for, itself included when it was missed.
    """

    instant: datetime
    outcome: FiringOutcome
    reason: str
    missed: int
    job_id: UUID | None
    fired_at: datetime


_HERE = """
    workspace_id = %(workspace_id)s and dialect = %(dialect)s and definition = %(definition)s and tenant_id = %(tenant)s
    and connector = %(connector)s
"""


class Schedules:
    """
    The tables `schedule` and `schedule_firing`.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def lock(self, connection: Connection, id: UUID, place: SchedulePlace, *, now: datetime) -> Schedule | None:  # noqa: A002 - the column's name
        """
        Hold the place of a schedule until the transaction ends; gives the one that is there, None for a new, disabled one of *id*.
        """
        row = await (
            await connection.execute(
                """
                insert into schedule (id, workspace_id, dialect, definition, tenant_id, connector, expression, enabled, anchor_at)
                values (%(id)s, %(workspace_id)s, %(dialect)s, %(definition)s, %(tenant)s, %(connector)s, '', false, %(now)s)
                on conflict (workspace_id, dialect, definition, tenant_id, connector) do update set updated_at = now()
                returning *
                """,
                {"id": id, "now": now, **place.parameters},
            )
        ).fetchone()
        assert row is not None  # noqa: S101 - an upsert returns its row
        return None if row["expression"] == "" else self._schedule(row)

    async def save(self, connection: Connection, schedule: Schedule) -> None:
        """
        Write a schedule whose place is held.
        """
        await connection.execute(
            """
            update schedule set expression = %(expression)s, enabled = %(enabled)s, options = %(options)s,
              anchor_at = %(anchor_at)s, next_at = %(next_at)s, updated_at = now()
            where id = %(id)s
            """,
            {
                "id": schedule.id,
                "expression": schedule.expression,
                "enabled": schedule.enabled,
                "options": self._sealer.seal(schedule.options, _place(schedule.id)) if schedule.options else None,
                "anchor_at": schedule.anchor_at,
                "next_at": schedule.next_at,
            },
        )

    async def find(self, place: SchedulePlace) -> Schedule | None:
        row = await self._database.one(f"select * from schedule where {_HERE}", place.parameters)
        return self._schedule(row) if row else None

    async def of_tenant(self, workspace_id: UUID, tenant: str, *, dialect: str, definition: str) -> list[Schedule]:
        """
        List a tenant's schedules of one definition, that of the whole definition first.
        """
        rows = await self._database.all(
            """
            select * from schedule where workspace_id = %(workspace_id)s and tenant_id = %(tenant)s and dialect = %(dialect)s
              and definition = %(definition)s order by connector
            """,
            {"workspace_id": workspace_id, "tenant": tenant, "dialect": dialect, "definition": definition},
        )
        return [self._schedule(row) for row in rows]

    async def of_workspace(self, workspace_id: UUID) -> list[Schedule]:
        """
        List the schedules of a workspace, by definition, tenant and connector.
        """
        query = """
            select * from schedule where workspace_id = %(workspace_id)s and expression <> ''
            order by dialect, definition, tenant_id, connector
        """
        return [self._schedule(row) for row in await self._database.all(query, {"workspace_id": workspace_id})]

    async def delete(self, place: SchedulePlace) -> bool:
        """
        Forget a schedule with its history; tells whether there was one.
        """
        return bool(await self._database.run(f"delete from schedule where {_HERE}", place.parameters))

    async def lock_due(self, connection: Connection, *, now: datetime | None) -> tuple[Schedule | None, datetime]:
        """
        Hold the schedule that has been due for longest, of those that no other node holds; gives it, or None, and the time it is.

        With *now* None, the time is the database's.
        """
        row = await (
            await connection.execute(
                """
                with due as (
                  select * from schedule where next_at <= coalesce(%(now)s::timestamptz, now())
                  order by next_at, id limit 1 for update skip locked
                )
                select due.*, clock.looked_at
                from (select coalesce(%(now)s::timestamptz, now()) as looked_at) clock left join due on true
                """,
                {"now": now},
            )
        ).fetchone()
        assert row is not None  # noqa: S101 - a left join keeps the clock
        return self._schedule(row) if row["id"] else None, row["looked_at"]

    async def meet(self, connection: Connection, schedule_id: UUID, instant: datetime) -> bool:
        """
        Note that a schedule has met an instant; False when it has met it before.
        """
        found = await connection.execute(
            """
            insert into schedule_firing (schedule_id, instant, outcome) values (%(schedule_id)s, %(instant)s, 'submitted')
            on conflict do nothing
            """,
            {"schedule_id": schedule_id, "instant": instant},
        )
        return bool(found.rowcount)

    async def note(
        self,
        connection: Connection,
        schedule_id: UUID,
        instant: datetime,
        outcome: FiringOutcome,
        *,
        reason: str,
        missed: int,
        job_id: UUID | None,
    ) -> None:
        """
        Write what became of an instant that was met.
        """
        await connection.execute(
            """
            update schedule_firing set outcome = %(outcome)s, reason = %(reason)s, missed = %(missed)s, job_id = %(job_id)s
            where schedule_id = %(schedule_id)s and instant = %(instant)s
            """,
            {
                "schedule_id": schedule_id,
                "instant": instant,
                "outcome": outcome,
                "reason": reason,
                "missed": missed,
                "job_id": job_id,
            },
        )

    async def advance(self, connection: Connection, schedule_id: UUID, next_at: datetime | None) -> None:
        await connection.execute(
            "update schedule set next_at = %(next_at)s where id = %(id)s", {"id": schedule_id, "next_at": next_at}
        )

    async def firings(self, workspace_id: UUID, tenant: str, schedule_id: UUID, *, limit: int) -> list[Firing]:
        """
        List the instants that a tenant's schedule has met, newest first.
        """
        rows = await self._database.all(
            """
            select f.instant, f.outcome, f.reason, f.missed, f.job_id, f.fired_at
            from schedule_firing f join schedule s on s.id = f.schedule_id
            where s.workspace_id = %(workspace_id)s and s.tenant_id = %(tenant)s and s.id = %(schedule_id)s
            order by f.instant desc limit %(limit)s
            """,
            {"workspace_id": workspace_id, "tenant": tenant, "schedule_id": schedule_id, "limit": limit},
        )
        return [Firing(**row) for row in rows]

    async def forget_firings(self, *, older_than_days: int) -> int:
        """
        Delete the history of long ago, for the engine; the newest instant of each schedule stays.
        """
        return await self._database.run(
            """
            delete from schedule_firing f where f.fired_at < now() - make_interval(days => %(days)s)
              and exists (select from schedule_firing later where later.schedule_id = f.schedule_id and later.instant > f.instant)
            """,
            {"days": older_than_days},
        )

    def _schedule(self, row: DictRow) -> Schedule:
        place = SchedulePlace(
            row["workspace_id"], row["tenant_id"], row["dialect"], row["definition"], row["connector"]
        )
        sealed = row["options"]
        return Schedule(
            id=row["id"],
            place=place,
            expression=row["expression"],
            enabled=row["enabled"],
            options=self._sealer.open(sealed, _place(row["id"])) if sealed is not None else {},
            anchor_at=row["anchor_at"],
            next_at=row["next_at"],
        )


def _place(schedule_id: UUID) -> str:
    return f"schedule:{schedule_id}"
