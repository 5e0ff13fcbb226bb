"""
Kept logins of automation projects: what one is, when it may be used, and the jobs that make and check them.

Whatever makes or checks a login is a job of one item whose key is the login's: so there is one at a time of each, whichever worker dies, and
others wait their turn. A job whose items need a login that has not been checked lately awaits such a job before it starts any of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

from headrace.core.fan_out import NewItem
from headrace.core.job import Job, NewJob
from headrace.core.outcome import Blame, Cause
from headrace.core.plan import FanOut, OnTaken, Plan, SessionUse

REFUSED: Final = "session-invalid"
MISSING: Final = "session-not-found"
LOST: Final = "session-lost"
"""Codes in the evidence of a cause: a job never began for want of its login, or of any of that name; it lost it on the way."""

OPERATION_PRIORITY: Final = 20
"""Above the jobs that wait for it."""

MOST_LOSSES: Final = 3
"""So many times an item is given its try back because its login was gone after it; then the failure is its own."""


class SessionKind(StrEnum):
    CREDENTIALS = "credentials"  # made by the project's `create` with parameters
    RECORDER = "recorder"  # made by a person; cannot be made again
    RUNTIME = "runtime"  # made for a run, with what that run brought


class SessionStatus(StrEnum):
    PENDING = "pending"  # is being made
    READY = "ready"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSession:
    """
    One login as it stands; secrets are open in it, so it is never logged.

    Attributes:
        parameters: JSON object that it is made with, as bytes; None for one that only a person can make.
        state: JSON object of cookies and storages, as bytes; None before it was made.
        proxy: URL through which it is made and checked, with its password.
        generation: rises with each state that is kept.
        checked_at: when its present state was last found good; None when that is in doubt.
        failed_at: when it was last found bad and not made again.
        failure: why, then.
        failed_remaking: whether making it again was tried, then.
    """

    id: UUID
    workspace_id: UUID
    project: str
    name: str
    kind: SessionKind
    status: SessionStatus
    parameters: bytes | None
    state: bytes | None
    proxy: str | None
    generation: int
    checked_at: datetime | None
    failed_at: datetime | None
    failure: Cause | None
    failed_remaking: bool
    created_at: datetime
    updated_at: datetime

    @property
    def can_be_remade(self) -> bool:
        return self.parameters is not None and self.kind is not SessionKind.RECORDER

    @property
    def checked(self) -> bool:
        """
        Whether its last check was good, and nothing has cast a doubt on it since.
        """
        return self.state is not None and self.checked_at is not None and self.status is not SessionStatus.EXPIRED

    def holds(self, *, asked_at: datetime, now: datetime, good_for: timedelta) -> bool:
        """
        Whether an item may use it as it is: checked since its job was asked for, and not longer ago than *good_for*.
        """
        return self.checked and self.checked_at is not None and self.checked_at >= max(asked_at, now - good_for)

    def known_since(self, asked_at: datetime, use: SessionUse) -> Cause | bool:
        """
        Say what a validation that was asked for at *asked_at* need not find out again: True for a good login, the cause of a bad one, else False.
        """
        if self.state is not None and self.checked_at is not None and self.checked_at >= asked_at:
            return True
        if self.failure is None or self.failed_at is None or self.failed_at < asked_at:
            return False
        return self.failure if self.failed_remaking or not (use.recreate and self.can_be_remade) else False


def session_key(workspace_id: UUID, project: str, name: str) -> str:
    """
    Give the exclusivity key of whatever makes or checks a login.
    """
    return f"auth-session:{workspace_id}:{project}:{name}"


def operation_of(new: NewJob, plan: Plan, use: SessionUse, *, item_id: str) -> tuple[NewJob, Plan]:
    """
    Make the job of one operation on a login; *new* and *plan* are of a job of the same project.
    """
    assert plan.fan_out is not None and use.operation  # noqa: S101 - callers have both
    fan_out = FanOut(
        item=msgspec.structs.replace(plan.fan_out.item, name=use.operation),
        pool=plan.fan_out.pool,
        pool_size=plan.fan_out.pool_size,
        grows=False,
        max_attempts=1,
        session=use,
    )
    item = NewItem(
        id=item_id,
        name=f"auth-sessions/{use.operation}",
        input=b"{}",
        timeout_seconds=use.timeout_seconds,
        max_attempts=1,  # it has tries of its own
    )
    named: dict[str, Any] = {name: new.details[name] for name in ("project", "project_id") if name in new.details}
    job = replace(
        new,
        name=f"{use.operation} {use.name}",
        details={**named, "auth_session": use.name, "operation": use.operation, "run": item_id},
        items=(item,),
        idempotency_key=None,
        fingerprint=b"",
    )
    return job, Plan(
        fan_out=fan_out,
        key=session_key(new.workspace_id, new.tenant, use.name),
        on_taken=OnTaken.QUEUE,
        priority=OPERATION_PRIORITY,
        variables=plan.variables,
        snapshots=False,
    )


def validation_for(job: Job, plan: Plan, *, operation_id: UUID, item_id: str) -> tuple[NewJob, Plan]:
    """
    Make the job that a job awaits: it checks the login, and makes it again where that is allowed.
    """
    assert plan.fan_out is not None and plan.fan_out.session is not None  # noqa: S101 - it awaits for its sake
    new = NewJob(
        id=operation_id,
        workspace_id=job.workspace_id,
        workspace=job.workspace,
        tenant=job.tenant,
        dialect=job.dialect,
        definition=job.tenant,
        public_id=str(operation_id),
        root=f"{job.dialect}/{job.workspace_id}/{job.tenant}/{operation_id}",
        name="",
        trigger="session",
        started_by=job.started_by,
        details=job.details,
    )
    use = msgspec.structs.replace(plan.fan_out.session, operation="validate")
    made, made_plan = operation_of(new, plan, use, item_id=item_id)
    return replace(made, details={**made.details, "for": str(job.id)}), made_plan


def missing(name: str) -> Cause:
    return Cause(
        "",
        f"There is no auth session {name!r} in the project.",
        who=Blame.CUSTOMER,
        instruction="Create it.",
        evidence={"code": MISSING, "session": name},
    )


def refusal(name: str, failure: Cause, *, begun: bool) -> Cause:
    """
    Say why a job cannot go on: its login is not valid, and could not be made again.
    """
    why = failure.sentence
    return Cause(
        "",
        f"The auth session {name!r} is not valid: {why}",
        who=Blame.CUSTOMER,
        instruction="Update the auth session, then resume the job." if begun else "Update the auth session.",
        evidence={
            "code": LOST if begun else REFUSED,
            "session": name,
            **({"error": failure.evidence["code"]} if "code" in failure.evidence else {}),
        },
    )
