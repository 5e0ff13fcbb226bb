"""
What a workspace defines to run with Meltano: pipelines and data components.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

DEFAULT_TIMEOUT_SECONDS = 300
"""What a timeout of 0 means."""

OFF = "-"
"""A schedule that never comes."""

NAME: Final = re.compile(r"\S{1,255}")
"""What pipelines and components may be called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """
    A named set of components, with what to run and when.

    Attributes:
        name: without white space; what `triggered_by` of others names.
        schedule: six-field cron, `-`, or empty for none.
        properties: `{component}.{setting}` to a text; may be secrets.
        triggered_by: names of pipelines, or `deploy`.
        draft: not checked, and not to be run.
        from_file: the project's files define it; it goes when they do not any more.
        config_job: the job that last configured it.
    """

    id: UUID
    workspace_id: UUID
    name: str
    label: str
    schedule: str = ""
    timeout_seconds: int = 0
    max_retries: int = 0
    script: str = ""
    data_components: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    triggered_by: tuple[str, ...] = ()
    properties: dict[str, str] = field(default_factory=dict)
    draft: bool = False
    managed: bool = False
    from_file: bool = False
    config_job: UUID | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def wall_seconds(self) -> int:
        return self.timeout_seconds or DEFAULT_TIMEOUT_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """
    A named, configured use of a plugin; a loader is a data store.

    Attributes:
        plugin: fully qualified name, such as `extractors/tap-x--meltanolabs`; the variant may be missing.
        properties: settings by name, and `_select` and `_metadata` for extractors; may be secrets.
        managed: made by the server; may not be changed.
        default: the workspace's default data store.
        streams: of an extractor, as its last verification found them: name, selected, and fields with the same two.
    """

    id: UUID
    workspace_id: UUID
    name: str
    plugin: str
    properties: dict[str, str] = field(default_factory=dict)
    commands: dict[str, Any] = field(default_factory=dict)
    jdbc_url: str = ""
    draft: bool = False
    managed: bool = False
    default: bool = False
    streams: tuple[dict[str, Any], ...] = ()
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def type(self) -> str:
        """
        The plural type of its plugin, such as `extractors`.
        """
        return self.plugin.partition("/")[0]

    @property
    def plugin_name(self) -> str:
        return self.plugin.partition("/")[2].partition("--")[0]
