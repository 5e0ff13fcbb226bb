"""
What the core API shows and takes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from headrace.core.job import Job
from headrace.core.state import JobState, StepState


class View(BaseModel):
    """Made of the core's own values, field by field."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class CauseView(View):
    """Why something ended as it did; the sentence stands first wherever a person looks."""

    stage: str
    sentence: str
    who: str = Field(description="Who can mend it: customer, developer, operator or nobody.")
    instruction: str
    evidence: dict[str, Any]


class StepView(View):
    ordinal: int
    name: str
    kind: str
    state: StepState
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    cause: CauseView | None
    output: dict[str, Any]


class FanOutView(View):
    """How far a job that calls functions is."""

    total: int = Field(description="Items so far; rises when items are added.")
    completed: int
    failed: int
    cancelled: int
    live: int = Field(description="Items in flight.")
    pause_requested_at: datetime | None
    stop_cause: CauseView | None = Field(description="Why it pauses or was ended, where nobody asked for that.")
    awaits: UUID | None = Field(description="The job that makes or checks its login first.")


class Links(View):
    """Where to go from a job; paths on this server."""

    self: str
    events: str
    logs: str
    cancel: str | None = Field(description="Null once the job has ended.")


class JobView(View):
    id: UUID
    seq: int = Field(description="Order of submission over the whole server.")
    workspace_id: UUID
    workspace: str
    tenant: str
    dialect: str
    definition: str
    public_id: str
    root: str
    name: str
    state: JobState
    key: str | None
    priority: int
    attempt: int
    crashes: int = Field(description="Attempts that ended without a word.")
    failures: int = Field(description="Attempts that failed and were tried again.")
    trigger: str
    started_by: str
    details: dict[str, Any]
    cause: CauseView | None
    rerun_of: UUID | None = Field(description="The job that this one runs again.")
    created_at: datetime
    due_at: datetime | None
    admitted_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    cancel_requested_at: datetime | None
    steps: list[StepView]
    items: FanOutView | None = Field(description="Null for a job of steps.")
    links: Links


class SubmittedView(JobView):
    queued: bool = Field(description="Another job of the key has to end first.")
    repeated: bool = Field(description="The idempotency key was known; this is the job it made.")


Override = Annotated[str, Field(max_length=65536, pattern=r"^[^\x00]*$")]


