"""
Pipelines: what a workspace has defined over the API or in its project's files, checked before it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID, uuid5

from headrace.core.errors import NotFoundError
from headrace.core.meltano import plugin_of
from headrace.core.pipelines import Component, Pipeline
from headrace.services.components import as_resource, component_of
from headrace.services.field_problems import refuse
from headrace.services.meltano_projects import MeltanoProjects
from headrace.services.pipeline_checks import problems_of
from headrace.services.surroundings import Surroundings, Workspace
from headrace.store.resources import Resource, Resources


class Pipelines:
    """
    Args:
        new_id: makes a UUID.
    """

    def __init__(self, resources: Resources, projects: MeltanoProjects, *, new_id: Callable[[], UUID]) -> None:
        self._resources = resources
        self._projects = projects
        self._new_id = new_id

    async def get(self, pipeline_id: UUID) -> Pipeline:
        """
        Raises:
            NotFoundError: there is no such pipeline in any workspace.
        """
        found = await self._resources.get("pipeline", str(pipeline_id))
        if found is None:
            raise NotFoundError(f"Entity not found: {pipeline_id}", entity=str(pipeline_id))
        return _pipeline(found)

    async def page(
        self, workspace_id: UUID, *, offset: int, limit: int, sort: Sequence[tuple[str, bool]]
    ) -> tuple[list[Pipeline], int]:
        rows, total = await self._resources.page("pipeline", workspace_id, offset=offset, limit=limit, sort=sort)
        return [_pipeline(row) for row in rows], total

    async def all(self, workspace_id: UUID) -> list[Pipeline]:
        return [_pipeline(row) for row in await self._resources.all("pipeline", workspace_id)]

    async def around(self, workspace: Workspace) -> Surroundings:
        """
        Give what pipelines of a workspace may refer to, as it is now.
        """
        snapshot = await self._projects.of(workspace)
        plugins = dict(snapshot.project.plugins)
        for row in await self._resources.all("plugin", workspace.id):
            plugin = plugin_of(row.body["pluginType"], row.body["definition"])
            plugins.setdefault(plugin.name, plugin)
        components = {
            name: Component(id=_derived(workspace, name), workspace_id=workspace.id, name=name, plugin=plugin.full_name)
            for name, plugin in snapshot.project.plugins.items()
        }
        components |= {row.name: component_of(row) for row in await self._resources.all("component", workspace.id)}
        pipelines = {each.name: each for each in await self.all(workspace.id)}
        fields = await self._resources.get("workspace", str(workspace.id))
        return Surroundings(
            workspace=workspace,
            snapshot=snapshot,
            components=components,
            plugins=plugins,
            pipelines=pipelines,
            set_over_api=fields.body if fields else {},
        )

    async def put(self, around: Surroundings, pipeline: Pipeline) -> tuple[Pipeline, bool]:
        """
        Check and write a pipeline, making the components that it names by their plugins; tells whether it is new.

        Raises:
            FieldsError: a field is wrong.
            ConflictError: the name is taken, or the id belongs to something else.
        """
        pipeline, made = self.adopt(around, pipeline)
        around = replace(around, components={**around.components, **{each.name: each for each in made}})
        refuse("pipeline", problems_of(around, pipeline))
        for component in made:
            await self._resources.put(as_resource(component))
        row, new = await self._resources.put(_as_resource(pipeline))
        return _pipeline(row), new

    async def configured_by(self, pipeline: Pipeline, job_id: UUID) -> Pipeline:
        """
        Note which job configures a pipeline.
        """
        row, _ = await self._resources.put(_as_resource(replace(pipeline, config_job=job_id)))
        return _pipeline(row)

    async def delete(self, pipeline_id: UUID) -> None:
        await self._resources.delete("pipeline", str(pipeline_id))

    def adopt(self, around: Surroundings, pipeline: Pipeline) -> tuple[Pipeline, list[Component]]:
        """
        Make components of the plugins that a pipeline names by their fully qualified names, and name those instead.
        """
        names: list[str] = []
        made: list[Component] = []
        for word in pipeline.data_components:
            plugin_name = word.partition("/")[2].partition("--")[0]
            plugin = around.plugins.get(plugin_name)
            if "/" not in word or plugin is None or plugin.type != word.partition("/")[0]:
                names.append(word)
                continue
            names.append(plugin_name)
            if plugin_name not in around.components:
                made.append(
                    Component(
                        id=self._new_id(),
                        workspace_id=around.workspace.id,
                        name=plugin_name,
                        plugin=plugin.full_name,
                    )
                )
        return replace(pipeline, data_components=tuple(names)), made


def _derived(workspace: Workspace, name: str) -> UUID:
    """
    Make the id of a component that only the project's files define: always the same for the same name.
    """
    return uuid5(workspace.id, f"component:{name}")


_PIPELINE_FIELDS: Final = {
    "label": "label", "schedule": "schedule", "timeout": "timeout_seconds", "maxRetries": "max_retries",
    "script": "script", "draft": "draft", "managed": "managed", "fromFile": "from_file",
}  # fmt: skip
_PIPELINE_LISTS: Final = {"dataComponents": "data_components", "actions": "actions", "triggeredBy": "triggered_by"}


def _pipeline(row: Resource) -> Pipeline:
    assert row.workspace_id is not None  # noqa: S101 - written with one
    body = row.body
    config_job = body.get("configJob")
    kept: dict[str, Any] = {ours: body[theirs] for theirs, ours in _PIPELINE_FIELDS.items() if theirs in body}
    kept |= {ours: tuple(body.get(theirs, ())) for theirs, ours in _PIPELINE_LISTS.items()}
    return Pipeline(
        id=UUID(row.id),
        workspace_id=row.workspace_id,
        name=row.name,
        **kept,
        properties=row.secret,
        config_job=UUID(config_job) if config_job else None,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _as_resource(pipeline: Pipeline) -> Resource:
    body: dict[str, Any] = {theirs: getattr(pipeline, ours) for theirs, ours in _PIPELINE_FIELDS.items()}
    body |= {theirs: list(getattr(pipeline, ours)) for theirs, ours in _PIPELINE_LISTS.items()}
    body["configJob"] = str(pipeline.config_job) if pipeline.config_job else None
    return Resource(
        id=str(pipeline.id),
        kind="pipeline",
        name=pipeline.name,
        workspace_id=pipeline.workspace_id,
        body=body,
        secret=dict(pipeline.properties),
    )
