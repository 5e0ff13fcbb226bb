"""
What others are told of a job: a delivery for each webhook that wants it, in the transaction of the change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import msgspec

from headrace.core.job import Job
from headrace.core.ports import Dialect
from headrace.store import deliveries, jobs
from headrace.store.database import Connection, Database
from headrace.store.sealing import Sealer
from headrace.store.workspaces import Workspace, Workspaces

_REMEMBERED_SECONDS = 5.0


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

    async def announce(self, connection: Connection, job_id: UUID, workspace_id: UUID, event_id: int) -> None:
        """
        Owe every subscribed webhook the job as it stands now, in the caller's transaction.
        """
        workspace = await self._workspace(connection, workspace_id)
        hooks = [hook for hook in workspace.definition.get("webhooks", []) if "job-lifecycle" in hook["events"]]
        if not hooks:
            return
        job = await jobs.read(connection, job_id)
        if job is None:
            return
        dialect = self._dialects[job.dialect]
        topic = dialect.topic(job)
        if not topic:
            return
        body = msgspec.json.encode(dialect.details(job))
        for hook in hooks:
            await deliveries.owe(
                connection,
                deliveries.NewDelivery(
                    id=self._new_id(),
                    workspace_id=workspace_id,
                    tenant=job.tenant,
                    job_id=job.id,
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
        known = self._remembered.get(workspace_id)
        if known is None or known[0] <= self._monotonic():
            found = await self._workspaces.read(connection, workspace_id)
            assert found is not None  # noqa: S101 - jobs reference their workspace
            known = (self._monotonic() + _REMEMBERED_SECONDS, found)
            self._remembered[workspace_id] = known
        return known[1]


def seal_webhooks(webhooks: list[dict[str, Any]], sealer: Sealer, workspace: str) -> list[dict[str, Any]]:
    """
    Make webhooks fit to be stored: their secrets sealed.
    """
    return [
        {**hook, "secret": sealer.seal(hook["secret"], f"webhook:{workspace}").hex() if hook.get("secret") else ""}
        for hook in webhooks
    ]
