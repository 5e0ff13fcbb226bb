"""
Jobs, their plans and events, read; what changes them is in `jobs`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from psycopg import sql
from psycopg.types.json import Jsonb

from headrace.core.event import Event, EventKind
from headrace.core.job import Job
from headrace.core.plan import Plan
from headrace.core.state import JobState
from headrace.store.database import Connection, Database, statement
from headrace.store.job_rows import job_of


async def read(connection: Connection, job_id: UUID, *, workspace_id: UUID | None = None) -> Job | None:
    """
    Read one job; with *workspace_id*, only one of that workspace.
    """
    return await _read(
        connection,
        "where j.id = %(id)s and (%(workspace_id)s::uuid is null or j.workspace_id = %(workspace_id)s)",
        {"id": job_id, "workspace_id": workspace_id},
    )


async def read_by_roots(connection: Connection, roots: Sequence[str]) -> dict[str, Job]:
    """
    Read jobs by their dialects' paths, in whatever workspace.
    """
    # Behind a select, so that the plan is kept: what is known of one list would be used to plan each list anew.
    query = f"{statement('read_job')} where j.root = any((select %(roots)s::text[])::text[])"
    rows = await (await connection.execute(query, {"roots": list(roots)})).fetchall()
    return {row["root"]: job_of(row) for row in rows}


async def read_by_idempotency_key(
    connection: Connection, key: str, *, workspace_id: UUID
) -> tuple[Job, bytes | None] | None:
    """
    Read the job that first used an idempotency key, and the digest of its request.
    """
    row = await (
        await connection.execute(
            f"{statement('read_job')} where j.idempotency_key = %(key)s and j.workspace_id = %(workspace_id)s",
            {"key": key, "workspace_id": workspace_id},
        )
    ).fetchone()
    return (job_of(row), row["idempotency_digest"]) if row else None


async def plan_of(connection: Connection, job_id: UUID) -> tuple[Plan, bytes | None]:
    """
    Read a job's plan and its sealed inputs.
    """
    row = await (
        await connection.execute("select plan, sealed from job_plan where job_id = %(id)s", {"id": job_id})
    ).fetchone()
    assert row is not None  # noqa: S101 - written with the job, gone with the job
    return msgspec.convert(row["plan"], Plan), row["sealed"]


async def events_of(connection: Connection, job_id: UUID, *, after: int = 0, limit: int = 1000) -> list[Event]:
    """
    Read a job's events in the order in which they happened.
    """
    rows = await (
        await connection.execute(
            "select id, job_id, kind, at, data from event where job_id = %(id)s and id > %(after)s order by id limit %(limit)s",
            {"id": job_id, "after": after, "limit": limit},
        )
    ).fetchall()
    return [Event(**{**row, "kind": EventKind(row["kind"])}) for row in rows]


async def history(
    database: Database,
    workspace_id: UUID | None,
    *,
    definition: str | None = None,
    tenant: str | None = None,
    dialect: str | None = None,
    states: Sequence[JobState] = (),
    details: Mapping[str, Any] | None = None,
    text: str | None = None,
    before_seq: int | None = None,
    limit: int = 50,
) -> list[Job]:
    """
    List jobs, newest first; None for *workspace_id* is every workspace, for the server's own administrators.

    Only jobs whose details contain *details* are listed, and only those that have *text* in a name or an id, in whatever case. No
    index helps with that, so it is looked for in the last 100,000 jobs before *before_seq* alone.
    """
    wanted: dict[str, tuple[sql.SQL, Any]] = {
        "workspace_id": (sql.SQL("j.workspace_id = %(workspace_id)s"), workspace_id),
        "definition": (sql.SQL("j.definition = %(definition)s"), definition),
        "tenant": (sql.SQL("j.tenant_id = %(tenant)s"), tenant),
        "dialect": (sql.SQL("j.dialect = %(dialect)s"), dialect),
        "states": (sql.SQL("j.state = any(%(states)s)"), list(states) or None),
        "details": (sql.SQL("j.details @> %(details)s"), Jsonb(dict(details)) if details else None),
        "text": (sql.SQL(_HAS_TEXT), f"%{_literal(text)}%" if text else None),
        "before_seq": (sql.SQL("j.seq < %(before_seq)s"), before_seq),
    }
    given = {name: (clause, value) for name, (clause, value) in wanted.items() if value is not None}
    where = sql.SQL(" and ").join(clause for clause, _ in given.values()) if given else sql.SQL("true")
    if workspace_id is None:
        where = sql.SQL(_OF_EVERY_WORKSPACE).format(where)
    query = sql.SQL("{} where {} order by j.seq desc limit %(limit)s").format(sql.SQL(statement("read_job")), where)
    parameters = {name: value for name, (_, value) in given.items()} | {"limit": limit, "newest": before_seq}
    async with database.connection() as connection:
        rows = await (await connection.execute(query, parameters)).fetchall()
    return [job_of(row) for row in rows]


# The newest of each workspace stand in an index; without a workspace all jobs there ever were would be put in order.
_OF_EVERY_WORKSPACE = """
    j.id = any(array(
      select newest.id from workspace of cross join lateral (
        select j.id, j.seq from job j where j.workspace_id = of.id and {} order by j.seq desc limit %(limit)s) newest
      order by newest.seq desc limit %(limit)s))
"""

_HAS_TEXT = """
    (j.name ilike %(text)s or j.definition ilike %(text)s or j.tenant_id ilike %(text)s or j.public_id ilike %(text)s
     or j.id::text ilike %(text)s)
    and j.seq > coalesce(%(newest)s::bigint, (
      select max(newest.seq) from workspace of cross join lateral (
        select seq from job where workspace_id = of.id order by seq desc limit 1) newest)) - 100000
"""


def _literal(text: str) -> str:
    """
    Let the wildcards of a pattern stand for themselves.
    """
    return re.sub(r"([\\%_])", r"\\\1", text)


async def count_standing(database: Database, workspace_id: UUID | None) -> dict[JobState, int]:
    """
    Count the jobs that have not ended, and those that ended within a day, by state; None is every workspace.
    """
    rows = await database.all(statement("count_standing"), {"workspace_id": workspace_id, "ended": True})
    return {JobState(row["state"]): row["jobs"] for row in rows}


@dataclass(frozen=True, slots=True)
class Standing:
    """
    Attributes:
        holder: the job that holds the key of another.
        ahead: waiting jobs of the key that go before that other.
        busy: jobs and items in slots or on their way there, over all workspaces.
    """

    holder: UUID | None
    ahead: int
    busy: int


async def why_waiting(database: Database, job_id: UUID) -> Standing:
    """
    Tell what stands between a job and a worker.
    """
    row = await database.one(statement("why_waiting"), {"id": job_id})
    return Standing(**row) if row else Standing(None, 0, 0)


async def count_unfinished(connection: Connection) -> dict[JobState, int]:
    """
    Count the jobs of every workspace that have not ended, by state; a state without jobs is left out.
    """
    parameters = {"workspace_id": None, "ended": False}
    rows = await (await connection.execute(statement("count_standing"), parameters)).fetchall()
    return {JobState(row["state"]): row["jobs"] for row in rows}


async def _read(connection: Connection, where: LiteralString, parameters: dict[str, Any]) -> Job | None:
    row = await (await connection.execute(f"{statement('read_job')} {where}", parameters)).fetchone()
    return job_of(row) if row else None
