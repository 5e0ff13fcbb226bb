"""
What hotglue's schedule calls carry, and how a schedule looks to its clients.

Source: hotglue's page "Schedules" and the widget 1.4 (documented only). The reply's words are capitalised there, `ScheduleExpression` and
`State`; what is ours beside them is in lower case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from headrace.core.errors import InvalidError
from headrace.core.schedule import parse
from headrace.dialects.hotglue.bodies import object_in, text_in
from headrace.dialects.hotglue.compile import HIDDEN
from headrace.dialects.hotglue.compile_v2 import decode_connector_run
from headrace.dialects.hotglue.wire import check_id, decode_run
from headrace.services.schedules import Firing, Schedule

DISABLED: Final = {"State": "DISABLED"}

# What a schedule's jobs may be asked with; the rest of the body is about the schedule itself.
_OPTIONS: Final = (
    "job_type", "job_name", "override_start_date", "override_end_date", "override_selected_tables",
    "override_field_map", "override_source_config", "override_target_config", "override_connector_config",
    "environment_variables", "reset_source_state", "streaming_job", "ignore_parallel_jobs", "queue_if_active_job",
)  # fmt: skip
_SECRET: Final = (
    "environment_variables",
    "override_source_config",
    "override_target_config",
    "override_connector_config",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRequest:
    """
    A schedule that somebody wants.

    Attributes:
        expression: None leaves the one that is there.
        connector: empty for the flow as a whole.
        options: what its jobs are asked with.
    """

    expression: str | None
    enabled: bool
    connector: str
    options: dict[str, Any]


def read_schedule(body: Mapping[str, Any], *, connector: str = "") -> ScheduleRequest:
    """
    Read the body of a PUT, or the `schedule` of a link.

    Raises:
        InvalidError: a field is not as it should be; the reason names it.
    """
    expression = text_in(body, "schedule_expression", "ScheduleExpression", "scheduleExpression", "expression")
    if expression:
        parse(expression)
    named = text_in(body, "connector_id", "tap", "tap_name") or connector
    options = {name: body[name] for name in _OPTIONS if body.get(name) is not None}
    request = ScheduleRequest(
        expression=expression or None,
        enabled=_enabled(body),
        connector=check_id(named, "connector_id") if named else "",
        options=options,
    )
    _check(request)
    return request


def is_v2(options: Mapping[str, Any]) -> bool:
    """
    Tell whether a schedule's jobs are V2 jobs: they have a type.
    """
    return bool(options.get("job_type"))


def run_body(options: Mapping[str, Any], connector: str) -> bytes:
    """
    Make the body of the run call that a schedule stands for.
    """
    name = "connector_id" if is_v2(options) else "tap"
    return msgspec.json.encode({**options, **({name: connector} if connector else {})})


def show_schedule(schedule: Schedule | None, firings: Sequence[Firing] = ()) -> dict[str, Any]:
    """
    Show a schedule with the instants that it has met lately.
    """
    if schedule is None:
        return dict(DISABLED)
    state = "ENABLED" if schedule.enabled else "DISABLED"
    options = {name: value for name, value in schedule.options.items() if name not in _SECRET}
    hidden: dict[str, Any] = {
        name: dict.fromkeys(schedule.options[name], HIDDEN) for name in _SECRET if name in schedule.options
    }
    return {
        **options,
        **hidden,
        "ScheduleExpression": schedule.expression,
        "State": state,
        "schedule_expression": schedule.expression,
        "state": state,
        "connector_id": schedule.place.connector or None,
        "next_at": schedule.next_at.isoformat() if schedule.next_at else None,
        "firings": [_show_firing(firing) for firing in firings],
    }


def _show_firing(firing: Firing) -> dict[str, Any]:
    return {
        "instant": firing.instant.isoformat(),
        "outcome": firing.outcome,
        "reason": firing.reason,
        "missed": firing.missed,
        "task_id": firing.job_id.hex if firing.job_id else None,
    }


def _enabled(body: Mapping[str, Any]) -> bool:
    state = text_in(body, "state", "State").upper() or "ENABLED"
    if state not in ("ENABLED", "DISABLED"):
        raise InvalidError("`state` is neither `ENABLED` nor `DISABLED`.", "Give one of them.", field="state")
    return state == "ENABLED"


def _check(request: ScheduleRequest) -> None:
    for name in _SECRET:
        object_in(request.options, name)
    body = run_body(request.options, request.connector)
    if is_v2(request.options):
        decode_connector_run(body)
    else:
        decode_run(body)
