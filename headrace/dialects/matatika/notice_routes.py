"""
The paths of subscriptions and notifications.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Actor, Scope
from headrace.core.errors import InvalidError, NotFoundError
from headrace.dialects.matatika.desk import Desk
from headrace.dialects.matatika.doors import id_of
from headrace.dialects.matatika.hal import Links, hal_reply, links_of, page, paging_of, present, timestamp
from headrace.dialects.matatika.members import members_of
from headrace.dialects.matatika.run import profile_of
from headrace.dialects.matatika.wire import object_of
from headrace.services.notices import Notification, Resource, Target


class NoticeRoutes:
    """
    One method a path; everybody sees their own alone.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        one = "/subscriptions/{subscription_id}"
        targets: tuple[Target, ...] = ("workspaces", "pipelines", "datasets", "channels")
        return [
            Route("/subscriptions", self.subscriptions, methods=["GET"]),
            Route(one, self.subscription, methods=["GET"]),
            Route(one, self.change, methods=["PUT"]),
            Route(one, self.unsubscribe, methods=["DELETE"]),
            *(
                Route(
                    f"/{target}/{{target_id}}/subscriptions", partial(self.subscribe, target=target), methods=["POST"]
                )
                for target in targets
            ),
            Route("/notifications", self.notifications, methods=["GET"]),
            Route("/notifications", self.resolve, methods=["PUT"]),
            Route("/notifications/{notification_id}", self.notification, methods=["GET"]),
            Route("/notifications/{notification_id}", self.forget, methods=["DELETE"]),
            Route("/workspaces/{workspace_id}/notifications", self.of_workspace, methods=["GET"]),
        ]

    async def subscribe(self, request: Request, *, target: Target) -> Response:
        actor = await self._desk.doors.actor(request)
        target_id = id_of(request, "target_id")
        for_all = request.query_params.get("allMembers", "").lower() == "true"
        scope = Scope.DEFINE if for_all else Scope.READ
        workspace = await self._desk.doors.workspace(actor, await self._workspace_of(target, target_id), scope)
        if for_all:
            members = [each["id"] for each in await members_of(self._desk, workspace.id)]
            await self._desk.notices.subscribe_all(members, workspace.id, target, target_id)
        found = await self._desk.notices.subscribe(profile_of(actor)["id"], workspace.id, target, target_id)
        return hal_reply(request, await self._shown(found, actor, links_of(request)))

    async def subscriptions(self, request: Request) -> Response:
        actor = await self._desk.doors.actor(request)
        workspaces = [each.id for each in await self._desk.doors.mine(actor)]
        rows = await self._desk.notices.subscriptions(profile_of(actor)["id"], workspaces)
        paging, links = paging_of(request), links_of(request)
        part = rows[paging.offset : paging.offset + paging.size]
        shown = [await self._shown(row, actor, links) for row in part]
        return hal_reply(request, page("subscriptions", shown, len(rows), paging, links.to("subscriptions")))

    async def subscription(self, request: Request) -> Response:
        actor, found = await self._mine(request)
        return hal_reply(request, await self._shown(found, actor, links_of(request)))

    async def change(self, request: Request) -> Response:
        actor, found = await self._mine(request)
        sent = object_of(await request.body())
        changed = await self._desk.notices.change(found, str(sent.get("type", "")))
        return hal_reply(request, await self._shown(changed, actor, links_of(request)))

    async def unsubscribe(self, request: Request) -> Response:
        _, found = await self._mine(request)
        await self._desk.notices.unsubscribe(found)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def notifications(self, request: Request) -> Response:
        return await self._listed(request, await self._desk.doors.actor(request), None)

    async def of_workspace(self, request: Request) -> Response:
        actor, workspace = await self._desk.entered(request, Scope.READ)
        return await self._listed(request, actor, workspace.id)

    async def resolve(self, request: Request) -> Response:
        actor = await self._desk.doors.actor(request)
        if request.query_params.get("markAsResolved", "true").lower() != "false":
            await self._desk.notices.resolve(profile_of(actor)["id"], since=_time(request, "since"))
        return await self._listed(request, actor, None)

    async def notification(self, request: Request) -> Response:
        actor = await self._desk.doors.actor(request)
        found = await self._desk.notices.notification(profile_of(actor)["id"], id_of(request, "notification_id"))
        return hal_reply(request, _notification(found, links_of(request)))

    async def forget(self, request: Request) -> Response:
        actor = await self._desk.doors.actor(request)
        profile_id, found = profile_of(actor)["id"], id_of(request, "notification_id")
        await self._desk.notices.notification(profile_id, found)
        await self._desk.notices.forget(profile_id, found)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _listed(self, request: Request, actor: Actor, workspace_id: UUID | None) -> Response:
        rows = await self._desk.notices.notifications(
            profile_of(actor)["id"],
            resolved_too=request.query_params.get("all", "").lower() == "true",
            workspace_id=workspace_id,
            since=_time(request, "since"),
            before=_time(request, "before"),
        )
        here = links_of(request).to(*(("workspaces", workspace_id) if workspace_id else ()), "notifications")
        paging, links = paging_of(request), links_of(request)
        shown = [_notification(row, links) for row in rows[paging.offset : paging.offset + paging.size]]
        return hal_reply(request, page("notifications", shown, len(rows), paging, here))

    async def _mine(self, request: Request) -> tuple[Actor, Resource]:
        actor = await self._desk.doors.actor(request)
        found = await self._desk.notices.subscription(profile_of(actor)["id"], id_of(request, "subscription_id"))
        return actor, found

    async def _shown(self, row: Resource, actor: Actor, links: Links) -> dict[str, Any]:
        target = await self._target(row)
        return _subscription(row, actor, links, target)

    async def _target(self, row: Resource) -> dict[str, Any]:
        """
        Show what somebody has subscribed to as far as people know it by; of one that is gone its id alone.
        """
        target, target_id = row.body["target"], row.body["targetId"]
        try:
            match target:
                case "workspaces":
                    return {"id": target_id, "name": (await self._desk.doors.open(target_id)).name}
                case "pipelines":
                    pipeline = await self._desk.pipelines.get(UUID(target_id))
                    return {"id": target_id, "label": pipeline.label, "name": pipeline.name}
                case "datasets":
                    dataset = await self._desk.shelf.get("dataset", target_id)
                    return present({"id": target_id, "alias": dataset.name, "title": dataset.body.get("title")})
                case _:
                    return {"id": target_id, "name": (await self._desk.shelf.get("channel", target_id)).name}
        except NotFoundError:
            return {"id": target_id}

    async def _workspace_of(self, target: Target, target_id: UUID) -> UUID:
        match target:
            case "workspaces":
                return target_id
            case "pipelines":
                return (await self._desk.pipelines.get(target_id)).workspace_id
            case "datasets":
                row = await self._desk.shelf.get("dataset", target_id)
            case "channels":
                row = await self._desk.shelf.get("channel", target_id)
        assert row.workspace_id is not None  # noqa: S101 - written with one
        return row.workspace_id


