"""
Tenants: listing them, what is kept of them, and forgetting them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from headrace.core.errors import ConflictError, NotFoundError
from headrace.services.jobs import Jobs
from headrace.store import pruning
from headrace.store.database import Database
from headrace.store.files import FileStore
from headrace.store.job_rows import folder_of
from headrace.store.tenants import MAPPING as MAPPING  # dialects name these three too, and may not ask the store
from headrace.store.tenants import METADATA as METADATA
from headrace.store.tenants import Tenant as Tenant
from headrace.store.tenants import Tenants as TenantStore

_BATCH = 200


class Tenants:
    """
    What may be asked about tenants; whoever calls has checked the actor's scope.
    """

    def __init__(self, database: Database, tenants: TenantStore, files: FileStore, jobs: Jobs) -> None:
        self._database = database
        self._tenants = tenants
        self._files = files
        self._jobs = jobs

    async def ids(self, workspace_id: UUID, *, prefix: str = "") -> list[str]:
        """
        List the tenants whose ids begin with *prefix*, in the order of their ids.
        """
        return await self._tenants.ids(workspace_id, prefix=prefix)

    async def get(self, workspace_id: UUID, tenant: str) -> Tenant:
        """
        Give what is kept of a tenant; nothing of one that nobody knows.
        """
        async with self._database.connection() as connection:
            return await self._tenants.read(connection, workspace_id, tenant) or Tenant()

    async def save(
        self,
        workspace_id: UUID,
        tenant: str,
        *,
        config: Mapping[str, Any] | None = None,
        mapping: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Tenant:
        """
        Replace a tenant's config, mapping or metadata, each as a whole; None leaves one as it is.
        """
        given = {"config": config, "mapping": mapping, "metadata": metadata}
        changed: dict[str, Any] = {name: dict(value) for name, value in given.items() if value is not None}
        async with self._database.transaction() as connection:
            await self._tenants.ensure(connection, workspace_id, tenant)
            kept = await self._tenants.read(connection, workspace_id, tenant, lock=True) or Tenant()
            kept = replace(kept, **changed)
            await self._tenants.save(connection, workspace_id, tenant, kept)
        return kept

    async def delete(self, workspace_id: UUID, tenant: str, *, by: str, cancel: bool = False) -> None:
        """
        Delete a tenant with all that is theirs: connections, bookmarks, schedules, config, kept files, jobs with files and logs.

        Files go before the rows that lead to them, so that a deletion which died half-way is finished by repeating it. With *cancel*
        the tenant's jobs are ended first; those that a worker has begun need their grace time, and until then this is refused.

        Raises:
            NotFoundError: nobody knows the tenant.
            ConflictError: a job of theirs has not ended.
        """
        await self._end_jobs(workspace_id, tenant, by=by if cancel else None)
        await self._files.remove(snapshots_of(workspace_id, tenant))
        known = await self._delete_jobs(workspace_id, tenant)
        async with self._database.transaction() as connection:
            # A schedule may have fired in between; its job keeps what it runs on.
            self._refuse_unfinished(await self._tenants.unfinished_jobs(connection, workspace_id, tenant))
            deleted = await self._tenants.delete(connection, workspace_id, tenant)
        if not known and not deleted:
            raise NotFoundError(f"There is no tenant {tenant!r}.", "List tenants with GET /tenants/{env_id}.")

    async def _end_jobs(self, workspace_id: UUID, tenant: str, *, by: str | None) -> None:
        async with self._database.connection() as connection:
            unfinished = await self._tenants.unfinished_jobs(connection, workspace_id, tenant)
        if by is not None:
            for job_id, _ in unfinished:
                await self._jobs.cancel(job_id, by=by, workspace_id=workspace_id)
            async with self._database.connection() as connection:
                unfinished = await self._tenants.unfinished_jobs(connection, workspace_id, tenant)
        self._refuse_unfinished(unfinished)

    @staticmethod
    def _refuse_unfinished(unfinished: list[tuple[UUID, str]]) -> None:
        if unfinished:
            raise ConflictError(
                f"{len(unfinished)} of the tenant's jobs have not ended, the oldest is {unfinished[0][1]!r}.",
                "Wait for them, or repeat the call with `cancel=true` until it succeeds.",
                jobs=[str(job_id) for job_id, _ in unfinished[:10]],
            )

    async def _delete_jobs(self, workspace_id: UUID, tenant: str) -> bool:
        found = False
        while batch := await self._tenants.finished_jobs(workspace_id, tenant, limit=_BATCH):
            found = True
            for job_id, created_at in batch:
                await self._files.remove(folder_of(job_id, created_at))
                await self._files.remove(f"logs/{job_id}")
            await pruning.delete(self._database, [job_id for job_id, _ in batch])
        return found


def snapshots_of(workspace_id: UUID, tenant: str) -> str:
    """
    Name the folder of a tenant's kept files; never after what a caller chose.
    """
    return f"{snapshots_in(workspace_id)}/{hashlib.sha256(tenant.encode()).hexdigest()[:32]}"


def snapshots_in(workspace_id: UUID) -> str:
    """
    Name the folder of the kept files of all tenants of a workspace.
    """
    return f"snapshots/{workspace_id}"
