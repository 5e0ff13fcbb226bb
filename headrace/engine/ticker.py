"""
Turning instants of schedules into jobs, on every node; the database sees to it that each instant is met once.
"""

from __future__ import annotations

from headrace.services.schedules import Schedules

_AT_ONCE = 1000


class Ticker:
    """
    A duty: `tick` deals with all that is due.
    """

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules

    async def tick(self) -> int:
        """
        Deal with every schedule that is due and that no other node deals with; gives their number.

        One transaction each: a crash costs none of those before it.
        """
        fired = 0
        while fired < _AT_ONCE and await self._schedules.fire_next():
            fired += 1
        return fired
