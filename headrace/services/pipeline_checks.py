"""
What is wrong with a pipeline, field by field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from headrace.core import spring_cron
from headrace.core.errors import InvalidError
from headrace.core.pipelines import NAME, OFF, Pipeline
from headrace.services.field_problems import FieldProblem
from headrace.services.surroundings import Surroundings

DEPLOY: Final = "deploy"
"""What a pipeline names that is to run after a deployment."""


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
    found += _unknown_actions(around, pipeline)
    found += _missing_settings(around, pipeline)
    found += _trigger_problems(around, pipeline)
    return found


def _form_problems(pipeline: Pipeline) -> Iterable[FieldProblem]:
    if not pipeline.label.strip():
        yield FieldProblem("label", pipeline.label, "must not be blank", "NotBlank")
    if not NAME.fullmatch(pipeline.name):
        yield FieldProblem("name", pipeline.name, "must be 1 to 255 characters without white space", "Pattern")
    if pipeline.timeout_seconds < 0:
        yield FieldProblem("timeout", pipeline.timeout_seconds, "must be greater than or equal to 0", "Min")
    if pipeline.max_retries < 0:
        yield FieldProblem("maxRetries", pipeline.max_retries, "must be greater than or equal to 0", "Min")
    if pipeline.schedule not in ("", OFF):
        try:
            spring_cron.check(pipeline.schedule, published=not pipeline.from_file)
        except InvalidError as error:
            yield FieldProblem("schedule", pipeline.schedule, str(error), "Pattern")


def _unknown_actions(around: Surroundings, pipeline: Pipeline) -> Iterable[FieldProblem]:
    """
    Find the words that Meltano would not know, those of the project's jobs included.
    """
    jobs = around.project.jobs
    known = {*around.components, *around.project.mappings}
    for word in pipeline.actions:
        for block in jobs.get(word, (word,)):
            name = block.partition(":")[0]
            if name not in known:
                where = f" in the job {word}" if word in jobs else ""
                yield FieldProblem("actions", word, f"there is no component or job {name}{where}")


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
