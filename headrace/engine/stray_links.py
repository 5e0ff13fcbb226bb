"""
Links to the folders of jobs that a worker which died left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from headrace.runners.automation_project import SHORT_NAMES, SHORT_NAMES_FOLDER
from headrace.runners.home_link import HOME, links_into
from headrace.services.attempts import Attempts


async def sweep_links(
    attempts: Attempts, folder: Path, *, home: Path = HOME, short_names: Path = SHORT_NAMES_FOLDER
) -> None:
    """
    Remove the links into folders of jobs below *folder* that have ended: those under *home*, and the short names of items' folders.

    A job that waits for its next attempt may begin it meanwhile, so it keeps its own.

    Raises:
        RetriableError: the database does not answer.
    """
    links = await asyncio.to_thread(links_into, folder, home=home)
    links |= await asyncio.to_thread(links_into, folder, home=short_names, names=f"{SHORT_NAMES}*")
    if not links:
        return
    live = await attempts.unfinished(links.values())
    for link in [link for link, job_id in links.items() if job_id not in live]:
        with contextlib.suppress(OSError):
            link.unlink()
