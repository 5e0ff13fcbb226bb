"""
What batches and their schedules have to do with each other: two tables that are written one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.store.database import Database

# A schedule of a batch has the project as its tenant and the batch's name as its definition.
_PAIR = """
    s.workspace_id = b.workspace_id and s.dialect = %(dialect)s and s.tenant_id = b.project and s.definition = b.name
    and s.connector = ''
"""


@dataclass(frozen=True, slots=True)
class BatchName:
    """
    Where a batch stands.
    """

    workspace_id: UUID
    project: str
    name: str


@dataclass(frozen=True, slots=True)
class BatchSchedule:
    """
    A batch's schedule; *next_at* is None while it does not come.
    """

    id: UUID
    next_at: datetime | None


class BatchSchedules:
    """
    The tables `batch` and `schedule` together.
    """

    def __init__(self, database: Database, *, dialect: str) -> None:
        self._database = database
        self._dialect = dialect

    async def of_project(self, workspace_id: UUID, project: str) -> dict[str, BatchSchedule]:
        """
        Give the schedules of a project's batches, by the batch's name; those without one are left out.
        """
        rows = await self._database.all(
            """
            select definition, id, next_at from schedule
            where workspace_id = %(workspace_id)s and dialect = %(dialect)s and tenant_id = %(project)s
            """,
            {**self._of, "workspace_id": workspace_id, "project": project},
        )
        return {row["definition"]: BatchSchedule(row["id"], row["next_at"]) for row in rows}

    async def out_of_step(self) -> list[BatchName]:
        """
        List the batches that have changed since their schedule was set, or have one and it was never set.

        Of every workspace, for the engine. Whoever died between two writes leaves such a batch.
        """
        rows = await self._database.all(
            f"""
            select b.workspace_id, b.project, b.name from batch b left join schedule s on {_PAIR}
            where s.updated_at < b.updated_at
              or (s.id is null and not b.paused and position(convert_to('"schedule":', 'UTF8') in b.definition) > 0)
            """,
            self._of,
        )
        return [BatchName(**row) for row in rows]

    async def forget_strays(self) -> int:
        """
        Delete the schedules of batches that are gone, in every workspace, for the engine.
        """
        return await self._database.run(
            f"delete from schedule s where s.dialect = %(dialect)s and not exists (select from batch b where {_PAIR})",
            self._of,
        )

    @property
    def _of(self) -> dict[str, Any]:
        return {"dialect": self._dialect}
