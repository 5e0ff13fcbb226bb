"""
What services promise to be given, so that they need not import upwards.
"""

from __future__ import annotations

from typing import Any, Protocol

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
