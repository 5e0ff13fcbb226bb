"""
Jobs of pipelines as callers see them: in pages, one by one, stopped, deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from headrace.core.errors import FinalStateError, HeadraceError, NotFoundError
from headrace.core.job import Job, NewJob
from headrace.core.plan import Plan
from headrace.core.state import JobState
from headrace.services.jobs import Jobs
from headrace.store import job_reads, pipeline_catalogs, pipeline_jobs, pipeline_states, pruning
from headrace.store.database import Database
from headrace.store.files import FileStore
from headrace.store.job_rows import folder_of
from headrace.store.logs import LogEntry as LogEntry  # dialects name it too, and may not ask the store


class PipelineJobs:
    """
    Args:
        dialect: whose jobs these are.
    """

    def __init__(self, database: Database, files: FileStore, jobs: Jobs, *, dialect: str) -> None:
        self._database = database
        self._files = files
        self._jobs = jobs
        self._dialect = dialect

    async def submit(self, new: NewJob, plan: Plan) -> Job:
        """
        Submit a job, and owe what follows from it; raises what `Jobs.submit` raises.
        """
        await pipeline_jobs.owe(self._database, new.id)
        try:
            submission = await self._jobs.submit(new, plan)
        except HeadraceError:
            await pipeline_jobs.done(self._database, new.id)
            raise
        if submission.job.id != new.id:  # the idempotency key was known
            await pipeline_jobs.done(self._database, new.id)
        return submission.job

    async def find(self, job_id: UUID) -> Job:
        """
        Raises:
            NotFoundError: there is no such job in any workspace, or it was deleted.
        """
        job = await pipeline_jobs.find(self._database, job_id, dialect=self._dialect)
        if job is None:
            raise NotFoundError(f"Entity not found: {job_id}", entity=str(job_id))
        return job

    async def page(
        self,
        workspace_id: UUID,
        definition: UUID | None = None,
        *,
        offset: int,
        limit: int,
        sort: Sequence[tuple[str, bool]] = (),
    ) -> tuple[list[Job], int]:
        """
        List a part of the jobs of a workspace, or of one pipeline in it, newest first; and count them all.
        """
        return await pipeline_jobs.page(
            self._database,
            dialect=self._dialect,
            workspace_id=workspace_id,
            definition=str(definition) if definition else None,
            offset=offset,
            limit=limit,
            sort=sort,
        )

    async def states_of(self, job_ids: Sequence[UUID]) -> dict[UUID, JobState]:
        """
        Tell how jobs stand; one that is gone is missing.
        """
        return await pipeline_jobs.states_of(self._database, job_ids)

    async def logs(self, job: Job, *, after: int, limit: int) -> list[LogEntry]:
        """
        Read the lines of a job's log with numbers above *after*; numbers begin with 1.
        """
        return await self._jobs.logs(job.id, after=after, limit=limit)

    async def active(self, workspace_id: UUID, definition: str) -> Job | None:
        """
        Give the job of a definition that has not ended; None when there is none.
        """
        found, _ = await pipeline_jobs.page(
            self._database,
            dialect=self._dialect,
            workspace_id=workspace_id,
            definition=definition,
            offset=0,
            limit=1,
        )
        return found[0] if found and not found[0].final else None

    async def stop(self, job: Job, *, by: str) -> None:
        """
        Ask a job to end: at once when it has not started, else within its grace time.

        Raises:
            FinalStateError: it has ended.
        """
        await self._jobs.cancel(job.id, by=by, workspace_id=job.workspace_id)

    async def delete(self, job: Job, *, by: str) -> None:
        """
        Hide a job for good and end it if it has not ended; record, files and logs go as soon as it has.
        """
        await pipeline_jobs.ask_delete(self._database, job.id)
        if not job.final:
            with suppress(FinalStateError):  # it ended meanwhile
                await self.stop(job, by=by)
        await self.remove_deleted()

    async def forget_state(self, workspace_id: UUID, definition: str) -> None:
        """
        Forget how far a definition has read and what its extractors have: it is gone.
        """
        async with self._database.transaction() as connection:
            await pipeline_states.forget(connection, workspace_id, definition)
            await pipeline_catalogs.forget(connection, workspace_id, definition)

    async def owing(self, *, limit: int = 100) -> list[Job]:
        """
        List jobs from which something may follow now, oldest first.
        """
        return await pipeline_jobs.owing(self._database, limit=limit)

    async def started_told(self, job: Job) -> bool:
        """
        Note that a job's start was told; False when it was before.
        """
        return await pipeline_jobs.started_told(self._database, job.id)

    async def followed(self, job: Job) -> None:
        """
        Note that all that follows from a job has been done.
        """
        await pipeline_jobs.done(self._database, job.id)

    async def forget_strays(self) -> int:
        """
        Drop duties whose jobs were never made; gives their number.
        """
        return await pipeline_jobs.forget_strays(self._database)

    async def remove_deleted(self) -> int:
        """
        Remove what is left of ended jobs whose deletion was asked for; gives their number.

        Files go before the row, the duty goes last: what a crash leaves is found again.
        """
        removed = 0
        for job_id in await pipeline_jobs.to_delete(self._database):
            async with self._database.connection() as connection:
                job = await job_reads.read(connection, job_id)
            if job is not None and not job.final:
                continue
            if job is not None:
                await self._files.remove(folder_of(job.id, job.created_at))
                await self._files.remove(f"logs/{job.id}")
                await pruning.delete(self._database, [job.id])
            await pipeline_jobs.forget(self._database, job_id)
            removed += 1
        return removed
