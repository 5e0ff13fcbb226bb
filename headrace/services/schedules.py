"""
Schedules: setting them, and turning the instants they meet into jobs.

An instant becomes a job once, whatever dies when. The schedule's row is held while its job is submitted under an idempotency key that names the
instant: a node that dies before it has written down that the instant was met leaves the row to another, whose submit finds the job.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from headrace.core.errors import (
    ActiveJobError,
    BackpressureError,
    ConflictError,
    HeadraceError,
    InvalidError,
    NotFoundError,
    RetriableError,
)
from headrace.core.schedule import Misfire, Verdict, decide, next_after, parse
from headrace.store.database import Connection, Database
from headrace.store.schedules import Firing as Firing  # dialects name these three too, and may not ask the store
from headrace.store.schedules import FiringOutcome
from headrace.store.schedules import Schedule as Schedule
from headrace.store.schedules import SchedulePlace as SchedulePlace
from headrace.store.schedules import Schedules as ScheduleStore

log = structlog.get_logger(__name__)

DEFAULT_GRACE: Final = timedelta(minutes=5)
_FIRINGS_SHOWN = 20
_HISTORY_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """
    A job that a schedule asks for.

    Attributes:
        idempotency_key: names the schedule and the instant.
    """

    schedule: Schedule
    instant: datetime
    idempotency_key: str


Submit = Callable[[Call], Awaitable[UUID]]
"""A dialect's way to make a job of a call; gives the job's id, raises what `Jobs.submit` raises."""


class Schedules:
    """
    Args:
        submit: by dialect.
        misfire: what becomes of an instant that is older than *grace* when somebody looks: see `core.schedule.decide`.
        new_id: makes a UUID.
    """

    def __init__(
        self,
        database: Database,
        schedules: ScheduleStore,
        *,
        submit: Mapping[str, Submit],
        new_id: Callable[[], UUID],
        misfire: Misfire = "skip",
        grace: timedelta = DEFAULT_GRACE,
    ) -> None:
        self._database = database
        self._schedules = schedules
        self._submit = submit
        self._new_id = new_id
        self._misfire = misfire
        self._grace = grace
        self._looked_at: datetime | None = None
        self._present_since: datetime | None = None

    async def put(
        self,
        place: SchedulePlace,
        *,
        now: datetime,
        expression: str | None = None,
        enabled: bool = True,
        options: Mapping[str, Any] | None = None,
        only_new: bool = False,
    ) -> Schedule:
        """
        Set a schedule, or change the one that is there; with *only_new*, one that is there stays as it is.

        None leaves expression or options as they are. An unchanged expression keeps its beat.

        Raises:
            InvalidError: there is no expression, it has none of the known forms, or never comes.
        """
        async with self._database.transaction() as connection:
            new_id = self._new_id()
            before = await self._schedules.lock(connection, new_id, place, now=now)
            if before is not None and only_new:
                return before
            base = before or Schedule(
                id=new_id, place=place, expression="", enabled=False, options={}, anchor_at=now, next_at=None
            )
            schedule = _changed(base, expression, enabled=enabled, options=options, now=now)
            await self._schedules.save(connection, schedule)
        return schedule

    async def find(self, place: SchedulePlace) -> Schedule | None:
        return await self._schedules.find(place)

    async def of_tenant(self, workspace_id: UUID, tenant: str, *, dialect: str, definition: str) -> list[Schedule]:
        """
        List a tenant's schedules of one definition, that of the whole definition first.
        """
        return await self._schedules.of_tenant(workspace_id, tenant, dialect=dialect, definition=definition)

    async def of_workspace(self, workspace_id: UUID) -> list[Schedule]:
        """
        List the schedules of a workspace, of whatever dialect.
        """
        return await self._schedules.of_workspace(workspace_id)

    async def firings(self, schedule: Schedule, *, limit: int = _FIRINGS_SHOWN) -> list[Firing]:
        """
        List the instants that a schedule has met, newest first.
        """
        place = schedule.place
        return await self._schedules.firings(place.workspace_id, place.tenant, schedule.id, limit=limit)

    async def delete(self, place: SchedulePlace) -> None:
        """
        Raises:
            NotFoundError: there is none.
        """
        if not await self._schedules.delete(place):
            raise NotFoundError("There is no schedule here.", "Set one with a PUT.")

    async def fire_next(self, *, now: datetime | None = None) -> bool:
        """
        Deal with one schedule that is due; False when there is none that no other node holds.

        With *now* None, the time is the database's: all nodes go by one clock.

        Raises:
            StoreUnavailableError: nothing was written; the instant is met again.
        """
        async with self._database.transaction() as connection:
            schedule, looked_at = await self._schedules.lock_due(connection, now=now)
            present_since = self.looked(looked_at)
            if schedule is None:
                return False
            verdict = self._decide(schedule, looked_at, present_since)
            await self._meet(connection, schedule, verdict)
            await self._schedules.advance(connection, schedule.id, verdict.next_at)
        return True

    async def forget_old(self) -> int:
        """
        Delete the history of schedules that is older than a month.
        """
        return await self._schedules.forget_firings(older_than_days=_HISTORY_DAYS)

    def looked(self, looked_at: datetime) -> datetime:
        """
        Note that somebody has looked for what is due; gives since when this node has done so without a gap: slowness is no absence.
        """
        last, self._looked_at = self._looked_at, looked_at
        if self._present_since is None or last is None or abs(looked_at - last) > self._grace:
            self._present_since = looked_at
        return self._present_since

    def _decide(self, schedule: Schedule, now: datetime, present_since: datetime) -> Verdict:
        assert schedule.next_at is not None  # noqa: S101 - it was found by it
        return decide(
            parse(schedule.expression),
            schedule.next_at,
            now,
            anchor=schedule.anchor_at,
            misfire=self._misfire,
            grace=self._grace,
            present_since=present_since,
        )

    async def _meet(self, connection: Connection, schedule: Schedule, verdict: Verdict) -> None:
        if not await self._schedules.meet(connection, schedule.id, verdict.instant):
            return  # met before the clock was set back
        outcome: FiringOutcome = "missed"
        reason, job_id = "Nobody was there in time.", None
        if verdict.fire:
            outcome, reason, job_id = await self._fire(schedule, verdict.instant)
        await self._schedules.note(
            connection, schedule.id, verdict.instant, outcome, reason=reason, missed=verdict.missed, job_id=job_id
        )
        if outcome != "submitted":
            facts = {"schedule": str(schedule.id), "instant": verdict.instant.isoformat(), "missed": verdict.missed}
            log.warning("schedule made no job", outcome=outcome, reason=reason, **facts)

    async def _fire(self, schedule: Schedule, instant: datetime) -> tuple[FiringOutcome, str, UUID | None]:
        call = Call(schedule=schedule, instant=instant, idempotency_key=f"schedule:{schedule.id}:{instant.isoformat()}")
        try:
            return "submitted", "", await self._submit[schedule.place.dialect](call)
        except (ActiveJobError, BackpressureError) as blocked:
            return "skipped", blocked.reason, None
        except ConflictError:
            # The key was used: a node that died had made the job, and the options were changed in between.
            return "submitted", "The job was made before the schedule was changed.", None
        except RetriableError:
            raise
        except HeadraceError as error:
            return "failed", str(error), None
        except Exception:  # one schedule that nobody planned for must not hold up the others
            log.exception("schedule failed", schedule=str(schedule.id))
            return "failed", "The server failed; its log says how.", None


def _changed(
    before: Schedule, expression: str | None, *, enabled: bool, options: Mapping[str, Any] | None, now: datetime
) -> Schedule:
    text = expression if expression is not None else before.expression
    if not text:
        raise InvalidError(
            "The schedule has no expression.", "Give one as `schedule_expression`.", field="schedule_expression"
        )
    anchor = before.anchor_at if text == before.expression else now
    following = next_after(parse(text), now, anchor=anchor)
    if following is None:
        raise InvalidError(f"The schedule `{text}` never comes.", "Give one that does.", field="schedule_expression")
    return replace(
        before,
        expression=text,
        enabled=enabled,
        options=dict(options) if options is not None else before.options,
        anchor_at=anchor,
        next_at=following if enabled else None,
    )
