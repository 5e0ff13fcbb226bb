"""
What becomes of a ticket whose job or item another worker has claimed.

The right to claim goes with the ticket. A worker that slept between the two may claim late, when its ticket is with another worker already: that
one is fenced then, and the late one ends itself, so that nobody would work on it any more. Therefore who is fenced does not take the ticket off
the queue but gives it back. If it was with others by then, as after a take-over, nothing happens; else the work is claimed anew.
"""

from __future__ import annotations

from headrace.core.errors import FencedError, RetriableError


class OvertakenError(RetriableError):
    """Another worker has claimed the work of this ticket; who has the ticket claims it again."""

    code = "overtaken"


def overtaken(fenced: FencedError) -> OvertakenError:
    return OvertakenError(fenced.reason, "The ticket comes back, if no other worker has it.", **fenced.facts)
