"""
What a command step is handed by its attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from headrace.core.plan import Limits
from headrace.runners.job_root import JobRoot
from headrace.runners.logs import JobLog
from headrace.runners.stage import Stage
from headrace.services.attempts import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """
    What a command step is handed by its attempt.

    Attributes:
        stage: lends a stage of a name and limits; on leaving it, every child is gone.
        secrets: values that no log may show.
        progress: leaves word of the step, written within a second.
    """

    work: Work
    root: JobRoot
    book: JobLog
    stage: Callable[[str, Limits], AbstractAsyncContextManager[Stage]]
    secrets: frozenset[str]
    progress: Callable[[dict[str, Any]], None]
