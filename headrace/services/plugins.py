"""
Plugins of a workspace: those that its project's files define, and those that were added over the API.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from headrace.core.errors import ConflictError, NotFoundError
from headrace.core.meltano import FILE, TYPES, Plugin, plugin_of
from headrace.core.pipelines import Component
from headrace.services.field_problems import FieldProblem, refuse
from headrace.services.meltano_projects import MeltanoProjects
from headrace.store.project_yaml import read_content
from headrace.store.resources import Resource, Resources
from headrace.store.workspaces import Workspace

DISCOVERY: Final = "discovery.yml"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginOfWorkspace:
    """
    Attributes:
        id: of one that the files define, always the same for the same name.
        added: over the API.
    """

    id: UUID
    workspace_id: UUID
    plugin: Plugin
    added: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Plugins:
    """
    What the files define goes before what was added.
    """

    def __init__(self, resources: Resources, projects: MeltanoProjects) -> None:
        self._resources = resources
        self._projects = projects

    async def all(self, workspace: Workspace) -> list[PluginOfWorkspace]:
        """
        List a workspace's plugins, each name once, by their full names.
        """
        found = {
            name: PluginOfWorkspace(
                id=uuid5(workspace.id, f"plugin:{plugin.type}/{name}"), workspace_id=workspace.id, plugin=plugin
            )
            for name, plugin in (await self._projects.of(workspace)).project.plugins.items()
        }
        for row in await self._resources.all("plugin", workspace.id):
            found.setdefault(row.name, _added(row))
        return sorted(found.values(), key=lambda each: each.plugin.full_name)

    async def get(self, plugin_id: UUID, workspaces: Sequence[Workspace]) -> PluginOfWorkspace:
        """
        Raises:
            NotFoundError: none of the workspaces has it.
        """
        row = await self._resources.get("plugin", str(plugin_id))
        if row is not None:
            return _added(row)
        for workspace in workspaces:
            for each in await self.all(workspace):
                if each.id == plugin_id:
                    return each
        raise NotFoundError(f"Entity not found: {plugin_id}", entity=str(plugin_id))

    async def add(
        self, workspace: Workspace, plugin_id: UUID, plural: str, definition: Mapping[str, Any]
    ) -> tuple[PluginOfWorkspace, bool]:
        """
        Add a plugin to a workspace or replace one; tells whether it is new.

        Raises:
            ConflictError: the name is taken, or the id belongs to something else.
        """
        row, new = await self._resources.put(
            Resource(
                id=str(plugin_id),
                kind="plugin",
                name=definition["name"],
                workspace_id=workspace.id,
                body={"pluginType": plural, "definition": dict(definition)},
            )
        )
        return _added(row), new

    async def delete(self, found: PluginOfWorkspace, components: Iterable[Component]) -> None:
        """
        Raises:
            ConflictError: the project's files define it, or a component uses it.
        """
        name = found.plugin.name
        if not found.added:
            raise ConflictError(f"{FILE} defines {name}.", "Take it out of that file.")
        using = [each.name for each in components if each.plugin_name == name and each.created_at is not None]
        if using:
            raise ConflictError(f"{name} is used by {', '.join(using)}.", "Delete those first.")
        await self._resources.delete("plugin", str(found.id))


def discovered(content: bytes) -> list[tuple[str, dict[str, Any]]]:
    """
    Read a discovery file, which may be JSON: its plugins, each with its plural type.

    Raises:
        DefinitionError: it is no YAML, or a plugin has not the form that Meltano wants.
        FieldsError: a list holds something that is no plugin.
    """
    document = read_content(DISCOVERY, content).value
    found = []
    for plural in TYPES:
        listed = document.get(plural) or [] if isinstance(document, dict) else None
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            refuse("discovery", [FieldProblem(plural, None, "must be a list of plugins")])
        for each in listed or ():
            plugin_of(plural, each)
            found.append((plural, each))
    return found


def _added(row: Resource) -> PluginOfWorkspace:
    assert row.workspace_id is not None  # noqa: S101 - written with one
    return PluginOfWorkspace(
        id=UUID(row.id),
        workspace_id=row.workspace_id,
        plugin=plugin_of(row.body["pluginType"], row.body["definition"]),
        added=True,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
