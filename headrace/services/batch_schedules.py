"""
Keeping the schedules of batches in step with what the batches say.

A batch is written first, its schedule after it. Whoever dies in between leaves a batch that is newer than its schedule; `tick` finds those.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import structlog

from headrace.core.batch import Batch
from headrace.core.errors import InvalidError, NotFoundError
from headrace.core.schedule import next_after, parse
from headrace.services.batches import Batches
from headrace.services.schedules import SchedulePlace, Schedules
from headrace.store.batch_schedules import BatchName
from headrace.store.batch_schedules import BatchSchedule as BatchSchedule  # what `of_project` gives
from headrace.store.batch_schedules import BatchSchedules as Table

log = structlog.get_logger(__name__)

_TRIES = 5


class BatchSchedules:
    """
    Args:
        expression: reads a batch's schedule, as `core.schedule` writes it; None when it has none.
        dialect: of the batches.
        now: gives the time.
    """

    def __init__(
        self,
        table: Table,
        batches: Batches,
        schedules: Schedules,
        *,
        expression: Callable[[Batch], str | None],
        dialect: str,
        now: Callable[[], datetime],
    ) -> None:
        self._table = table
        self._batches = batches
        self._schedules = schedules
        self._expression = expression
        self._dialect = dialect
        self._now = now

    async def keep(self, workspace_id: UUID, project: str, name: str) -> None:
        """
        Let the schedule of a batch be what the batch says now, and be none when the batch is gone or never comes.
        """
        place = self._place(workspace_id, project, name)
        for _ in range(_TRIES):
            before = await self._read(place)
            await self._set(place, before)
            after = await self._read(place)
            # Whoever changed the batch meanwhile may have set the schedule before us.
            if _version(before) == _version(after):
                return

    async def next_time(self, batch: Batch) -> datetime | None:
        """
        Say when a batch comes next; None when it does not.
        """
        found = await self._schedules.find(self._place(batch.workspace_id, batch.project, batch.name))
        return found.next_at if found else None

    async def of_project(self, workspace_id: UUID, project: str) -> dict[str, BatchSchedule]:
        """
        Give the schedules of a project's batches, by the batch's name; those without one are left out.
        """
        return await self._table.of_project(workspace_id, project)

    async def tick(self) -> int:
        """
        Set right what a crash or an upgrade has left out of step; gives how many batches that were.
        """
        await self._table.forget_strays()
        found: list[BatchName] = await self._table.out_of_step()
        for each in found:
            await self.keep(each.workspace_id, each.project, each.name)
        return len(found)

    async def _set(self, place: SchedulePlace, batch: Batch | None) -> None:
        expression, now = self._expression(batch) if batch else None, self._now()
        if batch is None or expression is None or not _comes(expression, now, batch):
            await self._forget(place)
            return
        enabled = not batch.paused
        found = await self._schedules.find(place)
        # An instant that is due and not met yet would be lost by setting the same once more.
        same = found is not None and (found.expression, found.enabled) == (expression, enabled)
        await self._schedules.put(place, now=now, expression=expression, enabled=enabled, only_new=same)

    async def _forget(self, place: SchedulePlace) -> None:
        try:
            await self._schedules.delete(place)
        except NotFoundError:
            return  # it had none

    async def _read(self, place: SchedulePlace) -> Batch | None:
        try:
            return await self._batches.get(place.workspace_id, place.tenant, place.definition)
        except NotFoundError:
            return None

    def _place(self, workspace_id: UUID, project: str, name: str) -> SchedulePlace:
        return SchedulePlace(workspace_id, project, self._dialect, name)


def _comes(expression: str, now: datetime, batch: Batch) -> bool:
    """
    Say whether there is an instant ahead. One that was stored before schedules were checked may be wrong, and never comes.
    """
    try:
        return next_after(parse(expression), now, anchor=now) is not None
    except InvalidError as error:
        log.warning("schedule of a batch is wrong", batch=str(batch.id), name=batch.name, reason=str(error))
        return False


def _version(batch: Batch | None) -> tuple[UUID, datetime] | None:
    return (batch.id, batch.updated_at) if batch else None
