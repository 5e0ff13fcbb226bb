"""
Pipelines, components and workspaces as callers see them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.core.meltano import Setting
from headrace.core.pipelines import Component, Pipeline
from headrace.dialects.matatika.hal import Link, Links, present, timestamp
from headrace.dialects.matatika.wire import MASK
from headrace.dialects.matatika.workspace_wire import SECRETS
from headrace.services.components import is_secret
from headrace.services.surroundings import Surroundings, Workspace


def pipeline_view(
    pipeline: Pipeline, status: str, links: Links, properties: Mapping[str, str], *, new: bool = False
) -> dict[str, Any]:
    """
    Show a pipeline; a *new* one is not saved yet and says how to.
    """
    return {
        **present(
            {
                "id": str(pipeline.id),
                "status": status,
                "label": pipeline.label,
                "name": pipeline.name,
                "schedule": pipeline.schedule or None,
                "timeout": pipeline.timeout_seconds,
                "maxRetries": pipeline.max_retries,
                "script": pipeline.script or None,
                "created": timestamp(pipeline.created_at),
                "lastModified": timestamp(pipeline.updated_at),
                "properties": dict(properties),
                "dataComponents": list(pipeline.data_components),
                "actions": list(pipeline.actions),
                "triggeredBy": list(pipeline.triggered_by),
                "repositoryPath": f"pipelines/{pipeline.name}.yml" if pipeline.name else None,
            }
        ),
        "_links": _pipeline_links(pipeline, links, new=new),
    }


def _pipeline_links(pipeline: Pipeline, links: Links, *, new: bool) -> dict[str, Link]:
    here = ("workspaces", pipeline.workspace_id, "pipelines", pipeline.id)
    found = {
        "self": links.to("pipelines", pipeline.id),
        "update pipeline": links.to(*here, method="PUT"),
        "draft pipeline": links.to(*here, "draft", method="PUT"),
        "validate pipeline": links.to(*here[:-1], "validation", method="POST"),
        "verify pipeline": links.to("pipelines", pipeline.id, "verification", method="POST"),
        "delete pipeline": links.to("pipelines", pipeline.id, method="DELETE"),
        "jobs": links.to("pipelines", pipeline.id, "jobs"),
        "new job": links.to("pipelines", pipeline.id, "jobs", method="POST"),
        "subscriptions": links.to("pipelines", pipeline.id, "subscriptions", method="POST"),
        "metrics": links.to("pipelines", pipeline.id, "metrics"),
        "environment": links.to("pipelines", pipeline.id, "environment"),
        "workspace": links.to("workspaces", pipeline.workspace_id),
    }
    if new:
        found["create pipeline"] = links.to(*here, method="PUT")
    return found


def shown_properties(around: Surroundings, pipeline: Pipeline, *, secrets: bool) -> dict[str, str]:
    """
    Give a pipeline's properties, secret ones as `***` for those who may not see them.
    """
    if secrets:
        return dict(pipeline.properties)
    shown = {}
    for key, value in pipeline.properties.items():
        name, _, setting = key.partition(".")
        component = around.components.get(name)
        settings = around.settings_of(component) if component else ()
        shown[key] = MASK if is_secret(setting or key, settings, value) else value
    return shown


def component_view(
    component: Component,
    around: Surroundings,
    links: Links,
    *,
    secrets: bool,
    new: bool = False,
    store: bool = False,
) -> dict[str, Any]:
    """
    Show a data component, or as a data *store* one that is a loader.
    """
    relation = "datastores" if store else "datacomponents"
    singular = relation[:-1]
    plugin = around.plugins.get(component.plugin_name)
    settings = around.settings_of(component)
    here = ("workspaces", component.workspace_id, relation, component.id)
    found: dict[str, Link] = {
        "self": links.to(relation, component.id),
        f"update {singular}": links.to(*here, method="PUT"),
        f"delete {singular}": links.to(relation, component.id, method="DELETE"),
        "workspace": links.to("workspaces", component.workspace_id),
    }
    if new:
        found[f"create {singular}"] = links.to(*here, method="PUT")
    if store:
        found["make-default"] = links.to(relation, component.id, "default", method="PUT")
    body = {
        "id": str(component.id),
        "created": timestamp(component.created_at),
        "lastModified": timestamp(component.updated_at),
        "name": component.name,
        "properties": _masked(component.properties, settings, secrets=secrets),
        "commands": component.commands,
        "streams": list(component.streams) or None,
        "dataPlugin": component.plugin,
        "dataPluginType": component.type.rstrip("s").upper() if component.type else None,
        "repositoryPath": f"datastores/{component.name}.yml" if component.type == "loaders" else None,
        "draft": component.draft,
        "managed": component.managed,
    }
    if store:
        body |= {"workspace": str(component.workspace_id), "jdbcUrl": component.jdbc_url or None}
        body["default"] = component.default
    embedded = {"_embedded": {"dataplugin": plugin_view(plugin.type, plugin.body)}} if plugin else {}
    return {**present(body), **embedded, "_links": found}


def _masked(values: Mapping[str, str], settings: tuple[Setting, ...], *, secrets: bool) -> dict[str, str]:
    return {name: MASK if not secrets and is_secret(name, settings, value) else value for name, value in values.items()}


def plugin_view(plural: str, definition: Mapping[str, Any]) -> dict[str, Any]:
    """
    Show a plugin in Matatika's spelling of its fields.
    """
    names = {
        "name": "name", "namespace": "namespace", "variant": "variant", "label": "label", "description": "description",
        "pip_url": "pipUrl", "repo": "repo", "executable": "executable", "capabilities": "capabilities",
        "settings": "settings", "commands": "commands", "select": "select", "update": "update", "vars": "vars",
    }  # fmt: skip
    shown = {theirs: definition[ours] for ours, theirs in names.items() if definition.get(ours) is not None}
    return {"pluginType": plural.rstrip("s").upper(), **shown}


def workspace_view(
    workspace: Workspace,
    links: Links,
    *,
    secrets: bool = False,
    default: bool = False,
    body: Mapping[str, Any],
    status: str = "READY",
) -> dict[str, Any]:
    """
    Show a workspace; *body* has what was set over the API.
    """
    here = ("workspaces", workspace.id)
    public = {name: value for name, value in body.items() if secrets or name not in SECRETS}
    shown = {
        "id": str(workspace.id),
        "name": body.get("name") or workspace.name,
        "alias": body.get("alias") or workspace.name.replace("-", "_"),
        **{name: value for name, value in public.items() if name not in ("name", "alias")},
        "status": status,
        "managed": False,
        "defaultWorkspace": default,
    }
    return {
        **present(shown),
        "_links": {
            "self": links.to(*here),
            "update delete workspace": links.to(*here),
            "make-default": links.to(*here, "default", method="PUT"),
            "members": links.to(*here, "members"),
            "administrators": links.to(*here, "administrators"),
            "datasets": links.to(*here, "datasets"),
            "publish dataset": links.to(*here, "datasets", method="POST"),
            "channels": links.to(*here, "channels"),
            "dataplugins": links.to(*here, "dataplugins"),
            "pipelines": links.to(*here, "pipelines"),
            "new pipeline": links.to(*here, "pipelines", method="POST"),
            "datacomponents": links.to(*here, "datacomponents"),
            "datastores": links.to(*here, "datastores"),
            "jobs": links.to(*here, "jobs"),
            "deployments": links.to(*here, "deployments", method="POST"),
        },
    }
