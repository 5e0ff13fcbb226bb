"""
Connectors' own settings kept apart from a plan: a plan is stored as it is, and settings may hold secrets.

They go with the job's sealed inputs, and come back when the job is begun.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from headrace.core.plan import AnyStep, ConnectorSpec, Discover, Export, Pipe, Plan, Script, Sync

_PREFIX = "settings:"


def take_out(plan: Plan) -> tuple[Plan, dict[str, dict[str, Any]]]:
    """
    Give a plan whose connectors have no settings, and the settings by the names of sealed inputs.
    """
    found: dict[str, dict[str, Any]] = {}
    if not any(spec.settings for step in plan.steps for spec in _connectors(step)):
        return plan, found  # most plans, and the next lines make each of their steps anew

    def without(spec: ConnectorSpec) -> ConnectorSpec:
        if not spec.settings:
            return spec
        found[_PREFIX + spec.name] = spec.settings
        return replace(spec, settings={})

    bare = tuple(_each(step, without) for step in plan.steps)
    return replace(plan, steps=bare), found


def put_back(plan: Plan, sealed: Mapping[str, Any]) -> Plan:
    """
    Give the plan as it was before `take_out`, out of a job's sealed inputs.
    """
    if not any(name.startswith(_PREFIX) for name in sealed):
        return plan

    def complete(spec: ConnectorSpec) -> ConnectorSpec:
        settings = sealed.get(_PREFIX + spec.name)
        return replace(spec, settings=settings) if settings else spec

    return replace(plan, steps=tuple(_each(step, complete) for step in plan.steps))


def _connectors(step: AnyStep) -> Iterable[ConnectorSpec]:
    match step:
        case Discover() | Sync():
            return (step.connector,)
        case Script(target=ConnectorSpec() as target):
            return (target,)
        case Export():
            return [target.connector for target in step.targets]
        case Pipe():
            return (step.tap, step.target)
    return ()


def _each(step: AnyStep, change: Callable[[ConnectorSpec], ConnectorSpec]) -> AnyStep:
    match step:
        case Discover() | Sync():
            return replace(step, connector=change(step.connector))
        case Script(target=ConnectorSpec() as target):
            return replace(step, target=change(target))
        case Export():
            return replace(
                step, targets=tuple(replace(each, connector=change(each.connector)) for each in step.targets)
            )
        case Pipe():
            return replace(step, tap=change(step.tap), target=change(step.target))
    return step
