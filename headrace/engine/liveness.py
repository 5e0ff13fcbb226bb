"""
How a worker proves that it lives, and what happens when it cannot.

A member writes a heartbeat every `beat_seconds`; one that was silent for `ttl_seconds` is struck off and its tickets go to others. So a member
that cannot reach the database has to stop in time by itself, whether the network, the database or its own event loop is the cause:

| silent for | what happens |
|---|---|
| 0.6 x ttl | the membership is lost: children are ended, handlers cancelled, nothing more is written |
| 0.9 x ttl | children or handlers still there: the process ends itself (exit code 70), and its children with it; those of a process that is stopped end by themselves |
| 1.0 x ttl | any node's reaper may give the tickets to others |

A process whose handlers and children ended in time lives on, and joins again when the database answers.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LOST_EXIT_CODE: Final = 70  # EX_SOFTWARE of sysexits.h
LAST_CHANCE_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Liveness:
    """
    The times by which a worker is taken for alive; the same on every node.
    """

    ttl_seconds: float = 10.0
    beat_seconds: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.beat_seconds < self.lost_after_seconds / 2:
            raise ValueError("one heartbeat must be able to fail: let ttl_seconds be at least four times beat_seconds")

    @property
    def lost_after_seconds(self) -> float:
        return 0.6 * self.ttl_seconds

    @property
    def exit_after_seconds(self) -> float:
        return 0.9 * self.ttl_seconds

    @property
    def answer_seconds(self) -> float:
        """
        How long the database may take for one small statement before it counts as unreachable.
        """
        return 0.3 * self.ttl_seconds


def boot_seconds() -> float:
    """
    Seconds since some fixed moment, sleep of the machine included where the system can tell.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class Watchdog:
    """
    A thread that acts when heartbeats stay out, even while the event loop is stuck.

    Args:
        on_lost: called once, in a thread of its own, with a sentence that says why.
        end: ends the process; does not return.
        clock: seconds, never set back.
    """

    def __init__(
        self,
        liveness: Liveness,
        *,
        on_lost: Callable[[str], None],
        end: Callable[[int], None] = os._exit,
        clock: Callable[[], float] = boot_seconds,
    ) -> None:
        self._liveness = liveness
        self._on_lost = on_lost
        self._end = end
        self._clock = clock
        self._beat_at = clock()
        self._stood_down = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="headrace-watchdog", daemon=True)

    def start(self) -> None:
        self._beat_at = self._clock()
        self._thread.start()

    def beat(self, sent_at: float) -> None:
        """
        Take note of a heartbeat that the database confirmed.

        Args:
            sent_at: the clock *before* it was sent: the database's own stamp is not earlier.
        """
        self._beat_at = max(self._beat_at, sent_at)

    def stand_down(self) -> None:
        """
        Watch no longer: everything that had to be ended has ended.
        """
        self._stood_down.set()

    def _watch(self) -> None:
        ending: threading.Thread | None = None
        while not self._stood_down.wait(min(0.5, self._liveness.ttl_seconds / 20)):
            silent_seconds = self._clock() - self._beat_at
            if silent_seconds >= self._liveness.lost_after_seconds and ending is None:
                reason = f"No heartbeat reached the database for {silent_seconds:.1f} s."
                # In its own thread: ending the children may take long, and the deadline below must hold all the same.
                ending = threading.Thread(target=self._on_lost, args=(reason,), name="headrace-lost", daemon=True)
                ending.start()
            if silent_seconds >= self._liveness.exit_after_seconds and ending is not None:
                ending.join(
                    LAST_CHANCE_SECONDS
                )  # a process that slept past both deadlines has only just begun to end them
                log.critical("Ending this process: its work could not be stopped before others may take over.")
                self._end(LOST_EXIT_CODE)
                return
