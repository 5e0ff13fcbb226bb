"""
Copies of Meltano projects that a worker which died left behind.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from headrace.runners.project_place import ProjectPlace, taken_places
from headrace.services.attempts import Attempts
from headrace.store.files import FileStore

log = structlog.get_logger(__name__)


async def sweep_places(attempts: Attempts, files: FileStore, places: Path) -> None:
    """
    Move the copies below *places* whose jobs have ended into their jobs' folders, as far as these are known.

    A job that waits for its next attempt may begin it meanwhile, so its place is its own to clear.

    Raises:
        RetriableError: the database does not answer.
    """
    taken = await asyncio.to_thread(taken_places, places)
    if not taken:
        return
    job_ids = {owner.job_id for owner in taken.values()}
    ended = job_ids - await attempts.unfinished(job_ids)
    folders = await attempts.folders(ended)
    for folder, owner in taken.items():
        if owner.job_id in ended:
            await _clear(ProjectPlace(folder, owner), files, folders.get(owner.job_id))


async def _clear(place: ProjectPlace, files: FileStore, prefix: str | None) -> None:
    """
    Leave a place in its dead owner's name.
    """
    try:
        if prefix is None:
            await asyncio.to_thread(place.leave, None)
        else:
            await asyncio.to_thread(place.leave, await files.obtain(prefix) / "project")
            await files.publish(prefix)
    except OSError as error:
        log.warning("a project of a dead worker stays", place=str(place.project), reason=str(error))
