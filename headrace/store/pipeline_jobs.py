"""
Jobs of pipelines in pages, and what follows from them.

A duty is written before its job, so that no crash loses what follows; one whose job was never made is forgotten after an hour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg import sql

from headrace.core.job import Job
from headrace.core.state import JobState
from headrace.store.database import Database, statement
from headrace.store.job_rows import job_of

_SORTS: Mapping[str, sql.SQL] = {
    "created": sql.SQL("j.seq"),
    "startTime": sql.SQL("j.started_at"),
    "endTime": sql.SQL("j.finished_at"),
    "status": sql.SQL("j.state"),
    "type": sql.SQL("j.details ->> 'type'"),
    "id": sql.SQL("j.id"),
}
_VISIBLE = sql.SQL("""
    j.dialect = %(dialect)s and (%(workspace_id)s::uuid is null or j.workspace_id = %(workspace_id)s)
    and (%(definition)s::text is null or j.definition = %(definition)s)
    and not exists (select from pipeline_duty d where d.job_id = j.id and d.delete_asked)
""")


async def page(
    database: Database,
    *,
    dialect: str,
    workspace_id: UUID | None,
    definition: str | None,
    offset: int,
    limit: int,
    sort: Sequence[tuple[str, bool]] = (),
) -> tuple[list[Job], int]:
    """
    List a part of the jobs of a workspace or of one definition, and count them all; newest first unless *sort* says otherwise.
    """
    orders = [
        sql.SQL("{} {} nulls last").format(_SORTS[name], sql.SQL("desc" if down else "asc"))
        for name, down in sort
        if name in _SORTS
    ]
    query = sql.SQL("{} where {} order by {} offset %(offset)s limit %(limit)s").format(
        sql.SQL(statement("read_job")), _VISIBLE, sql.SQL(", ").join([*orders, sql.SQL("j.seq desc")])
    )
    parameters: dict[str, Any] = {
        "dialect": dialect, "workspace_id": workspace_id, "definition": definition, "offset": offset, "limit": limit,
    }  # fmt: skip
    async with database.connection() as connection:
        rows = await (await connection.execute(query, parameters)).fetchall()
        count = await (
            await connection.execute(
                sql.SQL("select count(*) as total from job j where {}").format(_VISIBLE), parameters
            )
        ).fetchone()
    return [job_of(row) for row in rows], int(count["total"]) if count else 0


async def find(database: Database, job_id: UUID, *, dialect: str) -> Job | None:
    """
    Read a job of any workspace; None for one whose deletion was asked for.
    """
    query = sql.SQL("{} where j.id = %(id)s and {}").format(sql.SQL(statement("read_job")), _VISIBLE)
    parameters = {"id": job_id, "dialect": dialect, "workspace_id": None, "definition": None}
    async with database.connection() as connection:
        row = await (await connection.execute(query, parameters)).fetchone()
    return job_of(row) if row else None


async def states_of(database: Database, job_ids: Sequence[UUID]) -> dict[UUID, JobState]:
    """
    Tell how jobs stand; one that is gone is missing.
    """
    rows = await database.all("select id, state from job where id = any(%(ids)s)", {"ids": list(job_ids)})
    return {row["id"]: JobState(row["state"]) for row in rows}


async def owe(database: Database, job_id: UUID) -> None:
    """
    Note that something will follow from a job that is about to be made.
    """
    await database.run("insert into pipeline_duty (job_id) values (%(id)s) on conflict do nothing", {"id": job_id})


async def done(database: Database, job_id: UUID) -> None:
    """
    Note that all that follows from a job has been done, or that there will be no such job.
    """
    await database.run("delete from pipeline_duty where job_id = %(id)s and not delete_asked", {"id": job_id})


async def started_told(database: Database, job_id: UUID) -> bool:
    """
    Note that a job's start was told; False when it was before.
    """
    return bool(
        await database.run(
            "update pipeline_duty set started_told = true where job_id = %(id)s and not started_told", {"id": job_id}
        )
    )


async def ask_delete(database: Database, job_id: UUID) -> None:
    """
    Hide a job from callers at once; it goes when it has ended.
    """
    await database.run(
        """
        insert into pipeline_duty (job_id, delete_asked) values (%(id)s, true)
        on conflict (job_id) do update set delete_asked = true
        """,
        {"id": job_id},
    )


async def owing(database: Database, *, limit: int) -> list[Job]:
    """
    List jobs from which something may follow now: those that have begun or ended, oldest first.
    """
    query = sql.SQL(
        """
        {} join pipeline_duty d on d.job_id = j.id
        where j.finished_at is not null or (j.started_at is not null and not d.started_told)
        order by j.seq limit %(limit)s
        """
    ).format(sql.SQL(statement("read_job")))
    async with database.connection() as connection:
        rows = await (await connection.execute(query, {"limit": limit})).fetchall()
    return [job_of(row) for row in rows]


async def to_delete(database: Database) -> set[UUID]:
    """
    List the jobs whose deletion was asked for.
    """
    rows = await database.all("select job_id from pipeline_duty where delete_asked")
    return {row["job_id"] for row in rows}


async def forget(database: Database, job_id: UUID) -> None:
    """
    Drop a duty whatever it says: its job is gone.
    """
    await database.run("delete from pipeline_duty where job_id = %(id)s", {"id": job_id})


async def forget_strays(database: Database) -> int:
    """
    Drop duties whose jobs were never made or are gone.
    """
    return await database.run(
        """
        delete from pipeline_duty d where d.created_at < now() - interval '1 hour'
          and not exists (select from job j where j.id = d.job_id)
        """
    )