class NewRerun(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    from_step: str | None = Field(
        None,
        alias="from",
        max_length=255,
        description="The first step to run; those before it are taken over. Null runs all.",
    )
    options: dict[str, Override] = Field(default={}, description="Overrides by name, such as `etl.memory_bytes`.")
    queue: bool = Field(False, description="Wait for an active job of the same key instead of being refused.")


class JobsView(View):
    jobs: list[JobView]
    next: int | None = Field(description="`before` of the next page; null when there is none.")


class EventView(View):
    id: int
    kind: str
    at: datetime
    data: dict[str, Any]


class EventsView(View):
    events: list[EventView]
    next: int = Field(description="`after` of the next page.")


class LineView(View):
    number: int
    at: datetime
    stage: str
    stream: str
    text: str


class LinesView(View):
    lines: list[LineView]
    next: int = Field(description="`after` of the next page.")


class WaitingView(View):
    """Why a job does not run yet."""

    code: str = Field(description="Stable; `ended` and `running` wait for nothing.")
    sentence: str
    instruction: str = Field(description="The next move; empty when there is none.")
    holder_id: UUID | None = Field(description="The job in the way.")
    due_at: datetime | None = Field(description="Until when it waits, where that is known.")


class CountsView(View):
    unfinished: dict[JobState, int] = Field(description="Jobs that have not ended, by state.")
    ended: dict[JobState, int] = Field(description="Jobs that ended within a day, by state.")


class StateView(View):
    connector: str
    state: dict[str, Any] | None = Field(description="Singer state; null reads everything.")


class StatesView(View):
    states: list[StateView]


class NewState(BaseModel):
    state: dict[str, Any] | None = Field(description="Singer state; null reads everything.")


class FileView(View):
    path: str
    size_bytes: int


class FilesView(View):
    files: list[FileView]


class InputsView(View):
    """All that a job's script was given."""

    entry: str
    requirements: list[str]
    python: str | None
    empty_output: str
    script: dict[str, int] = Field(description="The script's own files with their sizes in bytes.")
    files: dict[str, int] = Field(description="The other files in the folder when it began, with their sizes in bytes.")
    variables: dict[str, str]
    records: int = Field(description="How many it was given.")
    withheld: list[str] = Field(description="What the key may not see, for want of the right `secrets`.")
    outcome: str = Field(description="State of the step in the job.")


class WorkspaceView(View):
    id: UUID
    name: str


class WorkspacesView(View):
    workspaces: list[WorkspaceView]


class NewWorkspace(BaseModel):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


Owner = Literal["folder", "deployments"]
"""Who defines a flow or connector: the project folder, or what was deployed."""


class FlowView(View):
    id: str
    workspace: str
    name: str
    description: str
    sources: list[str]
    targets: list[str]
    tenants: list[str] = Field(description="Tenants that the project's files link; others may have linked it since.")
    script: bool
    owner: Owner
    version: int | None = Field(description="Of the deployment that is in force; null for the folder's.")


class FlowsView(View):
    flows: list[FlowView]


class ConnectorView(View):
    name: str
    workspace: str
    kind: str
    settings: list[str] = Field(description="Names of the settings that every tenant has.")
    owner: Owner
    version: int | None = Field(description="Of the deployment that is in force; null for the folder's.")


class ConnectorsView(View):
    connectors: list[ConnectorView]


class ProblemView(View):
    """A mistake in the project folder; the last good version stays in force."""

    file: str | None
    line: int | None
    reason: str
    instruction: str
    facts: dict[str, Any]


class ProblemsView(View):
    problems: list[ProblemView]


Role = Literal["admin", "environment", "developer", "viewer", "public"]


class KeyView(View):
    id: UUID
    name: str
    role: str
    workspace_id: UUID | None = Field(description="Null opens every workspace.")
    workspace: str | None
    hint: str = Field(description="The first characters, to tell keys apart.")
    created_at: datetime
    revoked_at: datetime | None


class KeysView(View):
    keys: list[KeyView]


class NewKey(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)

    name: str = Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")
    role: Role = "environment"
    workspace: str | None = Field(None, description="Its name or id; null opens what the asking key opens.")


class MadeKey(View):
    key: str = Field(description="Shown this once.")
    name: str
    role: str
    workspace: str | None


class NodeView(View):
    id: UUID
    name: str
    roles: list[str]
    slots: int
    draining: bool
    alive: bool
    started_at: datetime
    seen_at: datetime


class NodesView(View):
    nodes: list[NodeView]


class MeView(View):
    key_id: UUID
    name: str
    role: str
    workspace_id: UUID | None
    workspace: str | None
    scopes: list[str]


class DeliveryView(View):
    id: UUID
    workspace_id: UUID
    tenant: str
    job_id: UUID | None
    topic: str
    url: str = Field(description="Only its origin, for keys that may not see secrets.")
    state: str
    attempts: int
    due_at: datetime
    last_status: int | None
    last_error: str | None
    created_at: datetime
    finished_at: datetime | None


class OwedView(View):
    owed: int = Field(description="How many deliveries were made due.")


class DeliveriesView(View):
    deliveries: list[DeliveryView]


class Done(View):
    done: bool = True


class ProblemDetails(BaseModel):
    """An error, as RFC 9457 wants it."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable; programs go by it.")
    reason: str = Field(description="What happened.")
    instruction: str = Field(description="The next move; empty when there is none.")
    facts: dict[str, Any]


def job_view(job: Job) -> JobView:
    return JobView.model_validate(job_fields(job))


def job_fields(job: Job) -> dict[str, Any]:
    """
    Give all fields of a job's view.
    """
    place = f"/api/v1/jobs/{job.id}"
    links = Links(
        self=place, events=f"{place}/events", logs=f"{place}/logs", cancel=None if job.final else f"{place}/cancel"
    )
    fields = {name: getattr(job, name) for name in Job.__dataclass_fields__}
    return fields | {"links": links, "rerun_of": job.details.get("rerun_of")}
