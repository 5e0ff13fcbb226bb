"""
Batches, and the jobs that are made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import structlog

from headrace.core.batch import Batch, CodeBatch
from headrace.core.errors import ConflictError, FinalStateError, NotFoundError
from headrace.core.fan_out import Item
from headrace.core.job import Job, NewJob
from headrace.core.plan import Plan
from headrace.core.state import StepState
from headrace.services.fan_outs import FanOuts
from headrace.services.jobs import Jobs
from headrace.store.batches import SORTABLE as SORTABLE  # the wire names the columns, and may not ask the store
from headrace.store.batches import Batches as BatchTable

log = structlog.get_logger(__name__)

PAUSED_BY_USER = {"type": "paused", "message": "Paused by a user."}


class Batches:
    """
    Whoever calls has checked the actor's scope.

    Args:
        new_id: makes a UUID.
    """

    def __init__(self, table: BatchTable, jobs: Jobs, fan_outs: FanOuts, *, new_id: Callable[[], UUID]) -> None:
        self._table = table
        self._jobs = jobs
        self._fan_outs = fan_outs
        self._new_id = new_id

    async def create(
        self, workspace_id: UUID, project: str, name: str, *, definition: bytes, secrets: dict[str, Any]
    ) -> Batch:
        """
        Raises:
            ConflictError: the project has a batch of that name.
        """
        return await self._table.insert(
            self._new_id(),
            workspace_id=workspace_id,
            project=project,
            name=name,
            definition=definition,
            secrets=secrets,
        )

    async def update(self, batch: Batch, *, definition: bytes, secrets: dict[str, Any]) -> None:
        """
        Replace what a batch says; a job that runs keeps what it began with.

        Raises:
            ConflictError: it is defined by code.
            NotFoundError: it has been deleted meanwhile.
        """
        _refuse_code(batch)
        if not await self._table.replace(batch, definition=definition, secrets=secrets):
            raise _unknown(batch.name)

    async def get(self, workspace_id: UUID, project: str, name: str) -> Batch:
        """
        Raises:
            NotFoundError: the project has no such batch.
        """
        found = await self._table.find(workspace_id, project, name)
        if found is None:
            raise _unknown(name)
        return found

    async def of_project(self, workspace_id: UUID, project: str) -> Sequence[Batch]:
        """
        List a project's batches, the oldest first.
        """
        return await self._table.of_project(workspace_id, project)

    async def pause(self, batch: Batch, *, by: str) -> None:
        """
        Start no more jobs of a batch, as *by* has asked, and no more items of the one that runs.
        """
        await self._table.set_paused(batch.id, PAUSED_BY_USER)
        active = await self._table.unfinished_job(batch.workspace_id, key_of(batch))
        if active is not None:
            await self._fan_outs.pause(active, by=by)

    async def resume(self, batch: Batch, *, by: str) -> None:
        """
        Let a batch and its paused job go on, as *by* has asked.
        """
        await self._table.set_paused(batch.id, None)
        active = await self._table.unfinished_job(batch.workspace_id, key_of(batch))
        if active is not None:
            await self._fan_outs.resume(active, by=by)

    async def delete(self, batch: Batch, *, by: str) -> None:
        """
        Forget a batch and end the job that runs; what it made stays in the history of the core.

        Raises:
            ConflictError: it is defined by code.
        """
        _refuse_code(batch)
        await self._forget(batch, by=by)

    async def _forget(self, batch: Batch, *, by: str) -> None:
        await self._table.delete(batch.id)
        active = await self._table.unfinished_job(batch.workspace_id, key_of(batch))
        if active is not None:
            await self._terminate(active, by)

    async def keep_code(
        self, workspace_id: UUID, project: str, wanted: Sequence[CodeBatch], *, spared: Container[str] = ()
    ) -> None:
        """
        Make a project's batches that are defined by code what *wanted* says: new ones, changed ones, and no others.

        Those named in *spared* stay as they are. One that the API made keeps its name; the file of that name defines nothing.
        """
        known = {batch.name: batch for batch in await self._table.of_project(workspace_id, project)}
        for code in wanted:
            batch = known.pop(code.name, None)
            if batch is None:
                await self._insert_code(workspace_id, project, code)
            elif batch.source != "CODE":
                log.warning("the job of a file has the name of one that the API made", project=project, job=code.name)
            elif (batch.definition, batch.secrets) != (code.definition, code.secrets):
                await self._table.replace(batch, definition=code.definition, secrets=code.secrets)
        for batch in known.values():
            if batch.source == "CODE" and batch.name not in spared:
                await self._forget(batch, by="the project")

    async def _insert_code(self, workspace_id: UUID, project: str, code: CodeBatch) -> None:
        with suppress(ConflictError):  # another server of the same project was first
            await self._table.insert(
                self._new_id(),
                workspace_id=workspace_id,
                project=project,
                name=code.name,
                definition=code.definition,
                secrets=code.secrets,
                source="CODE",
            )

    async def start(self, batch: Batch, new: NewJob, plan: Plan) -> Job:
        """
        Submit a job that was compiled of a batch; while another runs, it is recorded as cancelled.

        Raises:
            ConflictError: the batch is paused.
        """
        refuse_paused(batch)
        job = (await self._jobs.submit(new, plan)).job
        if job.final:
            return job
        await self._table.note_run(batch.id)
        # Whoever paused or deleted the batch since it was read has looked for its job before this one was there.
        now = await self._table.find(batch.workspace_id, batch.project, batch.name)
        if now is None or now.id != batch.id:
            await self._terminate(job.id, "the deletion of the job")
        elif now.paused:
            await self._fan_outs.pause(job.id, by="whoever paused the job")
        return job

    async def failed_items(self, batch: Batch, job_id: UUID) -> tuple[Job, Plan, dict[str, Any], Sequence[Item]]:
        """
        Give what a new job of an ended one's failed and cancelled items is made of: that job, its plan, its sealed inputs, the items.

        Raises:
            NotFoundError: no such job was made of the batch.
            ConflictError: it has not ended, or all of its items completed.
        """
        job = await self.job(batch, job_id)
        if not job.final:
            raise ConflictError("The job run has not ended.", "Wait for it, or end it first.")
        items = [item async for item in self._fan_outs.every_item(job.id) if item.state is not StepState.COMPLETED]
        if not items:
            what = (
                "All runs of the job run completed."
                if job.items is not None
                else "The job run has no runs: it never began."
            )
            raise ConflictError(what, "Trigger the job to run all of them.")
        plan, sealed = await self._fan_outs.plan_of(job.id)
        return job, plan, sealed, items

    async def jobs(
        self, batch: Batch, *, order: Sequence[tuple[str, bool]], limit: int, offset: int
    ) -> tuple[Sequence[Job], int]:
        """
        List the jobs of a batch, and how many there are in all; *order* has names out of `SORTABLE`, each with whether it falls.
        """
        return await self._table.jobs(
            batch.workspace_id, definition_of(batch), batch.id, order=order, limit=limit, offset=offset
        )

    async def job(self, batch: Batch, job_id: UUID) -> Job:
        """
        Raises:
            NotFoundError: no such job was made of the batch.
        """
        job = await self._jobs.get(job_id, workspace_id=batch.workspace_id)
        if job.details.get("batch") != str(batch.id):
            raise NotFoundError(f"There is no run {job_id} of the job {batch.name!r}.", "Check the id.")
        return job

    async def terminate(self, batch: Batch, job_id: UUID, *, by: str) -> None:
        """
        End a job of a batch; one that has ended stays as it is.

        Raises:
            NotFoundError: no such job was made of the batch.
        """
        job = await self.job(batch, job_id)
        if not job.final:
            await self._terminate(job.id, by)

    async def _terminate(self, job_id: UUID, by: str) -> None:
        try:
            await self._fan_outs.terminate(job_id, by=by)
        except FinalStateError:
            return  # it ended by itself meanwhile


def refuse_paused(batch: Batch) -> None:
    """
    Raises:
        ConflictError: the batch is paused.
    """
    if batch.paused:
        raise ConflictError("The job is paused.", "Resume it first.")


def definition_of(batch: Batch) -> str:
    """
    Give what the jobs of a batch have as their definition.
    """
    return f"{batch.project}/{batch.name}"


def key_of(batch: Batch) -> str:
    """
    Give the exclusivity key of a batch's jobs; one that is made anew under an old name has another.
    """
    return f"batch:{batch.id}"


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"There is no job {name!r}.", "List the jobs of the project.")


def _refuse_code(batch: Batch) -> None:
    if batch.source == "CODE":
        raise ConflictError(f"The job {batch.name!r} is defined by a file of the project.", "Change the file instead.")
