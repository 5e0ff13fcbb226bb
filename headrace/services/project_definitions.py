"""
What the files of a workspace's project define: pipelines and data components, read into the same values that the API makes, and written back.

    pipelines/{name}.yml     a pipeline of that name
    datastores/{name}.yml    a data store of that name
    meltano.yml              a pipeline for each schedule, and one for each job that no schedule runs; a component for each plugin

A file under `pipelines/` goes before a schedule or a job of the same name. A wrong file is a problem and costs what it defines alone.
Source: "Workspace files" of Matatika's documentation (`pipelines/v0.1`, `datastores/v0.1`) and "Schedules" of Meltano's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, Final
from uuid import UUID, uuid5

from ruamel.yaml import YAML

from headrace.core import spring_cron
from headrace.core.errors import DefinitionError
from headrace.core.meltano import MeltanoProject
from headrace.core.meltano import Schedule as MeltanoSchedule
from headrace.core.pipelines import Component, Pipeline
from headrace.services.meltano_projects import Snapshot
from headrace.store.project_yaml import Document

_PIPELINE_KEYS: Final = frozenset(
    {
        "version", "label", "name", "data_components", "actions", "inline_script", "script", "timeout", "max_retries",
        "properties", "schedule", "triggered_by",
    }
)  # fmt: skip
_STORE_KEYS: Final = frozenset({"version", "name", "data_plugin", "properties", "jdbc_url"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """
    Attributes:
        files: by the name of a pipeline that has a file of its own, that file.
        lost: names of pipelines whose files are wrong; the last good version of them stays.
    """

    pipelines: tuple[Pipeline, ...] = ()
    components: tuple[Component, ...] = ()
    problems: tuple[DefinitionError, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()


def definitions_of(snapshot: Snapshot, workspace_id: UUID) -> Definitions:
    """
    Read what a project's files define.
    """
    folder, problems, lost = snapshot.folder, list(snapshot.problems), set[str]()
    found = {each.name: each for each in _meltano_pipelines(snapshot.project, workspace_id)}
    for name, document in folder.pipelines.items():
        try:
            found[name] = _pipeline(name, document.file, document.value, workspace_id)
        except DefinitionError as problem:
            problems.append(_placed(problem, document))
            lost.add(name)
    components = {each.name: each for each in _plugin_components(snapshot.project, workspace_id)}
    for name, document in folder.stores.items():
        try:
            components[name] = _store(name, document.file, document.value, workspace_id)
        except DefinitionError as problem:
            problems.append(_placed(problem, document))
    read = {each.facts.get("file", "").removeprefix("pipelines/").rsplit(".", 1)[0] for each in snapshot.problems}
    return Definitions(
        pipelines=tuple(found.values()),
        components=tuple(components.values()),
        problems=tuple(problems),
        files={name: document.file for name, document in folder.pipelines.items()},
        lost=frozenset(lost | read),
    )


def _placed(problem: DefinitionError, document: Document) -> DefinitionError:
    """
    Let a problem name the line that it stands in.
    """
    problem.facts["line"] = document.lines.get((str(problem.facts.get("at")),), 1)
    return problem


def as_documents(
    pipelines: Iterable[Pipeline], components: Iterable[Component], *, secret: Mapping[UUID, frozenset[str]]
) -> dict[str, str]:
    """
    Write pipelines and data stores as the files that define them: path to YAML text. Properties that are *secret* are left out.
    """
    found: dict[str, str] = {}
    for pipeline in pipelines:
        shown = {key: value for key, value in pipeline.properties.items() if key not in secret.get(pipeline.id, ())}
        found[f"pipelines/{pipeline.name}.yml"] = _yaml(
            {
                "version": "pipelines/v0.1",
                "label": pipeline.label if pipeline.label != pipeline.name else None,
                "data_components": list(pipeline.data_components),
                "actions": list(pipeline.actions),
                "inline_script": pipeline.script,
                "timeout": pipeline.timeout_seconds,
                "max_retries": pipeline.max_retries,
                "properties": shown,
                "schedule": pipeline.schedule,
                "triggered_by": list(pipeline.triggered_by),
            }
        )
    for component in components:
        if component.type == "loaders":
            shown = {
                key: value for key, value in component.properties.items() if key not in secret.get(component.id, ())
            }
            document = {"version": "datastores/v0.1", "data_plugin": component.plugin, "properties": shown}
            found[f"datastores/{component.name}.yml"] = _yaml(document)
    return found


def _yaml(document: Mapping[str, Any]) -> str:
    yaml = YAML()
    yaml.default_flow_style = False
    text = StringIO()
    yaml.dump({key: value for key, value in document.items() if value not in (None, "", [], {}, 0)}, text)
    return text.getvalue()


def _meltano_pipelines(project: MeltanoProject, workspace_id: UUID) -> Iterable[Pipeline]:
    scheduled = set[str]()
    for schedule in project.schedules:
        scheduled.add(schedule.job)
        yield _of_schedule(schedule, workspace_id)
    for job in project.jobs:
        if job not in scheduled:
            yield _new(job, workspace_id, actions=(job,))


def _of_schedule(schedule: MeltanoSchedule, workspace_id: UUID) -> Pipeline:
    pair = (schedule.extractor, schedule.loader)
    return _new(
        schedule.name,
        workspace_id,
        schedule=spring_cron.from_meltano(schedule.interval),
        actions=(schedule.job,) if schedule.job else (),
        data_components=() if schedule.job else tuple(name for name in pair if name),
    )


def _pipeline(name: str, file: str, document: Any, workspace_id: UUID) -> Pipeline:
    if not document:  # as a file is while an editor writes it
        raise _wrong(file, "the file", "a mapping with something in it")
    body = _checked(file, document, _PIPELINE_KEYS)
    schedule = _text(file, body, "schedule")
    return _new(
        name,
        workspace_id,
        label=_text(file, body, "label") or name,
        schedule=spring_cron.from_meltano(schedule) if schedule else "",
        timeout_seconds=_whole(file, body, "timeout"),
        max_retries=_whole(file, body, "max_retries"),
        script=_text(file, body, "inline_script") or _text(file, body, "script"),
        data_components=_texts(file, body, "data_components"),
        actions=_texts(file, body, "actions"),
        triggered_by=_texts(file, body, "triggered_by"),
        properties=_properties(file, body),
    )


def _new(name: str, workspace_id: UUID, **fields: Any) -> Pipeline:
    fields.setdefault("label", name)
    return Pipeline(
        id=uuid5(workspace_id, f"pipeline:{name}"), workspace_id=workspace_id, name=name, from_file=True, **fields
    )


def _plugin_components(project: MeltanoProject, workspace_id: UUID) -> Iterable[Component]:
    for plugin in project.plugins.values():
        yield Component(
            id=uuid5(workspace_id, f"component:{plugin.name}"),
            workspace_id=workspace_id,
            name=plugin.name,
            plugin=plugin.full_name,
        )


def _store(name: str, file: str, document: Any, workspace_id: UUID) -> Component:
    body = _checked(file, document, _STORE_KEYS)
    plugin = _text(file, body, "data_plugin")
    if not plugin.startswith("loaders/"):
        raise _wrong(file, "data_plugin", "the full name of a loader, such as loaders/target-x")
    return Component(
        id=uuid5(workspace_id, f"component:{name}"),
        workspace_id=workspace_id,
        name=name,
        plugin=plugin,
        properties=_properties(file, body),
        jdbc_url=_text(file, body, "jdbc_url"),
    )


def _checked(file: str, document: Any, keys: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise _wrong(file, "the file", "a mapping")
    unknown = sorted(set(document) - keys)
    if unknown:
        raise DefinitionError(
            f"{file}: there is no key `{unknown[0]}`.",
            f"Known keys: {', '.join(sorted(keys))}.",
            file=file,
            at=unknown[0],
        )
    return document


def _text(file: str, body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise _wrong(file, key, "a text")
    return value or ""


def _whole(file: str, body: Mapping[str, Any], key: str) -> int:
    value = body.get(key, 0)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _wrong(file, key, "a whole number, 0 or more")
    return value


def _texts(file: str, body: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = body.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _wrong(file, key, "a list of texts")
    return tuple(value)


def _properties(file: str, body: Mapping[str, Any]) -> dict[str, str]:
    value = body.get("properties")
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _wrong(file, "properties", "a mapping")
    shown = {True: "true", False: "false"}
    return {
        str(key): shown[each] if isinstance(each, bool) else str(each)
        for key, each in value.items()
        if each is not None
    }


def _wrong(file: str, key: str, wanted: str) -> DefinitionError:
    return DefinitionError(
        f"{file}: {key} is not {wanted}.", "Correct the file; the last good version stays.", file=file, at=key
    )
