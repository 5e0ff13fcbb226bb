"""
Logins for items: lent when an item is claimed, checked beforehand by a job that its own job awaits, and written down when a try has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from headrace.core.auth_session import MOST_LOSSES, AuthSession, SessionKind, missing, validation_for
from headrace.core.fan_out import Item, ItemEnd
from headrace.core.job import Job
from headrace.core.outcome import Cause, Failed, Interrupted, Succeeded
from headrace.core.plan import Plan, SessionUse
from headrace.core.queue import Queue
from headrace.services.announcements import Announcements
from headrace.services.fan_outs import refuse
from headrace.store import awaiting, fan_outs, submits
from headrace.store.auth_sessions import AuthSessions
from headrace.store.database import Connection
from headrace.store.sealing import Sealer

_LOSSES = "session_losses"


class ItemLogins:
    """
    Every method runs in the caller's transaction.

    Args:
        new_id: makes a UUID.
        item_id: makes the id of an item.
        good_for: how long a check counts while a job runs; every job begins with one of its own.
    """

    def __init__(
        self,
        table: AuthSessions,
        sealer: Sealer,
        queue: Queue,
        announcements: Announcements,
        *,
        new_id: Callable[[], UUID],
        item_id: Callable[[], str],
        good_for: timedelta,
    ) -> None:
        self._table = table
        self._sealer = sealer
        self._queue = queue
        self._announcements = announcements
        self._new_id = new_id
        self._item_id = item_id
        self._good_for = good_for

    async def of_operation(self, connection: Connection, job: Job, use: SessionUse) -> AuthSession | None:
        """
        Give the login that a job makes or checks; None when it has been deleted.
        """
        found = await self._table.find(connection, job.workspace_id, job.tenant, use.name)
        return found.session if found else None

    async def lend(
        self, connection: Connection, job: Job, plan: Plan, sealed: Mapping[str, Any], ordinal: int
    ) -> tuple[bool, AuthSession | None]:
        """
        Say whether an item may be tried now, and with which login. It waits again when that has to be checked first, or when the job was
        stopped for want of it.
        """
        if job.cancel_requested_at is not None:  # it is claimed to be cancelled
            return True, None
        use = _use_of(plan)
        found = await self._table.find(connection, job.workspace_id, job.tenant, use.name)
        if found and found.session.holds(asked_at=job.created_at, now=found.now, good_for=self._good_for):
            return True, found.session
        locked = await fan_outs.lock(connection, job.id)
        if locked is None:
            return False, None
        if locked.cancel_requested_at is not None:  # since the job was read
            return True, None
        # However long its items waited for a slot since: else a busy project might check for ever, and run nothing.
        if found and found.session.checked and await awaiting.use_grant(connection, job.id, self._good_for):
            return True, found.session
        await fan_outs.put_back(connection, job.id, [ordinal])
        if locked.counts.awaits is not None:
            return False, None
        if found is None:
            await refuse(connection, self._queue, self._announcements, locked, use, missing(use.name))
        else:
            await self._await_validation(connection, job, plan, sealed)
        return False, None

    async def _await_validation(self, connection: Connection, job: Job, plan: Plan, sealed: Mapping[str, Any]) -> None:
        new, validation = validation_for(job, plan, operation_id=self._new_id(), item_id=self._item_id())
        assert plan.fan_out is not None  # noqa: S101 - its item is claimed
        names = {plan.fan_out.item.proxy, _use_of(plan).proxy}
        inputs = {name: value for name, value in sealed.items() if name in names}
        sealed_inputs = self._sealer.seal(inputs, f"job:{new.id}") if inputs else None
        written = await submits.submit(connection, submits.Entry(new, validation, sealed_inputs))
        assert written is not None  # noqa: S101 - it queues
        await self._announcements.announce(connection, new.id, new.workspace_id, written.event_id)
        await awaiting.set_awaits(connection, job.id, new.id)

    async def note(self, connection: Connection, login: AuthSession, item: Item, end: ItemEnd) -> ItemEnd:
        """
        Write down what an item's try has found out about its login; gives its end, which is no failure of its own when the login was gone.
        """
        found = end.session
        if found is None:
            return end
        if found.valid:
            await self._table.confirm(connection, login.id, found.generation)
            return end
        await self._table.doubt(connection, login.id, found.generation)
        losses = int(item.output.get(_LOSSES, 0)) + 1
        if not isinstance(end.outcome, Failed) or losses > MOST_LOSSES:
            return end
        return ItemEnd(outcome=Interrupted(), noted={_LOSSES: losses})

    async def settle(
        self, connection: Connection, login: AuthSession, use: SessionUse, sealed: Mapping[str, Any], end: ItemEnd
    ) -> None:
        """
        Write down what an operation has made of its login.
        """
        match end.outcome:
            case Succeeded() if end.session is not None and end.session.state is None:
                await self._table.confirm(connection, login.id, end.session.generation)
            case Succeeded() if end.session is not None:
                await self._keep(connection, login, use, sealed, end.session.state or b"{}")
            case Failed(cause=cause) if use.operation == "validate":
                await self._expire(connection, login, cause, end)

    async def _keep(
        self, connection: Connection, login: AuthSession, use: SessionUse, sealed: Mapping[str, Any], state: bytes
    ) -> None:
        given = given_of(use, sealed)
        await self._table.keep(
            connection,
            login,
            kind=SessionKind.CREDENTIALS if given is not None else login.kind,
            parameters=given["parameters"].encode() if given is not None else login.parameters,
            proxy=given["proxy"] if given is not None else login.proxy,
            state=state,
        )

    async def _expire(self, connection: Connection, login: AuthSession, cause: Cause, end: ItemEnd) -> None:
        if end.session is None:  # its worker died too often: nothing was found out about the login itself
            await self._table.doubt(connection, login.id, login.generation)
        else:
            await self._table.expire(connection, login.id, login.generation, cause, remaking=end.session.remade)


def given_of(use: SessionUse, sealed: Mapping[str, Any]) -> dict[str, Any] | None:
    """
    Give what came with a `create` or `update`: `parameters`, JSON text, and `proxy`; None for a validation.
    """
    found: dict[str, Any] | None = sealed.get(use.given) if use.given else None
    return found


def _use_of(plan: Plan) -> SessionUse:
    assert plan.fan_out is not None and plan.fan_out.session is not None  # noqa: S101 - callers have looked
    return plan.fan_out.session
