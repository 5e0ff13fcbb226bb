"""
The services that the wires ask, in one value; `app.py` fills it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from headrace.core.actor import Actor
from headrace.core.errors import DefinitionError
from headrace.core.rerun import Rerun
from headrace.http.runnables import NothingToRun, Pausables, Runnables
from headrace.services.access import Access
from headrace.services.connections import Linked, Place
from headrace.services.deployments import Deployments
from headrace.services.flows import Flows
from headrace.services.job_files import JobFiles
from headrace.services.jobs import Jobs, Submission
from headrace.services.pausing import Pausing


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRun:
    """
    A flow that somebody wants run for a tenant.

    Attributes:
        workspace: its name or id.
        options: what the flow's dialect takes in the body of its own run call, as JSON.
        trigger: who asks: `api`, `schedule`, `link` or `rerun`.
    """

    workspace: str
    flow: str
    tenant: str
    options: bytes = b""
    idempotency_key: str | None = None
    trigger: str = "api"


class RunFlow(Protocol):
    """A dialect's way to run one of its flows; raises what `Jobs.submit` raises, and `InvalidError` for options that are wrong."""

    async def __call__(self, actor: Actor, run: FlowRun) -> Submission: ...


class RerunJob(Protocol):
    """Runs an ended job again, in the dialect it is of; see `headrace.services.reruns.Reruns`."""

    async def __call__(self, actor: Actor, wanted: Rerun) -> Submission: ...


class Bookmarks(Protocol):
    """How far tenants' sources have been read; see `headrace.services.connections.Linking`."""

    async def of_tenant(self, workspace_id: UUID, tenant: str, flow_id: str) -> list[Linked]: ...

    async def save_bookmark(self, place: Place, bookmark: Mapping[str, Any] | None) -> None: ...


class Deliveries(Protocol):
    """The history of what was sent to others."""

    async def of_workspace(
        self, workspace_id: UUID, *, job_id: UUID | None = None, state: str | None = None, limit: int = 100
    ) -> Sequence[Any]:
        """
        List deliveries, newest first; each shows the fields of `headrace.store.deliveries.Delivery`.
        """
        ...

    async def redeliver(self, workspace_id: UUID, delivery_id: UUID) -> bool:
        """
        Owe a delivery once more; False when the workspace has no such delivery.
        """
        ...


class Nodes(Protocol):
    """The processes of the server."""

    async def all(self) -> Sequence[Any]:
        """
        List them; each shows the fields of `headrace.store.nodes.Node`.
        """
        ...


async def _no_schedules(_workspace_id: UUID) -> Sequence[Any]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """
    What may be asked.

    Attributes:
        run_flow: runs a flow, in the dialect that flows belong to.
        rerun: runs an ended job again.
        test_webhooks: owes every webhook of a workspace a test event; gives their number.
        other_problems: mistakes in files that dialects read themselves.
        pipelines, batches: what can be run beside flows.
        schedules: lists those of a workspace; each shows the fields of `headrace.services.schedules.Schedule`.
        not_ready: sentences that say why this process should get no requests yet; none when it should.
    """

    access: Access
    jobs: Jobs
    pausing: Pausing
    flows: Flows
    deployments: Deployments
    job_files: JobFiles
    bookmarks: Bookmarks
    deliveries: Deliveries
    nodes: Nodes
    not_ready: Callable[[], Awaitable[Sequence[str]]]
    run_flow: RunFlow
    rerun: RerunJob
    test_webhooks: Callable[[UUID], Awaitable[int]]
    other_problems: Callable[[], Sequence[DefinitionError]] = tuple
    pipelines: Runnables = field(default_factory=NothingToRun)
    batches: Pausables = field(default_factory=NothingToRun)
    schedules: Callable[[UUID], Awaitable[Sequence[Any]]] = _no_schedules
