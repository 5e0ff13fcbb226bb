"""
What a job becomes by how its attempt ended.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from headrace.core.outcome import Cancelled, Cause, Failed, Interrupted, Succeeded, backoff, settle
from headrace.core.state import FINAL_JOB_STATES, HOLDING_JOB_STATES, JOB_MOVES, JobState

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CAUSE = Cause(stage="sync", sentence="It broke.")
OUTCOMES = st.sampled_from([Succeeded(), Failed(CAUSE), Failed(CAUSE, fatal=True), Cancelled(CAUSE), Interrupted()])


@given(OUTCOMES, st.integers(0, 20), st.integers(1, 20))
def test_every_settlement_is_a_legal_move(outcome: object, failures: int, max_attempts: int) -> None:
    """
    From `running` to where the table of moves allows; an end has a time of ending, and only an end has.
    """
    became = settle(outcome, failures=failures, max_attempts=max_attempts, now=NOON)

    assert became.state in JOB_MOVES[JobState.RUNNING]
    assert (became.finished_at is not None) == became.state.final


@given(st.integers(0, 20), st.integers(1, 20))
def test_a_job_is_tried_as_often_as_its_plan_allows(failures: int, max_attempts: int) -> None:
    became = settle(Failed(CAUSE), failures=failures, max_attempts=max_attempts, now=NOON)

    again = failures + 1 < max_attempts
    assert became.state is (JobState.SCHEDULED if again else JobState.FAILED)
    assert (became.due_at is not None) == again


def test_a_fatal_failure_is_not_tried_again() -> None:
    assert settle(Failed(CAUSE, fatal=True), failures=0, max_attempts=9, now=NOON).state is JobState.FAILED


def test_our_own_shutdown_costs_no_attempt() -> None:
    assert settle(Interrupted(), failures=0, max_attempts=1, now=NOON).state is JobState.WAITING


@given(st.integers(1, 200))
def test_pauses_grow_to_a_ceiling(failures: int) -> None:
    assert timedelta(0) < backoff(failures) <= backoff(failures + 1) <= timedelta(minutes=5)


def test_final_states_lead_nowhere() -> None:
    assert {state for state, moves in JOB_MOVES.items() if not moves} == FINAL_JOB_STATES
    assert not HOLDING_JOB_STATES & FINAL_JOB_STATES
    assert set(JOB_MOVES) == set(JobState)
