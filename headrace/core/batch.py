"""
Batches: stored blueprints of jobs of items; and the automation projects that their items call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePath
from typing import Any
from uuid import UUID

from headrace.core.errors import DefinitionError


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomationProject:
    """
    One folder of automation code.

    Attributes:
        workspace: name or id of the workspace that it belongs to; empty for the first one.
        apis: names of the functions that may be called: paths below `api/`, without extension.
        max_concurrent: calls in flight at once over all jobs and runs of the project.
        api_access: whether single runs may be started; jobs always may.
        auth_sessions: whether every call needs a kept login.
        recorded_sessions: whether its logins are made by a person, so that no code can make them.
        source: digest of the stored copy of the folder.
        jobs: jobs that are files of the project, by name: what each says, as the JSON of a file.
        sessions: logins that are files of the project, by name: what each is made with, as the JSON of a file.
        problems: mistakes in its files that leave the rest of it as it is; the fact `resource` of each names what the file would define.
        options: what every call is told: `browser` (true, false, or by the function), `headful`, `browser_size`.
        proxy, sink, max_attempts, timeout_seconds: what holds where a job or run says nothing.
    """

    name: str
    folder: PurePath
    workspace: str = ""
    apis: tuple[str, ...] = ()
    max_concurrent: int = 1
    api_access: bool = True
    auth_sessions: bool = False
    recorded_sessions: bool = False
    source: str | None = None
    jobs: Mapping[str, bytes] = field(default_factory=dict)
    sessions: Mapping[str, bytes] = field(default_factory=dict)
    problems: tuple[DefinitionError, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    proxy: str | None = None
    sink: dict[str, Any] | None = None
    max_attempts: int | None = None
    timeout_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeBatch:
    """
    What a file of a project says of a batch; see `Batch` for the fields.
    """

    name: str
    definition: bytes
    secrets: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """
    A stored blueprint.

    Attributes:
        id: of this very batch; one that is made anew under the name of a deleted one has another.
        definition: JSON object in the dialect's words, as bytes, without secrets.
        secrets: what must not be shown, by name.
        paused: no job is started of it, and the running one starts no items.
        reason: why it is paused, as plain JSON values.
        source: `API` or `CODE`: who may change it.
    """

    id: UUID
    workspace_id: UUID
    project: str
    name: str
    definition: bytes
    secrets: dict[str, Any] = field(default_factory=dict)
    paused: bool = False
    reason: dict[str, Any] | None = None
    source: str = "API"
    created_at: datetime
    updated_at: datetime
    last_run_at: datetime | None = None
