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

from headrace.core.job import Job
from headrace.core.outcome import Cause

_decode = msgspec.json.Decoder(Job).decode


def folder_of(job_id: UUID, created_at: datetime) -> str:
    """
    Name a job's folder in the file store; never after what a caller chose.
    """
    return f"jobs/{created_at:%Y/%m/%d}/{job_id}"


def job_of(row: DictRow) -> Job:
    """
    Make a job of a row of `read_job.sql`.
    """
    return _decode(row["job"])


def cause_of(value: dict[str, Any] | None) -> Cause | None:
    return msgspec.convert(value, Cause) if value else None


def json_of(cause: Cause | None) -> Jsonb | None:
    return Jsonb(cause) if cause else None
