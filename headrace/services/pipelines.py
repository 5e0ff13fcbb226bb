"""
Pipelines and data components: what a workspace has defined over the API or in its project's files, checked before it is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID, uuid5

from headrace.core import spring_cron
from headrace.core.errors import ConflictError, InvalidError, NotFoundError
from headrace.core.meltano import TYPES, MeltanoProject, Plugin, Setting, plugin_of
from headrace.core.pipelines import OFF, Component, Pipeline
from headrace.runners.redaction import secrets_of
from headrace.services.meltano_projects import MeltanoProjects, Snapshot
from headrace.store.resources import Resource, Resources
from headrace.store.workspaces import Workspace as Workspace  # dialects name it too, and may not ask the store

DEPLOY: Final = "deploy"
"""What a pipeline names that is to run after a deployment."""

EXTRAS: Final = frozenset({"_select", "_metadata"})
_NAME: Final = re.compile(r"\S{1,255}")


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field of what a caller sent."""

    field: str
    rejected: Any
    message: str
    code: str = "Invalid"


class FieldsError(InvalidError):
    """One or more fields are wrong; the fact `problems` lists them."""

    code = "fields-invalid"


def refuse(what: str, problems: Sequence[FieldProblem]) -> None:
    """
    Raises:
        FieldsError: there are problems.
    """
    if problems:
        raise FieldsError(
            f"Validation failed for object='{what}'. Error count: {len(problems)}",
            "; ".join(f"{each.field}: {each.message}" for each in problems),
            what=what,
            problems=list(problems),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """
    All that a pipeline may refer to in its workspace.

    Attributes:
        components: by name; those of the project's own files included.
        plugins: by name; those of the project's files, then those that were added over the API.
        pipelines: by name.
    """

    workspace: Workspace
    snapshot: Snapshot
    components: Mapping[str, Component]
    plugins: Mapping[str, Plugin]
    pipelines: Mapping[str, Pipeline] = field(default_factory=dict)

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
        return Surroundings(
            workspace=workspace, snapshot=snapshot, components=components, plugins=plugins, pipelines=pipelines
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


def problems_of(around: Surroundings, pipeline: Pipeline) -> list[FieldProblem]:
    """
    List what is wrong with a pipeline; of a draft only what could not be kept.
    """
    found = [*_form_problems(pipeline)]
    if pipeline.draft:
        return found
    for name in pipeline.data_components:
        if name not in around.components:
            known = ", ".join(sorted(around.components)) or "none"
            found.append(FieldProblem("dataComponents", name, f"there is no data component {name}; known: {known}"))
    known_words = {*around.components, *around.project.jobs, *around.project.mappings}
    unknown = [word for word in pipeline.actions if word.partition(":")[0] not in known_words]
    found += [FieldProblem("actions", word, f"there is no component or job {word.split(':')[0]}") for word in unknown]
    found += _missing_settings(around, pipeline)
    found += _trigger_problems(around, pipeline)
    return found


def _form_problems(pipeline: Pipeline) -> Iterable[FieldProblem]:
    if not pipeline.label.strip():
        yield FieldProblem("label", pipeline.label, "must not be blank", "NotBlank")
    if not _NAME.fullmatch(pipeline.name):
        yield FieldProblem("name", pipeline.name, "must be 1 to 255 characters without white space", "Pattern")
    if pipeline.timeout_seconds < 0:
        yield FieldProblem("timeout", pipeline.timeout_seconds, "must be greater than or equal to 0", "Min")
    if pipeline.max_retries < 0:
        yield FieldProblem("maxRetries", pipeline.max_retries, "must be greater than or equal to 0", "Min")
    if pipeline.schedule not in ("", OFF):
        try:
            spring_cron.check(pipeline.schedule)
        except InvalidError as error:
            yield FieldProblem("schedule", pipeline.schedule, str(error), "Pattern")


def _missing_settings(around: Surroundings, pipeline: Pipeline) -> Iterable[FieldProblem]:
    for name in pipeline.data_components:
        component = around.components.get(name)
        if component is None:
            continue
        given = around.project.configured(name) | around.project.configured(component.plugin_name)
        for setting in around.settings_of(component):
            key = f"{name}.{setting.name}"
            satisfied = (
                not setting.required
                or setting.default is not None
                or setting.name in given
                or component.properties.get(setting.name)
                or pipeline.properties.get(key)
            )
            if not satisfied:
                yield FieldProblem(f"properties.{key}", None, f"{setting.name} of {name} is required", "NotNull")


def _trigger_problems(around: Surroundings, pipeline: Pipeline) -> Iterable[FieldProblem]:
    others = {name: each for name, each in around.pipelines.items() if each.id != pipeline.id}
    triggers = {name: each.triggered_by for name, each in others.items()} | {pipeline.name: pipeline.triggered_by}
    for name in pipeline.triggered_by:
        if name.lower() == DEPLOY:
            continue
        if name not in triggers:
            yield FieldProblem("triggeredBy", name, f"there is no pipeline {name}")
        elif _reaches(name, pipeline.name, triggers):
            yield FieldProblem(
                "triggeredBy", name, f"{name} is itself triggered by {pipeline.name}: they would never end"
            )


def _reaches(start: str, goal: str, triggers: Mapping[str, Sequence[str]]) -> bool:
    """
    Say whether *start* runs, at whatever distance, after *goal*.
    """
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            waiting += triggers.get(name, ())
    return False


def component_problems(around: Surroundings, component: Component) -> list[FieldProblem]:
    """
    List what is wrong with a component.
    """
    found = []
    if not _NAME.fullmatch(component.name):
        found.append(FieldProblem("name", component.name, "must be 1 to 255 characters without white space", "Pattern"))
    if component.type not in TYPES or not component.plugin_name:
        found.append(FieldProblem("dataPlugin", component.plugin, "must be like extractors/tap-x--variant", "Pattern"))
    elif component.plugin_name not in around.plugins and not component.draft:
        known = ", ".join(sorted(each.full_name for each in around.plugins.values())) or "none"
        found.append(FieldProblem("dataPlugin", component.plugin, f"there is no such plugin; known: {known}"))
    return found


class Components:
    """
    Data components and data stores.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def get(self, component_id: UUID) -> Component:
        """
        Raises:
            NotFoundError: there is no such component in any workspace.
        """
        found = await self._resources.get("component", str(component_id))
        if found is None:
            raise NotFoundError(f"Entity not found: {component_id}", entity=str(component_id))
        return component_of(found)

    async def page(
        self,
        workspace_id: UUID,
        *,
        offset: int,
        limit: int,
        sort: Sequence[tuple[str, bool]],
        stores: bool = False,
    ) -> tuple[list[Component], int]:
        """
        List components, or of them only the data *stores*.
        """
        rows, total = await self._resources.page(
            "component",
            workspace_id,
            offset=offset,
            limit=limit,
            sort=sort,
            where={"store": True} if stores else None,
        )
        return [component_of(row) for row in rows], total

    async def put(self, around: Surroundings, component: Component) -> tuple[Component, bool]:
        """
        Check and write a component; tells whether it is new. The first data store of a workspace is its default.

        Raises:
            FieldsError: a field is wrong.
            ConflictError: it is managed by the server, the name is taken, or the id belongs to something else.
        """
        before = await self._resources.get("component", str(component.id))
        if before is not None and component_of(before).managed:
            raise ConflictError(f"{component.name} is managed by the server.", "Make a component of your own.")
        refuse("datacomponent", component_problems(around, component))
        stores = [each for each in around.components.values() if each.type == "loaders" and each.created_at]
        default = component.type == "loaders" and not any(each.default for each in stores if each.id != component.id)
        row, new = await self._resources.put(as_resource(replace(component, default=default)))
        return component_of(row), new

    async def make_default(self, around: Surroundings, component: Component) -> None:
        """
        Make a data store the default one of its workspace.
        """
        for each in around.components.values():
            if each.default and each.id != component.id:
                await self._resources.put(as_resource(replace(each, default=False)))
        await self._resources.put(as_resource(replace(component, default=True)))

    async def delete(self, component: Component, users: Iterable[Pipeline]) -> None:
        """
        Raises:
            ConflictError: it is the default data store, managed, or used by a pipeline.
        """
        if component.default or component.managed:
            raise ConflictError(
                f"{component.name} is the default data store or managed by the server.", "Make another one the default."
            )
        using = [each.name for each in users if component.name in each.data_components]
        if using:
            raise ConflictError(f"{component.name} is used by {', '.join(using)}.", "Take it out of them first.")
        await self._resources.delete("component", str(component.id))


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


def component_of(row: Resource) -> Component:
    """
    Read a component out of its resource.
    """
    assert row.workspace_id is not None  # noqa: S101 - written with one
    body = row.body
    return Component(
        id=UUID(row.id),
        workspace_id=row.workspace_id,
        name=row.name,
        plugin=body["plugin"],
        properties=row.secret,
        commands=body.get("commands", {}),
        jdbc_url=body.get("jdbcUrl", ""),
        draft=body.get("draft", False),
        managed=body.get("managed", False),
        default=body.get("default", False),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def as_resource(component: Component) -> Resource:
    """
    Make the resource that a component is kept as.
    """
    return Resource(
        id=str(component.id),
        kind="component",
        name=component.name,
        workspace_id=component.workspace_id,
        body={
            "plugin": component.plugin,
            "commands": component.commands,
            "jdbcUrl": component.jdbc_url,
            "draft": component.draft,
            "managed": component.managed,
            "default": component.default,
            "store": component.type == "loaders",
        },
        secret=dict(component.properties),
    )


def is_secret(name: str, settings: Iterable[Setting]) -> bool:
    """
    Say whether a setting is to be hidden from those who may not see secrets: its plugin says so, or its name does.
    """
    declared = next((setting for setting in settings if setting.name == name), None)
    return bool(declared and declared.sensitive) or bool(secrets_of({name: "a-value-that-counts"}))
