"""
What follows a link, as the workspace's settings ask: the schedule of the default tenant, a discover, a first job.

None of it undoes the link: what went wrong is logged and told in the reply.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec
import structlog

from headrace.core.errors import HeadraceError
from headrace.dialects.hotglue.compile import DIALECT, LINK_TRIGGER
from headrace.dialects.hotglue.discover import Discovers
from headrace.dialects.hotglue.schedule_wire import ScheduleRequest
from headrace.dialects.hotglue.schedules import own_actor, place_of
from headrace.http.services_bundle import FlowRun, RunFlow
from headrace.services.connections import Link, Linked, Workspace
from headrace.services.flows import SHARED_TENANT
from headrace.services.schedules import Schedules

log = structlog.get_logger(__name__)

JOB_ON_LINK: Final = "job_on_link"
DISCOVER_ON_LINK: Final = "discover_on_link"
DEFAULT_SCHEDULE: Final = "default_schedule"
_LINKER: Final = "link"


class AfterLink:
    """
    Args:
        run_flow: runs a flow the V1 way.
        run_connector: runs a flow the V2 way.
        now: the current time, aware UTC.
    """

    def __init__(
        self,
        schedules: Schedules,
        discovers: Discovers,
        run_flow: RunFlow,
        run_connector: RunFlow,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._schedules = schedules
        self._discovers = discovers
        self._run_flow = run_flow
        self._run_connector = run_connector
        self._now = now

    async def __call__(self, workspace: Workspace, link: Link, schedule: ScheduleRequest | None) -> list[str]:
        """
        Do what follows; gives a sentence for each thing that went wrong.
        """
        settings = workspace.definition.get("settings") or {}
        linked = link.linked
        connected = not linked.disconnected  # else this is called again when its owner has given consent
        wanted: list[Callable[[], Awaitable[object]]] = []
        if schedule is not None:
            wanted.append(partial(self._set, linked, schedule))
        elif connected and settings.get(DEFAULT_SCHEDULE) and not link.overwritten and linked.tenant != SHARED_TENANT:
            wanted.append(partial(self._cascade, linked))
        if connected and settings.get(DISCOVER_ON_LINK) and linked.role != "target":
            wanted.append(partial(self._discovers.start, workspace, linked, by=_LINKER))
        if connected and settings.get(JOB_ON_LINK) and linked.role != "target":
            wanted.append(partial(self._run, workspace, linked))
        return [problem for step in wanted if (problem := await _tried(step, linked))]

    async def _set(self, linked: Linked, asked: ScheduleRequest) -> None:
        await self._schedules.put(
            place_of(linked.workspace_id, linked.tenant, linked.flow_id, asked.connector),
            now=self._now(),
            expression=asked.expression,
            enabled=asked.enabled,
            options=asked.options,
        )

    async def _cascade(self, linked: Linked) -> None:
        """
        Copy the default tenant's schedules that concern the new link, disabled ones as well; what the tenant has stays.
        """
        theirs = await self._schedules.of_tenant(
            linked.workspace_id, SHARED_TENANT, dialect=DIALECT, definition=linked.flow_id
        )
        for schedule in theirs:
            if schedule.place.connector in ("", linked.connector):
                await self._schedules.put(
                    place_of(linked.workspace_id, linked.tenant, linked.flow_id, schedule.place.connector),
                    now=self._now(),
                    expression=schedule.expression,
                    enabled=schedule.enabled,
                    options=schedule.options,
                    only_new=True,
                )

    async def _run(self, workspace: Workspace, linked: Linked) -> None:
        options: dict[str, Any] = {"queue_if_active_job": True}
        if linked.role == "connector":
            run, options = self._run_connector, {**options, "connector_id": linked.connector, "job_type": "read"}
        else:
            run, options = self._run_flow, {**options, "tap": linked.connector}
        await run(
            own_actor(workspace.id, _LINKER),
            FlowRun(
                workspace=str(workspace.id),
                flow=linked.flow_id,
                tenant=linked.tenant,
                options=msgspec.json.encode(options),
                trigger=LINK_TRIGGER,
            ),
        )


async def _tried(step: Callable[[], Awaitable[object]], linked: Linked) -> str:
    try:
        await step()
    except HeadraceError as error:
        log.warning("link has no sequel", connector=linked.connector, flow=linked.flow_id, reason=error.reason)
        return str(error)
    return ""
