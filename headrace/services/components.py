"""
Data components and data stores: named, configured uses of plugins, checked before they are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from headrace.core.errors import ConflictError, NotFoundError
from headrace.core.meltano import TYPES, Setting
from headrace.core.pipelines import NAME, Component, Pipeline
from headrace.runners.redaction import secrets_of
from headrace.services.field_problems import FieldProblem, refuse
from headrace.services.surroundings import Surroundings
from headrace.store.resources import Resource, Resources


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
        kept = await self._resources.get("component", str(component.id))
        before = component_of(kept) if kept is not None else None
        if before is not None and before.managed:
            raise ConflictError(f"{component.name} is managed by the server.", "Make a component of your own.")
        refuse("datacomponent", component_problems(around, component))
        stores = [each for each in around.components.values() if each.type == "loaders" and each.created_at]
        default = component.type == "loaders" and not any(each.default for each in stores if each.id != component.id)
        streams = before.streams if before is not None and before.plugin == component.plugin else ()
        row, new = await self._resources.put(as_resource(replace(component, default=default, streams=streams)))
        return component_of(row), new

    async def found_streams(self, workspace_id: UUID, name: str, streams: Iterable[dict[str, Any]]) -> None:
        """
        Keep what a verification has found of a component; of one that is gone nothing.
        """
        row = await self._resources.named("component", workspace_id, name)
        if row is not None:
            await self._resources.put(as_resource(replace(component_of(row), streams=tuple(streams))))

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


def component_problems(around: Surroundings, component: Component) -> list[FieldProblem]:
    """
    List what is wrong with a component.
    """
    found = []
    if not NAME.fullmatch(component.name):
        found.append(FieldProblem("name", component.name, "must be 1 to 255 characters without white space", "Pattern"))
    if component.type not in TYPES or not component.plugin_name:
        found.append(FieldProblem("dataPlugin", component.plugin, "must be like extractors/tap-x--variant", "Pattern"))
    elif component.plugin_name not in around.plugins and not component.draft:
        known = ", ".join(sorted(each.full_name for each in around.plugins.values())) or "none"
        found.append(FieldProblem("dataPlugin", component.plugin, f"there is no such plugin; known: {known}"))
    return found


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
        streams=tuple(body.get("streams", ())),
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
            "streams": list(component.streams),
        },
        secret=dict(component.properties),
    )


def is_secret(name: str, settings: Iterable[Setting], value: str) -> bool:
    """
    Say whether a setting is to be hidden from those who may not see secrets: its plugin says so, its name does, or its value has a password.
    """
    declared = next((setting for setting in settings if setting.name == name), None)
    return bool(declared and declared.sensitive) or bool(secrets_of({name: value or "a-value-that-counts"}))
