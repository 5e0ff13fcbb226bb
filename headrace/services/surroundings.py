"""
All that a pipeline may refer to in its workspace, in one value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.core.meltano import MeltanoProject, Plugin, Setting
from headrace.core.pipelines import Component, Pipeline
from headrace.services.meltano_projects import Snapshot
from headrace.store.workspaces import Workspace as Workspace  # dialects name it too, and may not ask the store


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """
    All that a pipeline may refer to in its workspace.

    Attributes:
        components: by name; those of the project's own files included.
        plugins: by name; those of the project's files, then those that were added over the API.
        pipelines: by name.
        set_over_api: fields of the workspace by the names of its wire, without secrets.
    """

    workspace: Workspace
    snapshot: Snapshot
    components: Mapping[str, Component]
    plugins: Mapping[str, Plugin]
    pipelines: Mapping[str, Pipeline] = field(default_factory=dict)
    set_over_api: Mapping[str, Any] = field(default_factory=dict)

    @property
    def project(self) -> MeltanoProject:
        return self.snapshot.project

    def settings_of(self, component: Component) -> tuple[Setting, ...]:
        """
        List what a component can be set to.
        """
        if component.plugin_name in self.project.plugins:
            return self.project.settings(component.plugin_name)
        plugin = self.plugins.get(component.plugin_name)
        return plugin.settings if plugin is not None else ()
