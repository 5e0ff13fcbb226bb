"""
The environment of a pipeline's processes: its settings as Meltano's variables, and what tells a process where it is.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from headrace.core.meltano import variable
from headrace.core.pipelines import Component, Pipeline
from headrace.services.surroundings import Surroundings

_SCHEMA_SETTINGS: Final = ("schema", "target_schema", "default_target_schema")


def settings_of(around: Surroundings, pipeline: Pipeline) -> tuple[dict[str, str], dict[str, str]]:
    """
    Give a pipeline's settings as Meltano's variables, and of them those whose plugin says that they are sensitive.

    The pipeline's own properties win over its components'.
    """
    variables: dict[str, str] = {}
    sensitive: dict[str, str] = {}
    for component in components_of(around, pipeline):
        known = {setting.name for setting in around.settings_of(component) if setting.sensitive}
        given = dict(component.properties)
        prefix = f"{component.name}."
        given |= {key[len(prefix) :]: value for key, value in pipeline.properties.items() if key.startswith(prefix)}
        for name, value in given.items():
            variables[variable(component.name, name)] = value
            if name in known:
                sensitive[variable(component.name, name)] = value
    return variables, sensitive


def pair_of(around: Surroundings, pipeline: Pipeline) -> tuple[Component, Component] | None:
    """
    Give the first extractor and the first loader of a pipeline; None when it lacks one.
    """
    found = components_of(around, pipeline)
    extractor = next((each for each in found if each.type == "extractors"), None)
    loader = next((each for each in found if each.type == "loaders"), None)
    return (extractor, loader) if extractor and loader else None


def components_of(around: Surroundings, pipeline: Pipeline) -> list[Component]:
    """
    List the components that a pipeline names, each once, those of its actions included.
    """
    names = dict.fromkeys([*pipeline.data_components, *(word.partition(":")[0] for word in pipeline.actions)])
    return [around.components[name] for name in names if name in around.components]


def variables_of(
    around: Surroundings, pipeline: Pipeline, *, job_id: UUID, trigger: str, api_url: str
) -> dict[str, str]:
    """
    Give what every process of a pipeline's job finds in its environment beside its settings.
    """
    pair = pair_of(around, pipeline)
    loader = around.plugins.get(pair[1].plugin_name) if pair else None
    schema = _schema_of(around, pipeline, pair[1]) if pair else ""
    environment = (
        around.set_over_api.get("defaultEnvironment")
        or around.workspace.definition.get("settings", {}).get("default_environment")
        or around.project.default_environment
        or "dev"
    )
    return {
        **around.workspace.definition.get("environment", {}),
        **({"EXTRACTOR": pair[0].name, "LOADER": pair[1].name} if pair else {}),
        **({"DBT_TARGET": loader.namespace.removeprefix("target_")} if loader else {}),
        **({"DBT_SOURCE_SCHEMA": schema, "DBT_TARGET_SCHEMA": schema} if schema else {}),
        "MELTANO_ENVIRONMENT": str(environment),
        "MELTANO_JOB_TRIGGER": trigger,
        "PIPELINE_ID": str(pipeline.id),
        "PIPELINE_NAME": pipeline.name,
        "JOB_ID": str(job_id),
        "WORKSPACE_ID": str(around.workspace.id),
        "ENDPOINT_URL": api_url,
    }


def _schema_of(around: Surroundings, pipeline: Pipeline, loader: Component) -> str:
    """
    Give the schema that a data store writes to, under whichever of its usual names it is set; empty when nobody says.
    """
    prefix = f"{loader.name}."
    own = {key[len(prefix) :]: value for key, value in pipeline.properties.items() if key.startswith(prefix)}
    for values in (own, loader.properties, around.project.config(loader.plugin_name)):
        for name in _SCHEMA_SETTINGS:
            found = values.get(name)
            if isinstance(found, str) and found and "$" not in found:
                return found
    return ""
