"""
Workspaces that are made and deleted over a wire, beside those that headrace.yml declares and owns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from contextlib import suppress
from uuid import UUID

import structlog

from headrace.core.errors import ConflictError, FinalStateError, NotFoundError
from headrace.core.job import Job
from headrace.services.access import Access
from headrace.services.jobs import Jobs
from headrace.services.project_times import times_of
from headrace.services.tenants import snapshots_in
from headrace.store import pruning
from headrace.store.database import Database
from headrace.store.files import FileStore
from headrace.store.job_rows import folder_of
from headrace.store.workspace_lives import StoredProject, WorkspaceLives
from headrace.store.workspaces import Workspace

log = structlog.get_logger(__name__)

_BATCH = 200
_NOT_IN_NAMES = re.compile(r"[^a-z0-9._]+")
_NAME_LENGTH = 48


class Workspaces:
    """
    A duty too: `tick` finishes deletions.

    Args:
        declared: names the workspaces that headrace.yml has now.
    """

    def __init__(
        self,
        database: Database,
        files: FileStore,
        jobs: Jobs,
        access: Access,
        *,
        declared: Callable[[], Collection[str]],
    ) -> None:
        self._database = database
        self._lives = WorkspaceLives(database)
        self._files = files
        self._jobs = jobs
        self._access = access
        self._declared = declared

    def is_declared(self, workspace: Workspace) -> bool:
        """
        Say whether headrace.yml has a workspace, and so owns it.
        """
        return workspace.name in self._declared()

    async def create(self, workspace_id: UUID, title: str) -> bool:
        """
        Make a workspace whose name in paths is made of its title; False when its id is taken.

        Raises:
            ConflictError: the id belongs to a workspace that is being deleted, or no name is free.
        """
        for name in (_name_of(title), f"{_name_of(title)}-{workspace_id.hex[:8]}", str(workspace_id.hex)):
            if await self._lives.add(workspace_id, name, {"environment": {}, "webhooks": [], "settings": {}}):
                return True
            if await self._lives.known(workspace_id):
                break
        if workspace_id in {each.id for each in await self._lives.hidden()}:
            raise ConflictError(f"Workspace {workspace_id} is being deleted.", "Choose another id.", field="id")
        return False

    async def delete(self, workspace: Workspace) -> None:
        """
        Take a workspace from everybody at once; what is its goes as soon as its jobs have ended, which they are asked to now.

        Raises:
            ConflictError: headrace.yml declares it.
        """
        if self.is_declared(workspace):
            raise ConflictError(
                f"Workspace {workspace.name} is declared in headrace.yml, which owns it.",
                "Take it out of that file first, then delete it here.",
            )
        await self._lives.hide(workspace.id)
        self._access.forget(workspace.id)
        log.info("workspace deleted", workspace=workspace.name, id=str(workspace.id))
        await self._finish(workspace)

    async def tick(self) -> int:
        """
        Finish deletions as far as running jobs let them; gives the number of those that are done.
        """
        return sum([await self._finish(workspace) for workspace in await self._lives.hidden()])

    async def init_jobs(self) -> dict[UUID, UUID]:
        """
        Give the job that is to make the project of each workspace that has none yet.
        """
        return await self._lives.init_jobs()

    async def initialised_by(self, workspace_id: UUID, job: Job) -> None:
        """
        Note which job makes a workspace's project.
        """
        await self._lives.set_init_job(workspace_id, job.id)

    async def put_in_force(self, workspace_id: UUID, *, digest: str, commit: str) -> None:
        """
        Let a stored project be the workspace's.
        """
        await self._lives.set_project(workspace_id, StoredProject(digest=digest, commit=commit))

    async def _finish(self, workspace: Workspace) -> bool:
        """
        Files go before the rows that lead to them: what a crash leaves is found again.
        """
        for job_id, asked in await self._lives.unfinished_jobs(workspace.id):
            if not asked:
                with suppress(FinalStateError, NotFoundError):  # it ended meanwhile
                    await self._jobs.cancel(job_id, by="the deletion of its workspace", workspace_id=None)
        if await self._lives.unfinished_jobs(workspace.id):
            return False
        while batch := await self._lives.finished_jobs(workspace.id, limit=_BATCH):
            for job_id, created_at in batch:
                await self._files.remove(folder_of(job_id, created_at))
                await self._files.remove(f"logs/{job_id}")
            await pruning.delete(self._database, [job_id for job_id, _ in batch])
        await self._files.remove(snapshots_in(workspace.id))
        await self._files.remove(times_of(workspace.id))
        return await self._lives.remove(workspace.id)


def _name_of(title: str) -> str:
    """
    Make a name that headrace.yml could have, too; never one that reads like an id.
    """
    plain = _NOT_IN_NAMES.sub("-", title.lower())[:_NAME_LENGTH].strip("-._")
    try:
        UUID(plain)
    except ValueError:
        return plain or "workspace"
    return f"workspace-{plain}"[:_NAME_LENGTH]
