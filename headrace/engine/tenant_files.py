"""
What a tenant keeps between jobs: snapshots, id maps, and the tenant's own config.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from headrace.core.job import Job
from headrace.runners.id_map import add_ids
from headrace.runners.job_root import JobRoot, read_json, write_json
from headrace.runners.snapshots import bring_snapshots, give_back_snapshots
from headrace.services.attempts import Work
from headrace.services.tenant_locks import TenantLocks
from headrace.store.files import FileStore

Details = Mapping[str, list[dict[str, Any]]]


class TenantFiles:
    """
    Brings a tenant's files into a job's folder, and keeps what the job has made of them.

    Args:
        locks: keep two jobs, on whatever machines, from writing one tenant's files at once.
    """

    def __init__(self, files: FileStore, locks: TenantLocks) -> None:
        self._files = files
        self._locks = locks

    async def bring(self, work: Work, root: JobRoot) -> None:
        """
        Put the tenant's kept files into the job's folder, once: a later attempt goes on with what is there.
        """
        if work.plan.snapshots and not root.given_snapshots.exists():
            await self.bring_again(work, root)

    async def bring_again(self, work: Work, root: JobRoot) -> None:
        """
        Put the kept files there in place of what a script that was cut off has made of them.
        """
        if not work.plan.snapshots:
            return
        prefix = folder_of_tenant(work.job)
        # In a local store files are replaced whole, so whoever reads needs no lock.
        async with self._locks.held(work, prefix) if self._files.remote else nullcontext():
            kept = await self._files.refresh(prefix)
            # Of a remote store each file would be one more upload.
            await asyncio.to_thread(bring_snapshots, kept, root, remember=not self._files.remote)

    async def keep(self, work: Work, root: JobRoot, details: Iterable[Details]) -> None:
        """
        Keep what the job has changed, and add to the id maps what its targets reported.

        Raises:
            FencedError: another worker owns the job.
        """
        if not work.plan.snapshots:
            return
        prefix = folder_of_tenant(work.job)
        async with self._locks.held(work, prefix):
            kept = await self._files.refresh(prefix)
            await asyncio.to_thread(self._write, work, root, kept, list(details))
            await self._files.publish(prefix)

    @staticmethod
    def _write(work: Work, root: JobRoot, kept: Path, details: list[Details]) -> None:
        give_back_snapshots(root, kept)
        for one in details:
            add_ids(kept, work.job.definition, one)


def lay_tenant_config(work: Work, root: JobRoot) -> None:
    """
    Write `snapshots/tenant-config.json`, for scripts and targets to read and edit.

    What is kept of the tenant goes over a file of that name that came with the snapshots. Nothing is written where nothing is known.
    """
    config = {**(read_json(root.tenant_config) or {}), **work.tenant_config}
    if config:
        write_json(root.tenant_config, config, secret=True)


def edited_tenant_config(work: Work, root: JobRoot) -> dict[str, Any] | None:
    """
    Give the tenant's config as a script has left it; None when it is what is kept, or no config any more.
    """
    found = read_json(root.tenant_config)
    return found if isinstance(found, dict) and found != work.tenant_config else None


def folder_of_tenant(job: Job) -> str:
    """
    Name the folder of a tenant's kept files; tenants may contain any character, so it is a digest.
    """
    tenant = hashlib.sha256(job.tenant.encode()).hexdigest()[:32]
    return f"snapshots/{job.workspace_id}/{tenant}"
