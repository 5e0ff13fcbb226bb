"""
From a pipeline to a plan: one command, chosen by the table below, with every setting in its environment.

    the pipeline has          its command
    a script                  Bash runs it; install and execution are its own business
    actions                   meltano run ACTION...
    an extractor, a loader    meltano run EXTRACTOR LOADER
    nothing of these          none; the job says so and completes

Both `meltano run` have the suffix of the pipeline's id on their state ids, so that two pipelines over one pair of plugins go on from where
each of them was. Source: "Pipelines" of Meltano's own documentation, and the server's published command template.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from headrace.core.job import NewJob
from headrace.core.meltano import Plugin
from headrace.core.pipelines import Component, Pipeline
from headrace.core.plan import Checkout, Command, Limits, OnTaken, Plan
from headrace.dialects.matatika.variables import components_of, pair_of, settings_of, variables_of
from headrace.dialects.matatika.workspace_wire import Source
from headrace.services.surroundings import Surroundings

DIALECT: Final = "matatika"
TENANT: Final = "default"
MELTANO: Final = ("meltano>=4.4,<5",)
INSTALL_LIMITS_SECONDS: Final = 1800.0
_OPENING: Final = "repository"

JobType = Literal["PIPELINE_RUN", "PIPELINE_CONFIG", "PIPELINE_VERIFY", "WORKSPACE_INIT", "WORKSPACE_DEPLOY"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """
    What surrounds one job.

    Attributes:
        limits: of the server, for what the pipeline does not say.
        api_url: where child processes reach this API.
        triggered_by: the pipeline that ended, `deploy` or `schedule`; empty for a person.
        profile: who asks, as callers see them; None for the server itself.
    """

    id: UUID
    type: JobType
    limits: Limits
    api_url: str
    triggered_by: str = ""
    trigger: str = "api"
    started_by: str = ""
    profile: Mapping[str, Any] | None = None
    idempotency_key: str | None = None


def compile_pipeline(around: Surroundings, pipeline: Pipeline, asked: Asked) -> tuple[NewJob, Plan]:
    """
    Make a job of a pipeline: its run, or the jobs that configure and verify it.
    """
    step = _step(around, pipeline, asked)
    environment, secrets = settings_of(around, pipeline)
    new = NewJob(
        id=asked.id,
        workspace_id=around.workspace.id,
        workspace=around.workspace.name,
        tenant=TENANT,
        dialect=DIALECT,
        definition=str(pipeline.id),
        public_id=str(asked.id)[:8],
        root=f"{around.workspace.id}/jobs/{asked.id}",
        name=pipeline.name,
        trigger=asked.trigger,
        started_by=asked.started_by,
        details=_details(around, asked, step, pipeline),
        sealed={"environment": {**around.snapshot.variables, **environment}, "secrets": secrets},
        idempotency_key=asked.idempotency_key,
        # What is asked for has no body; the plan differs each time, it holds the job's id.
        fingerprint=f"{asked.type}:{pipeline.id}".encode(),
    )
    runs = asked.type == "PIPELINE_RUN"
    plan = Plan(
        steps=(step,),
        key=f"{DIALECT}:{pipeline.id}",
        on_taken=OnTaken.REJECT,
        max_attempts=1 + pipeline.max_retries if runs else 1,
        environment="environment",
        variables=variables_of(around, pipeline, job_id=asked.id, trigger=asked.trigger, api_url=asked.api_url),
        snapshots=False,
    )
    return new, plan


def compile_workspace(around: Surroundings, asked: Asked, source: Source | None = None) -> tuple[NewJob, Plan]:
    """
    Make a job of a workspace: it brings the project from its *source*, or without one makes the Meltano ready of the project in force.
    """
    step = _workspace_step(around, asked, source)
    new = NewJob(
        id=asked.id,
        workspace_id=around.workspace.id,
        workspace=around.workspace.name,
        tenant=TENANT,
        dialect=DIALECT,
        definition=f"workspace:{around.workspace.id}",
        public_id=str(asked.id)[:8],
        root=f"{around.workspace.id}/jobs/{asked.id}",
        name=around.workspace.name,
        trigger=asked.trigger,
        started_by=asked.started_by,
        details=_details(around, asked, step, None),
        sealed={_OPENING: dict(source.opening)} if source and source.opening else {},
        idempotency_key=asked.idempotency_key,
    )
    key = f"{DIALECT}:workspace:{around.workspace.id}"
    return new, Plan(steps=(step,), key=key, on_taken=OnTaken.REJECT, snapshots=False)


def _workspace_step(around: Surroundings, asked: Asked, source: Source | None) -> Command | Checkout:
    limits = _limits(asked, INSTALL_LIMITS_SECONDS)
    if source is None:
        name = "deploy" if asked.type == "WORKSPACE_DEPLOY" else "init"
        meltano = meltano_of(around) if around.project.plugins else ()
        return Command(name=name, project=around.snapshot.digest, meltano=meltano, limits=limits)
    return Checkout(
        name="clone" if source.url else "init",
        url=source.url,
        branch=source.branch,
        directory=source.directory,
        sealed=_OPENING if source.opening else None,
        limits=limits,
    )


def meltano_of(around: Surroundings) -> tuple[str, ...]:
    """
    Give the requirement lines of a workspace's Meltano: its setting `meltano_install`, or ours.
    """
    lines = around.workspace.definition.get("settings", {}).get("meltano_install")
    if isinstance(lines, str):
        return (lines,)
    return tuple(str(line) for line in lines) if isinstance(lines, list) and lines else MELTANO


def _step(around: Surroundings, pipeline: Pipeline, asked: Asked) -> Command:
    words = list(pipeline.actions)
    pair = pair_of(around, pipeline)
    if not words and pair:
        words = [pair[0].name, pair[1].name]
    has_plugins = bool(around.project.plugins)  # without any, a script has no use for Meltano
    name, argv, script, wall_seconds = "run", list[str](), "", float(pipeline.wall_seconds)
    match asked.type:
        case "PIPELINE_RUN" if pipeline.script:
            script = pipeline.script
        case "PIPELINE_RUN" if words:
            argv = ["meltano", "run", "--no-install", "--force", "--run-id", str(asked.id)]
            argv += ["--state-id-suffix", str(pipeline.id), *words]
        case "PIPELINE_RUN":
            pass
        case "PIPELINE_VERIFY":
            name, wall_seconds = "verify", INSTALL_LIMITS_SECONDS
            if pair:
                # Meltano 4.4 minds no `auto_install` here, and would install anew into the environment that other jobs share.
                argv = ["meltano", "config", "test", "--no-install", pair[0].name]
        case _:
            name, wall_seconds = "config", INSTALL_LIMITS_SECONDS
    needs_meltano = (has_plugins if pipeline.script else bool(words)) or bool(argv)
    return Command(
        name=name,
        limits=_limits(asked, wall_seconds),
        project=around.snapshot.digest,
        script=script,
        argv=tuple(argv),
        meltano=meltano_of(around) if needs_meltano else (),
        plugins=_added_plugins(around, pipeline),
        words=() if pipeline.script else tuple(words),
        streams_of=pair[0].name if pair and asked.type == "PIPELINE_VERIFY" else "",
        state_scope=str(pipeline.id),
    )


def _added_plugins(around: Surroundings, pipeline: Pipeline) -> dict[str, list[dict[str, Any]]]:
    """
    Define what the project's own files do not: plugins that came over the API, and components under names of their own.
    """
    added: dict[str, dict[str, dict[str, Any]]] = {}
    for component in components_of(around, pipeline):
        base = around.plugins.get(component.plugin_name)
        bodies = added.setdefault(component.type, {})
        if base is not None and base.name not in around.project.plugins:
            bodies[base.name] = _definition(base)
        settings = _undeclared(around, pipeline, component)
        if component.name != component.plugin_name:
            bodies[component.name] = {"name": component.name, "inherit_from": component.plugin_name, **settings}
        elif settings:
            own = bodies.get(component.name)
            declared = (own or around.project.plugins[component.name].body).get("settings") or ()
            # No more than that of what the project says: a plan holds no secrets, and the project's own file has the rest.
            bodies[component.name] = {
                **(own or {"name": component.name}),
                "settings": [*declared, *settings["settings"]],
            }
    return {plural: list(bodies.values()) for plural, bodies in added.items() if bodies}


def _undeclared(around: Surroundings, pipeline: Pipeline, component: Component) -> dict[str, Any]:
    """
    Declare the settings that only properties name, or Meltano would not look at their variables.
    """
    prefix = f"{component.name}."
    names = [*component.properties, *(key[len(prefix) :] for key in pipeline.properties if key.startswith(prefix))]
    declared = {setting.name for setting in around.settings_of(component)}
    new = [name for name in dict.fromkeys(names) if name not in declared and not name.startswith("_")]
    return {"settings": [{"name": name} for name in new]} if new else {}


def _definition(plugin: Plugin) -> dict[str, Any]:
    names = (
        "name", "namespace", "variant", "label", "pip_url", "executable", "capabilities", "settings", "commands",
        "select", "metadata", "config", "inherit_from", "settings_group_validation",
    )  # fmt: skip
    return {**{name: plugin.body[name] for name in names if name in plugin.body}, "namespace": plugin.namespace}


def _details(around: Surroundings, asked: Asked, step: Command | Checkout, pipeline: Pipeline | None) -> dict[str, Any]:
    commit = ""  # of a clone it is told when it is there
    if isinstance(step, Checkout):
        arguments = ["git", "clone", step.url] if step.url else []
    else:
        arguments = ["bash", "script.sh"] if step.script else list(step.argv)
        commit = around.snapshot.commit
    return {
        "type": asked.type,
        "arguments": arguments,
        "maxRetries": pipeline.max_retries if pipeline and asked.type == "PIPELINE_RUN" else 0,
        **({"triggeredBy": asked.triggered_by} if asked.triggered_by else {}),
        **({"commitId": commit} if commit else {}),
        **({"profile": dict(asked.profile)} if asked.profile else {}),
        **({"pipeline": _shown(pipeline)} if pipeline else {}),
    }


def _shown(pipeline: Pipeline) -> dict[str, Any]:
    """
    Show a pipeline as it stands inside a job, without its properties, which may be secrets.
    """
    return {
        "id": str(pipeline.id),
        "label": pipeline.label,
        "name": pipeline.name,
        "schedule": pipeline.schedule or None,
        "timeout": pipeline.timeout_seconds,
        "maxRetries": pipeline.max_retries,
        "dataComponents": list(pipeline.data_components),
        "actions": list(pipeline.actions),
        "triggeredBy": list(pipeline.triggered_by),
    }


def _limits(asked: Asked, wall_seconds: float) -> Limits:
    return Limits(
        wall_seconds=wall_seconds,
        memory_bytes=asked.limits.memory_bytes,
        log_bytes=asked.limits.log_bytes,
        grace_seconds=asked.limits.grace_seconds,
    )
