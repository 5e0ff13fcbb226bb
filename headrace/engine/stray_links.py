"""
Links to the folders of jobs that a worker which died left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import structlog

from headrace.core.errors import RetriableError
from headrace.runners.home_link import HOME, links_into
from headrace.services.attempts import Attempts

log = structlog.get_logger(__name__)


async def sweep_links(attempts: Attempts, folder: Path, *, home: Path = HOME) -> None:
    """
    Remove the links to folders of jobs below *folder* that have ended; nothing where the database does not answer.

    A job that waits for its next attempt may begin it meanwhile, so it keeps its own.
    """
    links = await asyncio.to_thread(links_into, folder, home=home)
    if not links:
        return
    try:
        live = await attempts.unfinished(links.values())
    except RetriableError as error:
        log.warning("links of dead workers stay", reason=error.reason)
        return
    for link in [link for link, job_id in links.items() if job_id not in live]:
        with contextlib.suppress(OSError):
            link.unlink()
