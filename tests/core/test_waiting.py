"""
Why a job does not run yet.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from headrace.core.fan_out import FanOutRecord
from headrace.core.job import Job
from headrace.core.outcome import Blame, Cause
from headrace.core.state import JobState
from headrace.core.waiting import Line, why_it_waits

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OTHER = UUID(int=7)
FREE = Line(holder=None, ahead=0, slots=4, busy=0)


def _job(state: JobState, **fields: Any) -> Job:
    return Job(
        id=uuid4(), seq=1, workspace_id=uuid4(), workspace="demo", tenant="acme", dialect="hotglue", definition="flights",
        public_id="abc", root="r", name="n", state=state, created_at=NOON, updated_at=NOON, **fields,
    )  # fmt: skip


def _items(**fields: Any) -> FanOutRecord:
    return FanOutRecord(total=3, completed=0, failed=0, cancelled=0, **fields)


@pytest.mark.parametrize(
    ("job", "line", "code"),
    [
        (_job(JobState.COMPLETED), FREE, "ended"),
        (_job(JobState.SCHEDULED, due_at=NOON), FREE, "retry"),
        (_job(JobState.RUNNING), FREE, "running"),
        (_job(JobState.ADMITTED), FREE, "worker"),
        (_job(JobState.ADMITTED), Line(holder=None, ahead=0, slots=0, busy=0), "no-worker"),
        (_job(JobState.WAITING), Line(holder=OTHER, ahead=2, slots=4, busy=4), "key"),
        (_job(JobState.WAITING), Line(holder=None, ahead=1, slots=4, busy=4), "line"),
        (_job(JobState.WAITING), Line(holder=None, ahead=0, slots=0, busy=0), "no-worker"),
        (_job(JobState.WAITING), Line(holder=None, ahead=0, slots=4, busy=4), "slots"),
        (_job(JobState.WAITING), FREE, "turn"),
        (_job(JobState.RUNNING, items=_items()), FREE, "running"),
        (_job(JobState.RUNNING, items=_items(awaits=OTHER)), FREE, "login"),
        (_job(JobState.WAITING, items=_items(awaits=OTHER)), FREE, "login"),
        (_job(JobState.RUNNING, items=_items(pause_requested_at=NOON)), FREE, "pausing"),
        (_job(JobState.WAITING, items=_items(pause_requested_at=NOON)), FREE, "paused"),
        (_job(JobState.PAUSED, items=_items(pause_requested_at=NOON)), FREE, "paused"),
    ],
)
def test_the_nearest_reason_is_told(job: Job, line: Line, code: str) -> None:
    """
    What has to be over first is told first: the holder of the key before the line, the line before the slots.
    """
    assert why_it_waits(job, line).code == code


def test_a_pause_that_nobody_asked_for_says_why_and_what_to_do() -> None:
    why = Cause("", "The login has expired.", Blame.CUSTOMER, "Log in again.")
    job = _job(JobState.PAUSED, items=_items(pause_requested_at=NOON, stop_cause=why))

    wait = why_it_waits(job, FREE)

    assert (wait.sentence, wait.instruction) == ("It is paused. The login has expired.", "Log in again.")
