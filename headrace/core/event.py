"""
What happened to a job: append-only, written in the transaction that changed it.

History, webhooks, live pages and metrics read events; nothing else announces anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class EventKind(StrEnum):
    JOB_SUBMITTED = "job-submitted"
    JOB_ADMITTED = "job-admitted"
    JOB_STARTED = "job-started"
    JOB_TAKEN_OVER = "job-taken-over"
    JOB_HANDED_BACK = "job-handed-back"
    JOB_RETRY_SCHEDULED = "job-retry-scheduled"
    JOB_CANCEL_REQUESTED = "job-cancel-requested"
    JOB_PAUSE_REQUESTED = "job-pause-requested"
    JOB_PAUSED = "job-paused"
    JOB_RESUMED = "job-resumed"
    JOB_COMPLETED = "job-completed"
    JOB_FAILED = "job-failed"
    JOB_CANCELLED = "job-cancelled"
    STEP_STARTED = "step-started"
    STEP_RETRIED = "step-retried"
    STEP_COMPLETED = "step-completed"
    STEP_FAILED = "step-failed"
    STEP_CANCELLED = "step-cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """
    One thing that happened.

    Attributes:
        id: rises over the whole server; order of one job's events.
        data: plain JSON values: the step's name, the attempt, the cause.
    """

    id: int
    job_id: UUID
    kind: EventKind
    at: datetime
    data: dict[str, Any] = field(default_factory=dict)
