"""
What others are told of a job: a delivery for each webhook that wants it, in the transaction of the change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from headrace.core.fan_out import Item
from headrace.core.job import Job
from headrace.core.plan import ItemSink
from headrace.core.ports import Dialect, ItemDialect
from headrace.core.state import StepState
from headrace.store import deliveries, job_reads
from headrace.store.database import Connection, Database
from headrace.store.sealing import Sealer
from headrace.store.workspaces import Workspace, Workspaces

_REMEMBERED_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """
    Something to tell that is not a job's own change.

    Attributes:
        subscription: which webhooks want it.
        topic: what happened, in a word.
        body: plain JSON values, no secrets.
    """

    subscription: str
    topic: str
    tenant: str
    body: dict[str, Any]


class Announcements:
    """
    Args:
        dialects: by name; each shows a job in its own words.
        monotonic: seconds that only rise.
        new_id: makes a UUID.
    """

    def __init__(
        self,
        database: Database,
        workspaces: Workspaces,
        sealer: Sealer,
        dialects: Mapping[str, Dialect],
        *,
        monotonic: Callable[[], float],
        new_id: Callable[[], UUID],
    ) -> None:
        self._database = database
        self._workspaces = workspaces
        self._sealer = sealer
        self._dialects = dialects
        self._monotonic = monotonic
        self._new_id = new_id
        self._remembered: dict[UUID, tuple[float, Workspace]] = {}

    async def has_listeners(self, workspace_id: UUID) -> bool:
        """
        Tell whether a workspace has any webhook, so that whoever has nothing to tell can do without a transaction.

        Do not hold a connection meanwhile; see `_workspace`.
        """
        known = self._known(workspace_id)
        if known is None:
            async with self._database.connection() as connection:
                known = await self._workspace(connection, workspace_id)
        return bool(known.definition.get("webhooks"))

    async def announce(self, connection: Connection, job_id: UUID, workspace_id: UUID, event_id: int) -> None:
        """
        Owe every subscribed webhook the job as it stands now, in the caller's transaction.
        """
        workspace = await self._workspace(connection, workspace_id)
        if not workspace.definition.get("webhooks"):
            return
        job = await job_reads.read(connection, job_id)
        if job is None:
            return
        dialect = self._dialects[job.dialect]
        hooks = _subscribed(workspace, getattr(dialect, "subscription", "job-lifecycle"))
        topic = dialect.topic(job)
        if not topic or not hooks:
            return
        body = msgspec.json.encode(dialect.details(job))
        await self._owe(connection, workspace, hooks, topic, body, tenant=job.tenant, job_id=job.id, event_id=event_id)

    async def announce_items(self, connection: Connection, job_id: UUID, workspace_id: UUID, event_id: int) -> None:
        """
        Do what `announce` does for a job of items, and owe it to the notifications that the job itself names.
        """
        await self.announce(connection, job_id, workspace_id, event_id)
        job = await job_reads.read(connection, job_id)
        if job is None:
            return
        dialect = self._dialects[job.dialect]
        if not isinstance(dialect, ItemDialect):
            return
        for notice in dialect.notices(job):
            await deliveries.owe(
                connection,
                deliveries.NewDelivery(
                    id=self._new_id(),
                    workspace_id=workspace_id,
                    tenant=job.tenant,
                    job_id=job.id,
                    event_id=None,
                    sink=f"item-notification:{notice.sealed}",
                    topic=notice.topic,
                    url=notice.url,
                    body=msgspec.json.encode(notice.body),
                    ordered=False,
                ),
            )

    async def tell(self, connection: Connection, workspace_id: UUID, notice: Notice) -> None:
        """
        Owe every subscribed webhook a notice, in the caller's transaction.
        """
        workspace = await self._workspace(connection, workspace_id)
        hooks = _subscribed(workspace, notice.subscription)
        if hooks:
            body = msgspec.json.encode(notice.body)
            await self._owe(connection, workspace, hooks, notice.topic, body, tenant=notice.tenant)

    async def test(self, workspace_id: UUID) -> int:
        """
        Owe every webhook of a workspace a test event, whatever it has subscribed to; gives their number.
        """
        async with self._database.transaction() as connection:
            workspace = await self._workspace(connection, workspace_id)
            hooks = workspace.definition.get("webhooks", [])
            body = msgspec.json.encode({"event": "test", "env_id": workspace.name})
            await self._owe(connection, workspace, hooks, "test", body, tenant="default")
        return len(hooks)

    async def tell_item(self, connection: Connection, job: Job, sink: ItemSink, item: Item) -> None:
        """
        Owe a job's sink the outcome of one item, in the transaction that made it final: so it is told once, as the one or the other.
        """
        dialect = self._dialects[job.dialect]
        if not isinstance(dialect, ItemDialect) or (sink.names is not None and item.name not in sink.names):
            return
        outcome = dialect.item_outcome(job, item)
        if outcome is None or (sink.skip_failed and item.state is StepState.FAILED):
            return
        await deliveries.owe(
            connection,
            deliveries.NewDelivery(
                id=self._new_id(),
                workspace_id=job.workspace_id,
                tenant=job.tenant,
                job_id=job.id,
                event_id=None,
                sink=f"item-{sink.kind}:{sink.url}",
                topic=outcome.topic,
                url=sink.url + outcome.path if sink.kind == "s3" else sink.url,
                body=msgspec.json.encode(outcome.body),
                ordered=False,
            ),
        )

    async def _owe(
        self,
        connection: Connection,
        workspace: Workspace,
        hooks: Sequence[Mapping[str, Any]],
        topic: str,
        body: bytes,
        *,
        tenant: str,
        job_id: UUID | None = None,
        event_id: int | None = None,
    ) -> None:
        for hook in hooks:
            await deliveries.owe(
                connection,
                deliveries.NewDelivery(
                    id=self._new_id(),
                    workspace_id=workspace.id,
                    tenant=tenant,
                    job_id=job_id,
                    event_id=event_id,
                    sink=f"webhook:{hook['url']}",
                    topic=topic,
                    url=hook["url"],
                    body=body,
                ),
            )

    def details(self, job: Job) -> dict[str, Any]:
        """
        Show a job in the words of its dialect.
        """
        return self._dialects[job.dialect].details(job)

    async def secret_of(self, workspace_id: UUID, url: str) -> str:
        """
        Give the signing secret of a workspace's webhook; empty when it has none.
        """
        async with self._database.connection() as connection:
            workspace = await self._workspace(connection, workspace_id)
        for hook in workspace.definition.get("webhooks", []):
            if hook["url"] == url and hook.get("secret"):
                return str(self._sealer.open(bytes.fromhex(hook["secret"]), f"webhook:{workspace.name}"))
        return ""

    async def _workspace(self, connection: Connection, workspace_id: UUID) -> Workspace:
        # Over the caller's connection: as many callers as the pool has connections would wait for one more for ever.
        known = self._known(workspace_id)
        if known is None:
            known = await self._workspaces.read(connection, workspace_id)
            assert known is not None  # noqa: S101 - jobs reference their workspace
            self._remembered[workspace_id] = (self._monotonic() + _REMEMBERED_SECONDS, known)
        return known

    def _known(self, workspace_id: UUID) -> Workspace | None:
        until, workspace = self._remembered.get(workspace_id, (0.0, None))
        return workspace if until > self._monotonic() else None


def _subscribed(workspace: Workspace, subscription: str) -> list[Mapping[str, Any]]:
    return [hook for hook in workspace.definition.get("webhooks", []) if subscription in hook["events"]]


def seal_webhooks(webhooks: list[dict[str, Any]], sealer: Sealer, workspace: str) -> list[dict[str, Any]]:
    """
    Make webhooks fit to be stored: their secrets sealed.
    """
    return [
        {**hook, "secret": sealer.seal(hook["secret"], f"webhook:{workspace}").hex() if hook.get("secret") else ""}
        for hook in webhooks
    ]
