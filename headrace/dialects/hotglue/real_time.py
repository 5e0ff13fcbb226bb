"""
Real-time writes: one record, or a few, of one stream to a tenant's connector, without the flow's script.

hotglue's call is in beta, and documented with an example. Here it is a V2 write job of its own kind: the record becomes a stream, the
stream Singer messages, and the target says what became of it. It stands in the history of the core API alone, and neither waits for the
flow's jobs nor holds them up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

import msgspec

from headrace.core.errors import NotFoundError
from headrace.core.job import Job, NewJob
from headrace.core.plan import AnyStep, Plan, Script
from headrace.core.state import JobState
from headrace.dialects.hotglue.asking import Asked, Asking
from headrace.dialects.hotglue.compile import API_TAP
from headrace.dialects.hotglue.compile_v2 import ConnectorRun, compile_connector_run
from headrace.dialects.hotglue.project import message, record
from headrace.dialects.hotglue.short_jobs import PRIORITY, ended
from headrace.dialects.hotglue.wire import RunRequest
from headrace.services.connections import Workspace
from headrace.services.flows import FlowOfTenant, Flows
from headrace.services.jobs import Jobs

DIALECT: Final = "hotglue-real-time"

ANSWER_SECONDS: Final = 60.0
"""How long a call waits for the end; a write that takes longer is told as one that was asked for with `async`."""

_LOG_LINES = 1000


class HotglueRealTime:
    """
    Real-time writes, as far as the core has to know them; see `headrace.core.ports.Dialect`. Who asked is told, and nobody else.
    """

    name = DIALECT
    subscription = ""

    def details(self, job: Job) -> dict[str, Any]:
        return record(job)

    def topic(self, _job: Job) -> str:
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """
    What is to be written.

    Attributes:
        rows: records of the stream.
    """

    connector_id: str
    stream: str
    rows: Sequence[dict[str, Any]]
    idempotency_key: str | None = None
    fingerprint: bytes = b""


def compile_write(of: FlowOfTenant, write: Write, asked: Asked) -> tuple[NewJob, Plan]:
    """
    Make the job and the plan of a write.

    Raises:
        InvalidError: the connector is not linked or cannot be written; the reason names the choices.
    """
    request = RunRequest(tap=API_TAP, state={write.stream: list(write.rows)}, ignore_parallel_jobs=True)
    run = ConnectorRun(request=request, connector_id=write.connector_id, job_type="write", override_connector_config={})
    new, plan = compile_connector_run(of, run, asked)
    root = f"{of.tenant}/flows/{of.flow.id}/real-time/{asked.id}"
    steps = tuple(_without_script(step) for step in plan.steps)
    variables = {**plan.variables, "JOB_ROOT": root}
    return (
        replace(new, dialect=DIALECT, root=root, trigger="real-time"),
        msgspec.structs.replace(plan, steps=steps, priority=PRIORITY, variables=variables),
    )


def _without_script(step: AnyStep) -> AnyStep:
    return msgspec.structs.replace(step, source=None) if isinstance(step, Script) else step


class RealTime:
    """
    Args:
        asking: makes what surrounds a call.
    """

    def __init__(
        self,
        flows: Flows,
        jobs: Jobs,
        asking: Asking,
        *,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._flows = flows
        self._jobs = jobs
        self._asking = asking
        self._answer_seconds = answer_seconds

    async def write(self, workspace: Workspace, flow: str, tenant: str, write: Write, *, wait: bool) -> Job:
        """
        Submit a write, and *wait* for its end for as long as a call may last; gives its job as it stands then.

        Raises:
            InvalidError: the connector is not linked or cannot be written.
            ConflictError: the idempotency key was used with another request.
        """
        of = await self._flows.of_tenant(workspace, flow, tenant)
        asked = self._asking(idempotency_key=write.idempotency_key, fingerprint=write.fingerprint)
        job = (await self._jobs.submit(*compile_write(of, write, asked))).job
        return await ended(self._jobs, job, self._answer_seconds) if wait else job

    async def find(self, workspace: Workspace, flow: str, tenant: str, task_id: str) -> Job:
        """
        Find a write by the `taskId` of its answer.

        Raises:
            NotFoundError: the tenant has no such write in this flow.
        """
        try:
            job = await self._jobs.get(UUID(task_id), workspace_id=workspace.id)
        except (ValueError, NotFoundError):
            job = None
        if job is None or (job.dialect, job.definition, job.tenant) != (DIALECT, flow, tenant):
            raise NotFoundError("There is no such task.", "Give the `taskId` of a write's answer.")
        return job

    async def result(self, job: Job) -> dict[str, Any]:
        """
        Show what became of a write that has ended: what the target says of each record, and the log.
        """
        lines = await self._jobs.logs(job.id, limit=_LOG_LINES)
        outputs = [step.output for step in job.steps]
        state: dict[str, Any] = {
            "bookmarks": next((output["export_details"] for output in outputs if output.get("export_details")), {}),
            "summary": next((output["export_summary"] for output in outputs if output.get("export_summary")), {}),
        }
        failed = {} if job.state is JobState.COMPLETED else {"Code": "BadRequestError", "Message": message(job)}
        return {**task(job), "state": state, "logs": "".join(f"{line.text}\n" for line in lines), **failed}


def task(job: Job) -> dict[str, Any]:
    """
    Show the ids by which a write is found again.
    """
    return {"jobId": job.public_id, "taskId": str(job.id)}
