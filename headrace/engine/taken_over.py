"""
What a job takes over from an earlier one: the files that steps of it made which are not run again.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from headrace.core.errors import ConflictError
from headrace.core.plan import Reuse
from headrace.runners.job_root import JobRoot, read_json, write_json
from headrace.store.files import FileStore

# The snapshots are the tenant's as they are now; what programs said, errors and settings belong to the earlier job.
_OF_SOURCES = ("sync-output", "catalog.json", "catalog-selected.json", "state.json")
_OF_SCRIPT = ("etl-output", "incremental_target_state.json")  # the second lets the target go on where it was ended


async def take_over(reuse: Reuse, root: JobRoot, files: FileStore) -> None:
    """
    Copy what is needed into the job's folder, once: a later attempt goes on with what is there.

    Raises:
        ConflictError: the earlier job's files went while this one waited.
    """
    done = root.work / "taken-over"
    if done.exists():
        return
    earlier = JobRoot(await files.obtain(reuse.folder))
    if not any(earlier.folder.glob("*")):
        raise ConflictError(
            "The files of the earlier job, from which this one was to go on, are gone.", "Run the flow anew."
        )
    await asyncio.to_thread(_copy, reuse, earlier, root)
    done.touch()


def _copy(reuse: Reuse, earlier: JobRoot, root: JobRoot) -> None:
    names = list(_OF_SOURCES)
    if "etl" in reuse.steps:
        accounts = earlier.folder.glob(f"targets/*/{earlier.incremental_target_state.name}")
        names += [*_OF_SCRIPT, *(str(account.relative_to(earlier.folder)) for account in accounts)]
    for name in names:
        _replace(earlier.folder / name, root.folder / name)
    if reuse.bookmark and (bookmark := read_json(earlier.new_bookmark)) is not None:
        write_json(root.new_bookmark, bookmark, durable=True)


def _replace(source: Path, to: Path) -> None:
    if source.is_symlink():
        return
    if source.is_dir():
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(source, to, symlinks=True)
    elif source.is_file():
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, to)
