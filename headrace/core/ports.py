"""
What services promise to be given, so that they need not import upwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from headrace.core.fan_out import Item
from headrace.core.job import Job


class Dialect(Protocol):
    """
    The wire of one product, as far as the core has to know it. All methods are pure.

    One whose jobs are told to other webhooks than those of `job-lifecycle` names theirs in an attribute `subscription`.
    """

    name: str

    def details(self, job: Job) -> dict[str, Any]:
        """
        Show a job in the dialect's words: what is sent by webhook and written to the job's root.
        """
        ...

    def topic(self, job: Job) -> str:
        """
        Name what the job's last change means to a subscriber, such as `SYNC_STARTED`; empty when it means nothing.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemOutcome:
    """
    How an item ended, as a sink is told.

    Attributes:
        topic: what happened, in a word.
        path: name of the object that a bucket keeps it under, after the sink's own prefix.
        body: JSON values.
    """

    topic: str
    path: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobNotice:
    """
    What a job's own notification is told when the job rests or has ended.

    Attributes:
        sealed: name of the sealed input with its headers.
    """

    sealed: str
    url: str
    topic: str
    body: dict[str, Any]


@runtime_checkable
class ItemDialect(Protocol):
    """A dialect whose jobs have items."""

    def notices(self, job: Job) -> Sequence[JobNotice]:
        """
        Say who is told, by the job's own definition, of what it has just become; nobody while it goes on.
        """
        ...

    def item_outcome(self, job: Job, item: Item) -> ItemOutcome | None:
        """
        Show how an item ended; None when sinks are not told of such an end.
        """
        ...
