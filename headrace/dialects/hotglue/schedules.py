"""
Scheduled runs of flows, and what follows a link: the jobs that nobody asked for by hand.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from headrace.core.actor import Actor
from headrace.dialects.hotglue.compile import DIALECT
from headrace.dialects.hotglue.schedule_wire import is_v2, run_body
from headrace.http.services_bundle import FlowRun, RunFlow
from headrace.services.schedules import Call, SchedulePlace

SCHEDULER: Final = "scheduler"


def own_actor(workspace_id: UUID, name: str) -> Actor:
    """
    Give the server itself the rights of a workspace's environment key.
    """
    return Actor(UUID(int=0), name, "environment", workspace_id)


class SubmitScheduled:
    """
    Makes the job that a schedule of a flow calls for.

    Args:
        run_flow: runs a flow the V1 way.
        run_connector: runs a flow the V2 way.
    """

    def __init__(self, run_flow: RunFlow, run_connector: RunFlow) -> None:
        self._run_flow = run_flow
        self._run_connector = run_connector

    async def __call__(self, call: Call) -> UUID:
        """
        Submit the job of one instant; gives its id.

        Raises:
            HeadraceError: whatever `Jobs.submit` raises, and `InvalidError` when the schedule no longer says what to run.
        """
        place, options = call.schedule.place, call.schedule.options
        run = self._run_connector if is_v2(options) else self._run_flow
        submission = await run(
            own_actor(place.workspace_id, SCHEDULER),
            FlowRun(
                workspace=str(place.workspace_id),
                flow=place.definition,
                tenant=place.tenant,
                options=run_body(options, place.connector),
                idempotency_key=call.idempotency_key,
                trigger="schedule",
            ),
        )
        return submission.job.id


def place_of(workspace_id: UUID, tenant: str, flow: str, connector: str = "") -> SchedulePlace:
    """
    Say where a schedule of a flow stands.
    """
    return SchedulePlace(workspace_id, tenant, DIALECT, flow, connector)
