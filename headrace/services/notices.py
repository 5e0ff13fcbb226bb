"""
Who wants to be told of what, and what they were told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID, uuid5

from headrace.core.errors import InvalidError, NotFoundError
from headrace.store.notifications import (
    Notification as Notification,
)  # dialects name these two, and may not ask the store
from headrace.store.notifications import Notifications
from headrace.store.resources import Resource as Resource
from headrace.store.resources import Resources

Target = Literal["workspaces", "pipelines", "datasets", "channels"]
TYPES: Final = ("ALL", "ALERTS", "NONE")


class Notices:
    """
    Args:
        new_id: makes a UUID.
    """

    def __init__(self, resources: Resources, notifications: Notifications, *, new_id: Callable[[], UUID]) -> None:
        self._resources = resources
        self._notifications = notifications
        self._new_id = new_id

    async def subscribe(self, profile_id: str, workspace_id: UUID, target: Target, target_id: UUID) -> Resource:
        """
        Subscribe somebody to a thing of a workspace, to ALL of it; who has subscribed before has the same subscription still.
        """
        name = f"{profile_id} {target} {target_id}"
        known = await self._resources.named("subscription", workspace_id, name)
        if known is not None:
            return known
        row, _ = await self._resources.put(
            Resource(
                id=str(self._new_id()),
                kind="subscription",
                name=name,
                workspace_id=workspace_id,
                body={"type": "ALL", "target": target, "targetId": str(target_id), "profileId": profile_id},
            )
        )
        return row

    async def subscribe_all(
        self, profile_ids: Iterable[str], workspace_id: UUID, target: Target, target_id: UUID
    ) -> None:
        """
        Subscribe many; who has subscribed before, to whatever of it, stays as they are.
        """
        for profile_id in profile_ids:
            await self.subscribe(profile_id, workspace_id, target, target_id)

    async def forget_target(self, workspace_id: UUID, target_id: UUID) -> None:
        """
        End all subscriptions to a thing: it is gone.
        """
        for row in await self._resources.all("subscription", workspace_id):
            if row.body["targetId"] == str(target_id):
                await self.unsubscribe(row)

    async def subscription(self, profile_id: str, subscription_id: UUID) -> Resource:
        """
        Raises:
            NotFoundError: there is none, or it is somebody else's.
        """
        found = await self._resources.get("subscription", str(subscription_id))
        if found is None or found.body["profileId"] != profile_id:
            raise NotFoundError(f"Entity not found: {subscription_id}", entity=str(subscription_id))
        return found

    async def subscriptions(self, profile_id: str, workspace_ids: list[UUID]) -> list[Resource]:
        """
        List somebody's subscriptions in workspaces.
        """
        found = [row for each in workspace_ids for row in await self._resources.all("subscription", each)]
        return [row for row in found if row.body["profileId"] == profile_id]

    async def change(self, subscription: Resource, type: str) -> Resource:  # noqa: A002 - the field's name
        """
        Raises:
            InvalidError: the type is none of ALL, ALERTS and NONE.
        """
        if type not in TYPES:
            raise InvalidError(f"`{type}` is no subscription type.", f"Use one of {', '.join(TYPES)}.", field="type")
        body = {**subscription.body, "type": type}
        row, _ = await self._resources.put(
            Resource(
                id=subscription.id,
                kind="subscription",
                name=subscription.name,
                workspace_id=subscription.workspace_id,
                body=body,
            )
        )
        return row

    async def unsubscribe(self, subscription: Resource) -> None:
        await self._resources.delete("subscription", subscription.id)

    async def tell(
        self,
        workspace_id: UUID,
        pipeline_id: UUID | None,
        kind: str,
        message: str,
        *,
        about: UUID,
        alert: bool,
        body: Mapping[str, Any],
    ) -> int:
        """
        Tell everybody who wants to know; of what is no *alert* only those who want ALL. Gives their number.

        *about* and *kind* make a notification's id, so that telling again tells nobody twice.
        """
        told: set[str] = set()
        for row in await self._resources.all("subscription", workspace_id):
            if row.body["targetId"] not in (str(workspace_id), str(pipeline_id)):
                continue
            if row.body["type"] == "NONE" or (row.body["type"] == "ALERTS" and not alert):
                continue
            profile_id = row.body["profileId"]
            told.add(profile_id)
            await self._notifications.add(
                Notification(
                    id=uuid5(about, f"{kind} {profile_id}"),
                    workspace_id=workspace_id,
                    profile_id=profile_id,
                    kind=kind,
                    message=message,
                    body=dict(body),
                )
            )
        return len(told)

    async def notifications(
        self,
        profile_id: str,
        *,
        resolved_too: bool,
        workspace_id: UUID | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
    ) -> list[Notification]:
        """
        List what somebody was told, newest first.
        """
        return await self._notifications.of_profile(
            profile_id, resolved_too=resolved_too, workspace_id=workspace_id, since=since, before=before
        )

    async def notification(self, profile_id: str, notification_id: UUID) -> Notification:
        """
        Raises:
            NotFoundError: there is none, or it is somebody else's.
        """
        found = await self._notifications.get(profile_id, notification_id)
        if found is None:
            raise NotFoundError(f"Entity not found: {notification_id}", entity=str(notification_id))
        return found

    async def resolve(self, profile_id: str, *, since: datetime | None) -> int:
        return await self._notifications.resolve(profile_id, since=since)

    async def forget(self, profile_id: str, notification_id: UUID) -> None:
        await self._notifications.delete(profile_id, notification_id)
