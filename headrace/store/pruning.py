"""
Jobs over their time, and lanes that nobody is in; for the engine, which serves every workspace.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from headrace.store.database import Database
from headrace.store.job_rows import folder_of


async def finished_before(database: Database, age: timedelta, *, limit: int) -> list[tuple[UUID, str]]:
    """
    List finished jobs older than *age*, oldest first, each with the prefix of its folder in the file store.
    """
    rows = await database.all(
        "select id, created_at from job where finished_at < now() - %(age)s order by finished_at limit %(limit)s",
        {"age": age, "limit": limit},
    )
    return [(row["id"], folder_of(row["id"], row["created_at"])) for row in rows]


async def delete(database: Database, job_ids: Sequence[UUID]) -> int:
    """
    Delete finished jobs with all that hangs on them; gives their number.
    """
    return await database.run(
        "delete from job where id = any(%(ids)s) and finished_at is not null", {"ids": list(job_ids)}
    )


async def drop_empty_lanes(database: Database) -> int:
    """
    Delete lanes that nobody is in.
    """
    return await database.run("delete from lane where active = 0")


async def projects_in_force(database: Database) -> set[str]:
    """
    Give the digests of the projects that workspaces have in force.
    """
    rows = await database.all(
        "select distinct project ->> 'digest' as digest from workspace where project is not null and deleted_at is null"
    )
    return {row["digest"] for row in rows}


async def projects_of_jobs(database: Database, digests: Sequence[str]) -> set[str]:
    """
    Say which of these projects are in the plan of a job that is kept.
    """
    rows = await database.all(
        """
        select distinct step ->> 'project' as digest
        from job_plan, jsonb_array_elements(plan -> 'steps') as step
        where step ->> 'kind' = 'command' and step ->> 'project' = any(%(digests)s)
        """,
        {"digests": list(digests)},
    )
    return {row["digest"] for row in rows}


async def old_notifications(database: Database, age: timedelta) -> int:
    """
    Delete what people were told longer ago than *age*; gives its number.
    """
    return await database.run("delete from notification where created_at < now() - %(age)s", {"age": age})
