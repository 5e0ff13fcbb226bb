"""
Asking a connector for its streams outside of any run of a flow: a job of its own kind, with one step.

It stands in the history under a dialect of its own, so that the jobs of a flow stay what hotglue's clients expect them to be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from headrace.core.errors import ActiveJobError, InvalidError, NotFoundError
from headrace.core.job import Job, NewJob
from headrace.core.plan import ConfigRef, ConnectorSpec, Discover, Plan
from headrace.core.state import JobState, StepState
from headrace.dialects.hotglue.asking import Asked, Asking
from headrace.dialects.hotglue.connector_names import definition_of
from headrace.dialects.hotglue.linking_wire import KINDS
from headrace.dialects.hotglue.project import message, timestamp
from headrace.services.connections import Linked, Role, Workspace
from headrace.services.flows import FlowOfTenant, Flows
from headrace.services.jobs import Jobs

DIALECT: Final = "hotglue-discover"
_RECENT = 200
_SIDES: Final[Mapping[Role, tuple[str, ...]]] = {
    "source": ("tap",),
    "target": ("target",),
    "connector": ("tap", "target"),
}
# Words of the container service that hotglue's widget looks for; it stops asking at the last one.
_TASK: Final = {JobState.ADMITTED: "PROVISIONING", JobState.RUNNING: "RUNNING"}


class HotglueDiscover:
    """
    Discover jobs, as far as the core has to know them; see `headrace.core.ports.Dialect`.
    """

    name = DIALECT
    subscription = "discover"

    def details(self, job: Job) -> dict[str, Any]:
        entity_type, entity_id = job.details.get("entity_type"), job.details.get("entity_id")
        return {
            "event": status(job),
            "status": status(job),
            "env_id": job.workspace,
            "flow_id": job.definition,
            "flow": job.definition,
            "tenant": job.tenant,
            "entity_type": entity_type,
            "entity_id": entity_id,
            **({KINDS[entity_type].names[0]: entity_id} if entity_type in KINDS else {}),
            "job_id": job.public_id,
            "task_id": job.id.hex,
            "discover_install_uri": job.details.get("discover_install_uri"),
            "start_time": timestamp(job.started_at or job.created_at),
            "message": message(job).replace("Job completed", ""),
            "timestamp": timestamp(job.finished_at or job.updated_at),
        }

    def topic(self, job: Job) -> str:
        if job.final:
            return status(job)
        running = job.state is JobState.RUNNING and any(step.state is StepState.RUNNING for step in job.steps)
        return status(job) if running else ""


def status(job: Job) -> str:
    """
    Say how a discover stands in hotglue's words.
    """
    if job.state is JobState.COMPLETED:
        return "DISCOVER_SUCCESS"
    return "DISCOVER_FAILED" if job.final else "DISCOVER_STARTED"


def task_status(job: Job | None) -> str | None:
    """
    Say how the task of a discover stands in the container service's words; None for none.
    """
    if job is None:
        return None
    return "STOPPED" if job.final else _TASK.get(job.state, "PENDING")


def compile_discover(of: FlowOfTenant, link: Linked, asked: Asked) -> tuple[NewJob, Plan]:
    """
    Make the job and the plan of a discover.

    Raises:
        InvalidError: the connector has no definition, cannot discover, or its connection cannot be used.
    """
    spec = _spec(of, link)
    if link.dangling:
        raise InvalidError(f"`{link.connector}` is disconnected.", "Link it anew.", field="connector")
    new = NewJob(
        id=asked.id,
        workspace_id=of.workspace.id,
        workspace=of.workspace.name,
        tenant=of.tenant,
        dialect=DIALECT,
        definition=of.flow.id,
        public_id=asked.job_id,
        root=f"{of.tenant}/flows/{of.flow.id}/discover/{asked.id}",
        name=f"{of.flow.id}-{link.connector}-discover-{asked.now:%Y%m%d-%H%M%S}",
        trigger="discover",
        started_by=asked.by,
        details={
            "connection": str(link.id),
            "entity_type": link.role,
            "entity_id": link.connector,
            "discover_install_uri": None,
        },
    )
    step = Discover(
        name="discover",
        limits=of.flow.limits.get("discover", asked.limits),
        connector=spec,
        config=ConfigRef(connection=str(link.id)),
    )
    variables = {
        "TENANT": of.tenant,
        "USER_ID": of.tenant,
        "FLOW": of.flow.id,
        "ENV_ID": of.workspace.name,
        "JOB_ID": asked.job_id,
        "TAP": link.connector,
        "API_URL": asked.api_url,
    }
    plan = Plan(steps=(step,), key=f"{DIALECT}:{link.id}", variables={**of.variables, **variables}, snapshots=False)
    return new, plan


def _spec(of: FlowOfTenant, link: Linked) -> ConnectorSpec:
    for side in _SIDES[link.role]:
        spec = definition_of(of.connectors, link.connector, "tap" if side == "tap" else "target")
        if spec is not None and spec.discover:
            return spec
    raise InvalidError(
        f"`{link.connector}` cannot list its streams.",
        "Give the tap `discover: true` in headrace.yml.",
        field="connector",
    )


class Discovers:
    """
    Args:
        asking: makes what surrounds a call.
    """

    def __init__(
        self,
        flows: Flows,
        jobs: Jobs,
        asking: Asking,
    ) -> None:
        self._flows = flows
        self._jobs = jobs
        self._asking = asking

    async def start(self, workspace: Workspace, link: Linked, *, by: str) -> Job:
        """
        Begin to discover a connection; gives the job that does, which may have begun before.

        Raises:
            InvalidError: it cannot be discovered.
        """
        of = await self._flows.of_tenant(workspace, link.flow_id, link.tenant)
        try:
            return (await self._jobs.submit(*compile_discover(of, link, self._asking(by=by)))).job
        except ActiveJobError:
            active = await self.latest(link)
            if active is None:
                raise
            return active

    async def latest(self, link: Linked) -> Job | None:
        """
        Give the last discover of a connection.
        """
        found = await self._jobs.history(
            link.workspace_id,
            definition=link.flow_id,
            tenant=link.tenant,
            dialect=DIALECT,
            details={"connection": str(link.id)},
            limit=1,
        )
        return found[0] if found else None

    async def statuses(self, workspace_id: UUID, tenant: str, flow_id: str) -> dict[str, str]:
        """
        Give the status of the last discover of each connection of a tenant in a flow, by the connection's id.
        """
        jobs = await self._jobs.history(workspace_id, definition=flow_id, tenant=tenant, dialect=DIALECT, limit=_RECENT)
        return {str(job.details.get("connection")): status(job) for job in reversed(jobs)}

    async def kill(self, link: Linked, *, by: str) -> Job:
        """
        End the discover of a connection.

        Raises:
            NotFoundError: none is under way.
        """
        job = await self.latest(link)
        if job is None or job.final:
            raise NotFoundError(f"No discover of `{link.connector}` is under way.", "Start one with GET …/discover.")
        return await self._jobs.cancel(job.id, by=by, workspace_id=link.workspace_id)
