"""
A hotglue job again: the same plan under a new id and root.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from headrace.core.job import NewJob
from headrace.core.plan import Plan
from headrace.core.rerun import Renewal
from headrace.dialects.hotglue.ids import ID_LENGTH, job_root, short_id


class RenewHotglue:
    """
    Args:
        now: the current time, aware UTC.
        new_id: makes a UUID.
        chance: gives so many random bytes.
    """

    def __init__(
        self, *, now: Callable[[], datetime], new_id: Callable[[], UUID], chance: Callable[[int], bytes]
    ) -> None:
        self._now = now
        self._new_id = new_id
        self._chance = chance

    def __call__(self, again: Renewal) -> tuple[NewJob, Plan]:
        """
        Make the new job of an old one.
        """
        job, job_id = again.job, short_id(self._chance(ID_LENGTH))
        root = job_root(tenant=job.tenant, flow=job.definition, job_id=job_id, at=self._now())
        new = NewJob(
            id=self._new_id(),
            workspace_id=job.workspace_id,
            workspace=job.workspace,
            tenant=job.tenant,
            dialect=job.dialect,
            definition=job.definition,
            public_id=job_id,
            root=root,
            name=job.name,
            started_by=again.by,
            details=dict(job.details),
        )
        return new, replace(again.plan, variables={**again.plan.variables, "JOB_ID": job_id, "JOB_ROOT": root})
