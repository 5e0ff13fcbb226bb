"""
The states of jobs and steps, and their legal moves.

The schema repeats the names as CHECK constraints; a test holds both together.
"""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    SCHEDULED = "scheduled"  # waits for `due_at`: a retry after a pause
    WAITING = "waiting"  # waits for its exclusivity key or for a free slot
    ADMITTED = "admitted"  # handed to the engine, no worker yet
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in FINAL_JOB_STATES


class StepState(StrEnum):
    PENDING = "pending"
    ADMITTED = "admitted"  # one item of a fan-out, handed to the engine
    RUNNING = "running"
    RETRYABLE = "retryable"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def final(self) -> bool:
        return self in FINAL_STEP_STATES


FINAL_JOB_STATES = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})
FINAL_STEP_STATES = frozenset({StepState.COMPLETED, StepState.FAILED, StepState.CANCELLED, StepState.SKIPPED})

# States in which a job holds its exclusivity key: at most one job of a key is in any of them.
HOLDING_JOB_STATES = frozenset({JobState.ADMITTED, JobState.RUNNING, JobState.PAUSED})

JOB_MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.SCHEDULED: frozenset({JobState.WAITING, JobState.CANCELLED}),
    JobState.WAITING: frozenset(
        {
            JobState.ADMITTED,
            JobState.RUNNING,  # a fan-out, when its first item is admitted: it occupies no slot itself
            JobState.COMPLETED,  # a fan-out whose last item was cancelled before it went on
            JobState.CANCELLED,
        }
    ),
    JobState.ADMITTED: frozenset({JobState.RUNNING, JobState.CANCELLED}),
    JobState.RUNNING: frozenset(
        {
            JobState.RUNNING,  # taken over by another worker
            JobState.WAITING,  # handed back by a worker that shuts down
            JobState.SCHEDULED,  # tried again later
            JobState.PAUSED,
            JobState.COMPLETED,
            JobState.FAILED,
            JobState.CANCELLED,
        }
    ),
    JobState.PAUSED: frozenset({JobState.WAITING, JobState.CANCELLED}),
    JobState.COMPLETED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}
