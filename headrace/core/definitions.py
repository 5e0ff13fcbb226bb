"""
What a project folder or the API defines: workspaces, connectors, flows and the tenants linked to them.

Plain values, already checked and with every placeholder filled in, whatever file they came from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal

from headrace.core.plan import ConnectorSpec, Limits, SyncFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDef:
    """
    Where a workspace wants its events sent.

    Attributes:
        events: subscriptions out of `job-lifecycle`, `discover`, `connection`.
    """

    url: str
    secret: str = ""
    events: tuple[str, ...] = ("job-lifecycle",)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceDef:
    name: str
    environment: dict[str, str] = field(default_factory=dict)
    webhooks: tuple[WebhookDef, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDef:
    """A tenant's connection as a file declares it."""

    connector: str
    config: dict[str, Any] = field(default_factory=dict)
    field_map: dict[str, Any] | None = None
    catalog: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantDef:
    """What one tenant has linked in one flow."""

    tenant: str
    sources: tuple[LinkDef, ...] = ()
    targets: tuple[LinkDef, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptDef:
    """
    A flow's script: *folder* is copied whole, *entry* is the file that runs.
    """

    folder: PurePath
    entry: str = "etl.py"
    requirements: tuple[str, ...] = ()
    python: str | None = None
    empty_output: Literal["fail", "allow"] = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDef:
    """
    A flow: sources into a script into targets, for each tenant that has linked it.

    Attributes:
        id: the flow's id in every path, such as `flights`.
        sources: names of taps that tenants may link; `api` stands for data sent with the job.
        targets: names of targets, in the order in which they are written.
        limits: by step name; a step that is missing has the server's defaults.
        links: which sort of connection its tenants are offered; None leaves that to the dialect.
    """

    id: str
    workspace: str
    name: str = ""
    description: str = ""
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    script: ScriptDef | None = None
    files: SyncFiles = field(default_factory=SyncFiles)
    limits: dict[str, Limits] = field(default_factory=dict)
    links: Literal["source", "target", "connector"] | None = None
    tenants: tuple[TenantDef, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Everything one project folder defines."""

    folder: PurePath
    workspaces: tuple[WorkspaceDef, ...] = ()
    connectors: tuple[ConnectorSpec, ...] = ()
    flows: tuple[FlowDef, ...] = ()
