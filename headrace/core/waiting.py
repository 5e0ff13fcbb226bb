"""
Why a job does not run yet, in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from headrace.core.fan_out import FanOutRecord
from headrace.core.job import Job
from headrace.core.state import JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """
    What stands between a job and a worker.

    Attributes:
        holder: the job that holds its key, or whose end it awaits; None when there is none.
        ahead: waiting jobs of its key that go before it.
        slots: of the workers that are alive and take jobs, together.
        busy: jobs and items that are in these slots or on their way there.
    """

    holder: UUID | None
    ahead: int
    slots: int
    busy: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """
    Attributes:
        code: stable: `ended`, `running`, `pausing`, `paused`, `login`, `retry`, `key`, `line`, `no-worker`, `slots`, `turn`, `worker`.
        sentence: what it waits for.
        instruction: the next move; empty when there is none.
        holder_id: the job in the way.
        due_at: until when it waits, where that is known.
    """

    code: str
    sentence: str
    instruction: str = ""
    holder_id: UUID | None = None
    due_at: datetime | None = None


_NO_WORKER = Wait(
    code="no-worker",
    sentence="No worker is alive that takes jobs.",
    instruction="Start one with `headrace worker`; the log of the last one says why it ended.",
)


def why_it_waits(job: Job, line: Line) -> Wait:
    """
    Say what *job* waits for; the code `ended` or `running` when for nothing.
    """
    match job.state:
        case state if state.final:
            return Wait(code="ended", sentence="It has ended.")
        case JobState.SCHEDULED:
            return Wait(code="retry", sentence="Its last try failed; the next one has a time.", due_at=job.due_at)
        case JobState.RUNNING | JobState.PAUSED if job.items is not None:
            return _why_items_wait(job.state, job.items, line)
        case JobState.WAITING if job.items and (job.items.awaits or job.items.pause_requested_at):
            return _why_items_wait(job.state, job.items, line)
        case JobState.RUNNING:
            return Wait(code="running", sentence="It runs.")
        case JobState.PAUSED:
            return Wait(code="paused", sentence="It is paused.", instruction="Resume it.")
        case JobState.ADMITTED if not line.slots:
            return _NO_WORKER
        case JobState.ADMITTED:
            return Wait(code="worker", sentence="It is handed out; a worker is about to begin it.")
        case _:
            return _why_in_line(line)


def _why_items_wait(state: JobState, items: FanOutRecord, line: Line) -> Wait:
    why = items.stop_cause
    if items.awaits is not None:
        return Wait(
            code="login", sentence="Its login is made or checked first, by another job.", holder_id=items.awaits
        )
    if items.pause_requested_at is None:
        return _NO_WORKER if not line.slots else Wait(code="running", sentence="It runs.")
    said = f" {why.sentence}" if why else ""
    if state is not JobState.RUNNING:
        return Wait(
            code="paused", sentence=f"It is paused.{said}", instruction=(why and why.instruction) or "Resume it."
        )
    return Wait(code="pausing", sentence=f"It pauses as soon as what runs has ended.{said}")


def _why_in_line(line: Line) -> Wait:
    holder, ahead = line.holder, line.ahead
    if holder is not None:
        others = f", and {_jobs(ahead)} before it in line" if ahead else ""
        return Wait(
            code="key",
            sentence=f"Another job of the same kind and tenant has not ended{others}.",
            instruction="Wait for it, or cancel it.",
            holder_id=holder,
        )
    if ahead:
        return Wait(code="line", sentence=f"Before it in line: {_jobs(ahead)} of the same kind and tenant.")
    if not line.slots:
        return _NO_WORKER
    if line.busy >= line.slots:
        return Wait(
            code="slots",
            sentence=f"Every slot of the workers is taken ({line.slots} in all).",
            instruction="Wait, or add workers or slots (setting slots).",
        )
    return Wait(code="turn", sentence="Its turn comes next.")


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"
