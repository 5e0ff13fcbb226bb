"""
What surrounds every call that makes a job.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from headrace.core.plan import Limits
from headrace.dialects.hotglue.ids import ID_LENGTH, short_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """
    What surrounds one call.

    Attributes:
        id: the job's id in the store.
        job_id: the short id that hotglue's clients see.
        limits: of a step for which the flow sets none.
        api_url: where child processes reach this API.
        by: who asks, where the job is not its tenant's.
        fingerprint: digest of the request, for a repeat under the same idempotency key.
    """

    id: UUID
    job_id: str
    now: datetime
    limits: Limits
    api_url: str
    by: str = ""
    trigger: str = "api"
    idempotency_key: str | None = None
    fingerprint: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """
    Makes what surrounds a call.

    Attributes:
        limits: of steps for which a flow sets none.
        api_url: where child processes reach the hotglue API of this server.
        now: the current time, aware UTC.
        new_id: makes a UUID.
        chance: gives so many random bytes.
    """

    limits: Limits
    api_url: str
    now: Callable[[], datetime]
    new_id: Callable[[], UUID]
    chance: Callable[[int], bytes]

    def __call__(
        self, *, by: str = "", trigger: str = "api", idempotency_key: str | None = None, fingerprint: bytes = b""
    ) -> Asked:
        return Asked(
            id=self.new_id(),
            job_id=short_id(self.chance(ID_LENGTH)),
            now=self.now(),
            limits=self.limits,
            api_url=self.api_url,
            by=by,
            trigger=trigger,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
        )
