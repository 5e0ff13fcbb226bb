"""
Copies of Meltano projects that a worker which died left behind.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from headrace.core.errors import RetriableError
from headrace.runners.project_place import clear_place, taken_places
from headrace.services.attempts import Attempts

log = structlog.get_logger(__name__)


async def sweep_places(attempts: Attempts, folder: Path) -> None:
    """
    Remove the copies below *folder* whose jobs do not run; nothing where the database does not answer.

    The places are listed before it is asked, so that a job which begins meanwhile keeps its own.
    """
    places = await asyncio.to_thread(taken_places, folder)
    if not places:
        return
    try:
        live = await attempts.running(places.values())
    except RetriableError as error:
        log.warning("projects of dead workers stay", reason=error.reason)
        return
    for place, job_id in places.items():
        if job_id not in live:
            await asyncio.to_thread(clear_place, place, job_id)
