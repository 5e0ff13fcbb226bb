"""
What the watchdog does, and when, by a clock of the test's own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from headrace.engine.liveness import LOST_EXIT_CODE, Liveness, Watchdog

DEADLINE_SECONDS = 60.0
LIVENESS = Liveness(ttl_seconds=0.2, beat_seconds=0.04)


class Stage:
    """
    A watchdog with a clock that is set by hand, and what it did.
    """

    def __init__(self) -> None:
        self.now = 100.0
        self.lost = threading.Event()
        self.ended = threading.Event()
        self.exit_code: int | None = None
        self.reasons: list[str] = []
        self.looked = threading.Semaphore(0)
        self.watchdog = Watchdog(LIVENESS, on_lost=self._lose, end=self._end, clock=self._look)
        self.watchdog.start()

    def at(self, seconds: float) -> None:
        """
        Set the clock and wait until the watchdog has looked at it, twice to be sure that it has acted.
        """
        self.now = 100.0 + seconds
        while self.looked.acquire(blocking=False):
            pass
        for _ in range(2):
            assert self.looked.acquire(timeout=DEADLINE_SECONDS)

    def _look(self) -> float:
        self.looked.release()
        return self.now

    def _lose(self, reason: str) -> None:
        self.reasons.append(reason)
        self.lost.set()

    def _end(self, code: int) -> None:
        self.exit_code = code
        self.ended.set()
        self.looked.release(2)  # it looks no more


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.watchdog.stand_down()


def test_beats_keep_the_watchdog_quiet(stage: Stage) -> None:
    """
    Silence counts from the last beat, at the time it was sent.
    """
    stage.at(0.1)
    stage.watchdog.beat(100.1)
    stage.at(0.21)

    assert not stage.lost.is_set()


def test_silence_loses_the_membership_once_and_then_ends_the_process(stage: Stage) -> None:
    """
    At 0.6 of the time to live the children go, at 0.9 the process: before anybody else may take over.
    """
    stage.at(0.12)
    assert stage.lost.wait(DEADLINE_SECONDS)
    stage.at(0.17)
    assert not stage.ended.is_set()
    stage.at(0.18)
    assert stage.ended.wait(DEADLINE_SECONDS)

    assert stage.exit_code == LOST_EXIT_CODE
    assert stage.reasons == ["No heartbeat reached the database for 0.1 s."]


def test_a_process_that_slept_past_both_deadlines_still_ends_its_children_first(stage: Stage) -> None:
    """
    A stopped process wakes up with everything overdue; the children are ended all the same.
    """
    stage.at(60.0)
    assert stage.ended.wait(DEADLINE_SECONDS)

    assert stage.lost.is_set()


def test_a_watchdog_that_stood_down_ends_nothing(stage: Stage) -> None:
    """
    A process whose handlers and children ended in time lives on.
    """
    stage.at(0.12)
    assert stage.lost.wait(DEADLINE_SECONDS)
    stage.watchdog.stand_down()
    stage.watchdog._thread.join(DEADLINE_SECONDS)
    stage.now = 200.0

    assert not stage.watchdog._thread.is_alive()
    assert stage.exit_code is None


def test_children_that_cannot_be_ended_do_not_hold_up_the_end() -> None:
    """
    The second deadline holds even when ending the children hangs.
    """
    stuck = threading.Event()
    ended = threading.Event()
    clock = iter([100.0, 100.0, *[200.0] * 1000])
    watchdog = Watchdog(
        LIVENESS, on_lost=lambda _: none(stuck.wait()), end=lambda _: ended.set(), clock=lambda: next(clock)
    )
    watchdog.start()

    assert ended.wait(DEADLINE_SECONDS)
    stuck.set()


def none(_: object) -> None:
    pass
