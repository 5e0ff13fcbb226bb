"""
The same plan again, or that plan with named overrides.

    bookmark=use|ignore|reset      whether the source goes on from where it was read to
    start_date=…, end_date=…       settings of the source for this job; with a start_date the bookmark is ignored
    max_records=N                  of each stream
    empty_output=fail|allow        whether a script may write nothing
    priority=N                     among the waiting jobs of the tenant
    env.NAME=…                     environment variable of every child
    STEP.LIMIT=…                   limit of a step, such as `etl.memory_bytes` or `sync.wall_seconds`; `none` takes it away
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from msgspec.structs import replace

from headrace.core.errors import ConflictError, InvalidError
from headrace.core.job import Job, NewJob, StepRecord
from headrace.core.plan import AnyStep, ConfigRef, Limits, OnTaken, Pipe, Plan, Script, Sync
from headrace.core.state import StepState

_NAMES: Final = ("bookmark", "start_date", "end_date", "max_records", "empty_output", "priority")
_VARIABLE: Final = re.compile(r"env\.([A-Za-z_][A-Za-z0-9_]*)")
_MOST: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """
    What somebody wants to be run again.

    Attributes:
        from_step: the first step that is run; those before it are taken over from the old job. None runs all.
        options: overrides by name, see above.
        queue: wait for an active job of the key instead of being refused.
        idempotency_key: asked again under it, the job that is there is given.
    """

    job_id: UUID
    from_step: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    queue: bool = False
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """
    All that a dialect needs to make a new job of an old one. Steps, overrides and sealed inputs are settled already.

    Attributes:
        plan: of the new job, with what the old one's own names stand for left in it.
        sealed: inputs of the old job.
        by: who asks.
    """

    job: Job
    plan: Plan
    sealed: Mapping[str, Any]
    by: str
    done: tuple[StepRecord, ...] = ()


Renew = Callable[[Renewal], tuple[NewJob, Plan]]
"""Makes the new job of a dialect: its ids, its root and what in the plan names them."""


def steps_before(job: Job, name: str | None) -> tuple[StepRecord, ...]:
    """
    Give the steps that are taken over when a job is run again from one of its steps on.

    Raises:
        InvalidError: the job has no such step.
        ConflictError: one of them did not complete.
    """
    if name is None:
        return ()
    names = [step.name for step in job.steps]
    if name not in names:
        raise InvalidError(
            f"The job has no step {name[:100]!r}.", f"Its steps are: {', '.join(names) or 'none'}.", field="from"
        )
    before = job.steps[: names.index(name)]
    for step in before:
        if step.state is not StepState.COMPLETED:
            raise ConflictError(
                f"The step {step.name} of the old job did not complete, so there is nothing to go on from.",
                f"Run it again from {step.name}, or whole.",
                step=step.name,
            )
    return before


def overridden(plan: Plan, options: Mapping[str, str]) -> tuple[Plan, dict[str, str]]:
    """
    Change a plan by named overrides; gives it and the environment variables among them.

    Raises:
        InvalidError: there is no such override, or its value does not fit.
    """
    variables: dict[str, str] = {}
    for name, value in options.items():
        if match := _VARIABLE.fullmatch(name):
            variables[match[1]] = value
        elif name == "priority":
            plan = replace(plan, priority=_whole(name, value, least=-_MOST))
        else:
            plan = replace(plan, steps=_changed(plan.steps, name, value))
    if "start_date" in options and "bookmark" not in options:
        plan = replace(plan, steps=_changed(plan.steps, "bookmark", "ignore"))
    return plan, variables


def queued(plan: Plan, *, queue: bool) -> Plan:
    """
    Let a job wait for its key, or be refused.
    """
    return replace(plan, on_taken=OnTaken.QUEUE) if queue else plan


def _changed(steps: Sequence[AnyStep], name: str, value: str) -> tuple[AnyStep, ...]:
    changed = tuple(_with(step, name, value) for step in steps)
    if changed == tuple(steps) and not any(_takes(step, name) for step in steps):
        limits = ", ".join(f"STEP.{limit}" for limit in Limits.__struct_fields__)
        names = ", ".join(step.name for step in steps)
        raise InvalidError(
            f"There is no override {name[:100]!r} for this job.",
            f"Known are {', '.join(_NAMES)}, env.NAME and {limits}, where STEP is one of: {names or 'none'}.",
            field=name,
        )
    return changed


def _takes(step: AnyStep, name: str) -> bool:
    match step:
        case Sync() if name in ("bookmark", "start_date", "end_date", "max_records"):
            return True
        case Pipe() if name in ("bookmark", "start_date", "end_date"):
            return True
        case Script() if name == "empty_output":
            return True
    own, _, limit = name.partition(".")
    return own == step.name and limit in Limits.__struct_fields__


def _with(step: AnyStep, name: str, value: str) -> AnyStep:
    if not _takes(step, name):
        return step
    match step:
        case Sync() | Pipe() if name == "bookmark":
            return replace(step, bookmark=_one_of(name, value, ("use", "ignore", "reset")))
        case Sync() if name == "max_records":
            return replace(step, max_records=_whole(name, value, least=1))
        case Sync(config=ref) if name in ("start_date", "end_date"):
            return replace(step, config=_dated(ref, name, value))
        case Pipe(tap_config=ref) if name in ("start_date", "end_date"):
            return replace(step, tap_config=_dated(ref, name, value))
        case Script() if name == "empty_output":
            return replace(step, empty_output=_one_of(name, value, ("fail", "allow")))
    limit = name.partition(".")[2]
    return replace(step, limits=replace(step.limits, **{limit: _limit(name, value)}))


def _dated(ref: ConfigRef, name: str, value: str) -> ConfigRef:
    return replace(ref, extra={**ref.extra, name: value})


def _one_of(name: str, value: str, known: Sequence[str]) -> Any:
    if value not in known:
        raise InvalidError(f"`{name}` is not {value[:100]!r}.", f"Use one of: {', '.join(known)}.", field=name)
    return value


def _whole(name: str, value: str, *, least: int) -> int:
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if not least <= number <= _MOST:
        raise InvalidError(f"`{name}` must be a whole number from {least} to {_MOST}.", "Correct it.", field=name)
    return number


def _limit(name: str, value: str) -> float | int | None:
    if value == "none" and not name.endswith((".line_bytes", ".log_bytes", ".grace_seconds")):
        return None
    try:
        number = float(value) if name.endswith("_seconds") else int(value)
    except ValueError:
        number = 0
    if not 0 < number < 2**53:
        raise InvalidError(f"`{name}` must be a number above 0.", "Give bytes or seconds, or `none`.", field=name)
    return number
