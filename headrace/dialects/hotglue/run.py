"""
Running a flow the hotglue way, for its own wire and for whoever else starts flows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from headrace.core.actor import Actor, Scope
from headrace.core.errors import RootTakenError
from headrace.core.job import NewJob
from headrace.core.plan import Plan
from headrace.dialects.hotglue.asking import Asked, Asking
from headrace.dialects.hotglue.compile import compile_run
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
        asking: makes what surrounds a call.
        read: reads the body of a run call, V1's or V2's.
    """

    def __init__(
        self,
        access: Access,
        flows: Flows,
        jobs: Jobs,
        asking: Asking,
        *,
        read: Callable[[bytes], Compile] = read_run,
    ) -> None:
        self._access = access
        self._flows = flows
        self._jobs = jobs
        self._asking = asking
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
            asked = self._asking(
                trigger=run.trigger, idempotency_key=run.idempotency_key, fingerprint=_fingerprint(run)
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
