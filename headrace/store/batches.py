"""
Batches as they are kept, and the jobs that were made of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.errors import UniqueViolation
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from headrace.core.auth_session import LOST, MISSING, REFUSED
from headrace.core.batch import Batch
from headrace.core.errors import ConflictError
from headrace.core.job import Job
from headrace.store.database import Database, statement
from headrace.store.job_rows import job_of
from headrace.store.sealing import Sealer

# As the wire's words come in the alphabet: sorted by our own states, neither what ended well nor what was started by hand would stand together.
_STATUS = f"""
case when j.state = 'completed' then 'success'
     when j.state = 'failed' then 'failure'
     when j.state = 'cancelled' and (not exists (select from fan_out f where f.job_id = j.id)
       or j.cause -> 'evidence' ->> 'code' in ('{REFUSED}', '{MISSING}', '{LOST}')) then 'canceled'
     when j.state = 'cancelled' then 'terminated'
     when j.state = 'paused' or exists (select from fan_out f where f.job_id = j.id and f.pause_requested_at is not null) then 'paused'
     when j.state = 'waiting' and j.started_at is not null then 'resuming'
     else 'pending' end
"""
SORTABLE = {
    "id": "j.id", "type": "j.trigger = 'schedule'", "status": _STATUS, "start_time": "coalesce(j.started_at, j.created_at)",
    "created_at": "j.created_at", "updated_at": "j.updated_at", "end_time": "j.finished_at",
}  # fmt: skip
"""Columns by which a batch's jobs can be sorted, by the names that the wire has for them."""


class Batches:
    """
    The table `batch`.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def insert(
        self,
        batch_id: UUID,
        *,
        workspace_id: UUID,
        project: str,
        name: str,
        definition: bytes,
        secrets: dict[str, Any],
        source: str = "API",
    ) -> Batch:
        """
        Raises:
            ConflictError: the project has a batch of that name.
        """
        try:
            row = await self._database.one(
                """
                insert into batch (id, workspace_id, project, name, definition, secrets, source)
                values (%(id)s, %(workspace_id)s, %(project)s, %(name)s, %(definition)s, %(secrets)s, %(source)s)
                returning *
                """,
                {"id": batch_id, "workspace_id": workspace_id, "project": project, "name": name,
                 "definition": definition, "secrets": self._sealer.seal(secrets, f"batch:{batch_id}"),
                 "source": source},
            )  # fmt: skip
        except UniqueViolation as error:
            raise ConflictError(
                f"There is a job {name!r} in the project already.", "Update it, or choose another id."
            ) from error
        assert row is not None  # noqa: S101 - an insert without a condition
        return self._batch(row)

    async def replace(self, batch: Batch, *, definition: bytes, secrets: dict[str, Any]) -> bool:
        """
        Replace what a batch says; False when it is gone.
        """
        return bool(
            await self._database.run(
                """
                update batch set definition = %(definition)s, secrets = %(secrets)s, updated_at = now() where id = %(id)s
                """,
                {"id": batch.id, "definition": definition, "secrets": self._sealer.seal(secrets, f"batch:{batch.id}")},
            )
        )

    async def set_paused(self, batch_id: UUID, reason: dict[str, Any] | None) -> bool:
        """
        Pause a batch for *reason*, or with None let it go on; False when it stood so already.
        """
        return bool(
            await self._database.run(
                """
                update batch set paused = %(paused)s, reason = %(reason)s, updated_at = now()
                where id = %(id)s and paused <> %(paused)s
                """,
                {"id": batch_id, "paused": reason is not None, "reason": Jsonb(reason) if reason is not None else None},
            )
        )

    async def note_run(self, batch_id: UUID) -> None:
        """
        Write down that a job was started of it.
        """
        await self._database.run("update batch set last_run_at = now() where id = %(id)s", {"id": batch_id})

    async def delete(self, batch_id: UUID) -> None:
        await self._database.run("delete from batch where id = %(id)s", {"id": batch_id})

    async def find(self, workspace_id: UUID, project: str, name: str) -> Batch | None:
        row = await self._database.one(
            """
            select * from batch where workspace_id = %(workspace_id)s and project = %(project)s and name = %(name)s
            """,
            {"workspace_id": workspace_id, "project": project, "name": name},
        )
        return self._batch(row) if row else None

    async def of_project(self, workspace_id: UUID, project: str) -> list[Batch]:
        """
        List a project's batches, the oldest first.
        """
        rows = await self._database.all(
            """
            select * from batch where workspace_id = %(workspace_id)s and project = %(project)s order by created_at, name
            """,
            {"workspace_id": workspace_id, "project": project},
        )
        return [self._batch(row) for row in rows]

    async def jobs(
        self,
        workspace_id: UUID,
        definition: str,
        batch_id: UUID,
        *,
        order: Sequence[tuple[str, bool]],
        limit: int,
        offset: int,
    ) -> tuple[list[Job], int]:
        """
        List the jobs that were made of a batch, and how many there are in all.

        Args:
            workspace_id: the batch's.
            definition: what its jobs have as theirs.
            batch_id: must stand in a job's details as `batch`.
            order: names out of `SORTABLE`, each with whether it falls; ties go to the newest.
            limit: at most so many.
            offset: after so many.
        """
        columns = [
            sql.SQL("{} {} nulls last").format(sql.SQL(SORTABLE[name]), sql.SQL("desc" if falling else "asc"))
            for name, falling in order
        ]
        where = sql.SQL(
            "where j.workspace_id = %(workspace_id)s and j.definition = %(definition)s and j.details @> %(of_batch)s"
        )
        query = sql.SQL("{} {} order by {} limit %(limit)s offset %(offset)s").format(
            sql.SQL(statement("read_job")), where, sql.SQL(", ").join([*columns, sql.SQL("j.seq desc")])
        )
        parameters = {
            "workspace_id": workspace_id, "definition": definition, "of_batch": Jsonb({"batch": str(batch_id)}),
            "limit": limit, "offset": offset,
        }  # fmt: skip
        async with self._database.connection() as connection:
            rows = await (await connection.execute(query, parameters)).fetchall()
            counted = await (
                await connection.execute(sql.SQL("select count(*) as jobs from job j {}").format(where), parameters)
            ).fetchone()
        return [job_of(row) for row in rows], counted["jobs"] if counted else 0

    async def unfinished_job(self, workspace_id: UUID, key: str) -> UUID | None:
        """
        Find the job that holds a key, or waits for it.
        """
        row = await self._database.one(
            """
            select id from job where workspace_id = %(workspace_id)s and key = %(key)s and finished_at is null
            order by seq limit 1
            """,
            {"workspace_id": workspace_id, "key": key},
        )
        return row["id"] if row else None

    def _batch(self, row: DictRow) -> Batch:
        return Batch(**{**row, "secrets": self._sealer.open(row["secrets"], f"batch:{row['id']}")})
