"""
What a job left behind, and what its script was given.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path
from starlette.responses import StreamingResponse

from headrace.api.asking import Asked, Asking
from headrace.api.views import FilesView, FileView, InputsView
from headrace.core.actor import Actor, Scope
from headrace.core.job import Job
from headrace.http.services_bundle import Services

router = APIRouter(tags=["files"])

FilePath = Annotated[str, Path(min_length=1, max_length=4096)]
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}


@router.get("/jobs/{job_id}/files")
async def list_files(services: Asked, actor: Asking, job_id: UUID) -> FilesView:
    """
    List the files in a job's folder; those with settings only for keys that may see secrets.
    """
    job = await _job(services, actor, job_id)
    found = await services.job_files.listed(job, secrets=actor.may(Scope.SECRETS))
    return FilesView(files=[FileView(path=path, size_bytes=size) for path, size in found.items()])


@router.get("/jobs/{job_id}/files/{path:path}", response_class=StreamingResponse, responses=_BYTES)
async def read_file(services: Asked, actor: Asking, job_id: UUID, path: FilePath) -> StreamingResponse:
    """
    Read one file in a job's folder.
    """
    job = await _job(services, actor, job_id, Scope.DATA)
    found = await services.job_files.read(job, path, secrets=actor.may(Scope.SECRETS))
    return _streamed(found)


@router.get("/jobs/{job_id}/inputs")
async def list_inputs(services: Asked, actor: Asking, job_id: UUID) -> InputsView:
    """
    Tell what a job's script was given: its files, snapshots as they were before, and its environment.
    """
    job = await _job(services, actor, job_id)
    return InputsView.model_validate(await services.job_files.inputs(job, secrets=actor.may(Scope.SECRETS)))


@router.get("/jobs/{job_id}/inputs/{path:path}", response_class=StreamingResponse, responses=_BYTES)
async def read_input(services: Asked, actor: Asking, job_id: UUID, path: FilePath) -> StreamingResponse:
    """
    Read one file that a job's script was given: `script/` or `files/`, and its path.
    """
    job = await _job(services, actor, job_id, Scope.DATA)
    found = await services.job_files.read_input(job, path, secrets=actor.may(Scope.SECRETS))
    return _streamed(found)


async def _job(services: Services, actor: Actor, job_id: UUID, scope: Scope = Scope.READ) -> Job:
    actor.require(scope)
    return await services.jobs.get(job_id, workspace_id=actor.workspace_id)


def _streamed(pieces: Any) -> StreamingResponse:
    # A job's file is nobody's page: no browser may run it with this server's rights.
    headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(pieces, media_type="application/octet-stream", headers=headers)
