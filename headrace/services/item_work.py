"""
What one try of an item is told, and what is to be written down when it has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headrace.core import queue
from headrace.core.auth_session import AuthSession
from headrace.core.fan_out import Item, ItemEnd
from headrace.core.job import Job
from headrace.core.plan import FanOut, Plan
from headrace.store.item_tries import ItemClaim


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemWork:
    """
    Everything one try of an item needs to know; secrets are open in it, so it is never logged.

    Attributes:
        job: what never changes of it, and whether somebody asked it to end; the rest may be as it was at an earlier claim.
        sealed: inputs that came with the job, by the names the plan refers to.
        login: what the item is called with, or, in an operation on a login, that one; None where there is none.
    """

    claim: ItemClaim
    item: Item
    job: Job
    plan: Plan
    sealed: Mapping[str, Any]
    login: AuthSession | None = None

    @property
    def fan_out(self) -> FanOut:
        assert self.plan.fan_out is not None  # noqa: S101 - only such jobs have items
        return self.plan.fan_out


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedTry:
    """A try that is over, with the ticket under which it ran."""

    work: ItemWork
    end: ItemEnd
    ticket: queue.Claim
    now: datetime
