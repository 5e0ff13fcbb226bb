"""
Jobs out of the rows of `queries/read_job.sql`, and causes to and from JSON.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from headrace.core.fan_out import FanOutRecord
from headrace.core.job import Job, StepRecord
from headrace.core.outcome import Cause
from headrace.core.state import JobState

_COLUMNS = (
    "id", "seq", "workspace_id", "workspace", "dialect", "definition", "public_id", "root", "name", "key", "priority",
    "attempt", "crashes", "failures", "trigger", "started_by", "details", "created_at", "due_at", "admitted_at",
    "started_at", "finished_at", "updated_at", "cancel_requested_at",
)  # fmt: skip


def folder_of(job_id: UUID, created_at: datetime) -> str:
    """
    Name a job's folder in the file store; never after what a caller chose.
    """
    return f"jobs/{created_at:%Y/%m/%d}/{job_id}"


def job_of(row: DictRow) -> Job:
    """
    Make a job of a row of `read_job.sql`.
    """
    return Job(
        **{name: row[name] for name in _COLUMNS},
        tenant=row["tenant_id"],
        state=JobState(row["state"]),
        cause=cause_of(row["cause"]),
        steps=tuple(msgspec.convert(row["steps"], list[StepRecord], strict=False)),
        items=msgspec.convert(row["items"], FanOutRecord | None, strict=False),
    )


def cause_of(value: dict[str, Any] | None) -> Cause | None:
    return msgspec.convert(value, Cause) if value else None


def json_of(cause: Cause | None) -> Jsonb | None:
    return Jsonb(cause) if cause else None
