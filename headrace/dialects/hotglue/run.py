"""
Running a flow the hotglue way, for its own wire and for whoever else starts flows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from headrace.core.actor import Actor, Scope
from headrace.core.errors import RootTakenError
from headrace.core.job import NewJob
from headrace.core.plan import Limits, Plan
from headrace.dialects.hotglue.compile import Asked, compile_run
from headrace.dialects.hotglue.ids import ID_LENGTH, short_id
from headrace.dialects.hotglue.wire import check_id, decode_run
from headrace.http.services_bundle import FlowRun
from headrace.services.access import Access
from headrace.services.flows import FlowOfTenant, Flows
from headrace.services.jobs import Jobs, Submission

_ROOT_TRIES = 5

Compile = Callable[[FlowOfTenant, Asked], tuple[NewJob, Plan]]


def read_run(options: bytes) -> Compile:
    """
    Read the body of a V1 run call.
    """
    request = decode_run(options)
    return lambda of, asked: compile_run(of, request, asked)


class RunFlows:
    """
    Args:
        limits: of steps for which a flow sets none.
        api_url: where child processes reach the hotglue API of this server.
        now: the current time, aware UTC.
        new_id: makes a UUID.
        chance: gives so many random bytes.
        read: reads the body of a run call, V1's or V2's.
    """

    def __init__(
        self,
        access: Access,
        flows: Flows,
        jobs: Jobs,
        *,
        limits: Limits,
        api_url: str,
        now: Callable[[], datetime],
        new_id: Callable[[], UUID],
        chance: Callable[[int], bytes],
        read: Callable[[bytes], Compile] = read_run,
    ) -> None:
        self._access = access
        self._flows = flows
        self._jobs = jobs
        self._limits = limits
        self._api_url = api_url
        self._now = now
        self._new_id = new_id
        self._chance = chance
        self._read = read

    async def __call__(self, actor: Actor, run: FlowRun) -> Submission:
        """
        Submit a run of a flow.

        Raises:
            InvalidError: the ids or options are wrong, or do not say what to run.
            NotFoundError: there is no such workspace or flow, or not for this actor.
            ForbiddenError: the actor may not run jobs.
            ActiveJobError: a job of the flow and tenant is not finished, and the options do not ask to queue.
        """
        workspace = await self._access.workspace(actor, check_id(run.workspace, "env_id"), Scope.RUN)
        flow, tenant = check_id(run.flow, "flow_id"), check_id(run.tenant, "tenant")
        compiled = self._read(run.options)
        of = await self._flows.of_tenant(workspace, flow, tenant)
        for tries_left in reversed(range(_ROOT_TRIES)):
            asked = Asked(
                id=self._new_id(),
                job_id=short_id(self._chance(ID_LENGTH)),
                now=self._now(),
                limits=self._limits,
                api_url=self._api_url,
                trigger=run.trigger,
                idempotency_key=run.idempotency_key,
                fingerprint=_fingerprint(run),
            )
            try:
                return await self._jobs.submit(*compiled(of, asked))
            except RootTakenError:
                if not tries_left:
                    raise
        raise AssertionError("the last try returns or raises")


def _fingerprint(run: FlowRun) -> bytes:
    place = "/".join((run.flow, run.tenant))
    return hashlib.sha256(place.encode() + b"\x00" + run.options.strip()).digest()