def _subscription(row: Resource, actor: Actor, links: Links, target: dict[str, Any]) -> dict[str, Any]:
    here = ("subscriptions", row.id)
    return {
        "id": row.id,
        "created": timestamp(row.created_at),
        "lastModified": timestamp(row.updated_at),
        "type": row.body["type"],
        "_embedded": {row.body["target"][:-1]: target, "subscriberProfile": profile_of(actor)},
        "_links": {
            "self": links.to(*here),
            "update subscription": links.to(*here, method="PUT"),
            "delete subscription": links.to(*here, method="DELETE"),
            row.body["target"][:-1]: links.to(row.body["target"], row.body["targetId"]),
        },
    }


def _notification(row: Notification, links: Links) -> dict[str, Any]:
    here = ("notifications", row.id)
    found = {"self": links.to(*here), "delete notification": links.to(*here, method="DELETE")}
    if row.body.get("jobId"):
        found["job"] = links.to("jobs", row.body["jobId"])
    if row.body.get("pipelineId"):
        found["pipeline"] = links.to("pipelines", row.body["pipelineId"])
    return {
        "id": str(row.id),
        "created": timestamp(row.created_at),
        "lastModified": timestamp(row.updated_at),
        "type": row.kind,
        **({"actor": row.body["actor"]} if row.body.get("actor") else {}),
        "message": row.message,
        "resolved": row.resolved,
        "_links": found,
    }


def _time(request: Request, name: str) -> datetime | None:
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidError(
            f"The query parameter `{name}` is not a time.", "Write it like 2026-01-02T03:04:05."
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
