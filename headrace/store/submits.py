"""
Writing new jobs: a job, its plan, its steps or items and its first event, all or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from headrace.core.job import NewJob
from headrace.core.outcome import Cause
from headrace.core.plan import OnTaken, Plan
from headrace.store import fan_outs
from headrace.store.database import Connection, statement
from headrace.store.job_rows import json_of


@dataclass(frozen=True, slots=True)
class Submitted:
    """
    A job that is in the history.

    Attributes:
        ready: its key is free; otherwise it waits behind another job of the key.
    """

    seq: int
    ready: bool
    created_at: datetime
    event_id: int


@dataclass(frozen=True, slots=True)
class Entry:
    """
    A job to be written.

    Attributes:
        sealed: its inputs, encrypted.
        idempotency_digest: of the request, where it has an idempotency key.
    """

    job: NewJob
    plan: Plan
    sealed: bytes | None = None
    idempotency_digest: bytes | None = None


class DuplicateKeyError(Exception):
    """The idempotency key has been used; the transaction is void."""


class DuplicateRootError(Exception):
    """The root has been used; the transaction is void."""


async def submit(connection: Connection, entry: Entry) -> Submitted | None:
    """
    Write a new job, its plan, its steps or items and its first event; None when its exclusivity key is taken and it does not queue.

    Raises:
        DuplicateKeyError: the workspace has used the idempotency key.
        DuplicateRootError: another job has this root.
    """
    row = await _insert(connection, "submit", _parameters(entry))
    if row is None:
        return None
    job, plan = entry.job, entry.plan
    if plan.fan_out is not None:
        await fan_outs.begin(connection, job.id, plan.fan_out, job.items)
    for step in job.done:
        await connection.execute(
            """
            update step set state = 'completed', started_at = %(started_at)s, finished_at = %(finished_at)s, output = %(output)s
            where job_id = %(id)s and ordinal = %(ordinal)s
            """,
            {"id": job.id, "ordinal": step.ordinal, "started_at": step.started_at, "finished_at": step.finished_at,
             "output": Jsonb(step.output)},
        )  # fmt: skip
    return _submitted(row)


async def record_refused(connection: Connection, entry: Entry, cause: Cause) -> Submitted:
    """
    Write a new job that may not start down as cancelled; raises what `submit` raises.
    """
    parameters = _parameters(entry) | {"cause": json_of(cause)}
    row = await _insert(connection, "record_refused", parameters)
    assert row is not None  # noqa: S101 - an insert without a condition
    return _submitted(row)


async def submit_many(connection: Connection, entries: Sequence[Entry]) -> dict[UUID, Submitted]:
    """
    Write new jobs of steps, no two of a key; those that are missing from the answer found their key taken and do not queue.

    Raises:
        psycopg.Error: one of them cannot be written; the transaction is void.
    """
    rows = [
        _plain(entry) | {"at": at, "sealed": _hex(entry.sealed), "idempotency_digest": _hex(entry.idempotency_digest)}
        for at, entry in enumerate(entries)
    ]
    found = await connection.execute(statement("submit_many"), {"jobs": Jsonb(rows)})
    return {row["id"]: _submitted(row) for row in await found.fetchall()}


def _parameters(entry: Entry) -> dict[str, Any]:
    return _plain(entry) | {
        "details": Jsonb(entry.job.details),
        "plan": Jsonb(entry.plan),
        "sealed": entry.sealed,
        "idempotency_digest": entry.idempotency_digest,
        "fan_out": entry.plan.fan_out is not None,
    }


def _plain(entry: Entry) -> dict[str, Any]:
    """
    Give what both statements take alike.
    """
    job, plan = entry.job, entry.plan
    return {
        "id": job.id, "workspace_id": job.workspace_id, "tenant": job.tenant, "dialect": job.dialect,
        "definition": job.definition, "public_id": job.public_id, "root": job.root, "name": job.name, "key": plan.key,
        "queue": plan.on_taken is OnTaken.QUEUE, "priority": plan.priority, "trigger": job.trigger,
        "started_by": job.started_by, "idempotency_key": job.idempotency_key, "details": job.details, "plan": plan,
        "step_names": [step.name for step in plan.steps],
        "step_kinds": [step.__struct_config__.tag for step in plan.steps],
    }  # fmt: skip


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _submitted(row: DictRow) -> Submitted:
    return Submitted(seq=row["seq"], ready=row["ready"], created_at=row["created_at"], event_id=row["event_id"])


async def _insert(connection: Connection, name: str, parameters: dict[str, Any]) -> DictRow | None:
    try:
        return await (await connection.execute(statement(name), parameters)).fetchone()
    except UniqueViolation as error:
        if error.diag.constraint_name == "job_idempotency":
            raise DuplicateKeyError from error
        if error.diag.constraint_name == "job_root_key":
            raise DuplicateRootError from error
        raise
