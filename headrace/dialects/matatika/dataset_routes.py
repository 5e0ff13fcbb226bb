"""
The paths of datasets and channels, as far as the published clients call them.

A dataset's raw data is a text that is JSON; `/data` gives it as it is, or as CSV where it is a list of objects.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from http import HTTPStatus
from io import StringIO
from typing import Any, Literal
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Actor, Scope
from headrace.core.errors import NotFoundError
from headrace.dialects.matatika.desk import Desk
from headrace.dialects.matatika.doors import id_of
from headrace.dialects.matatika.hal import Links, hal_reply, links_of, page, paging_of, present, timestamp
from headrace.dialects.matatika.wire import object_of
from headrace.services.field_problems import FieldProblem, refuse
from headrace.services.shelf import Resource

_FIELDS = (
    "published", "source", "title", "description", "questions", "rawData", "visualisation", "metadata", "query", "version",
)  # fmt: skip
_CHANNEL_FIELDS = ("name", "description", "picture", "datasets")


class DatasetRoutes:
    """
    One method a path.

    Args:
        new_id: makes a version 4 UUID.
    """

    def __init__(self, desk: Desk, *, new_id: Callable[[], UUID]) -> None:
        self._desk = desk
        self._new_id = new_id

    def routes(self) -> list[Route]:
        here = "/workspaces/{workspace_id}"
        return [
            Route(f"{here}/datasets", self.list, methods=["GET"]),
            Route(f"{here}/datasets", self.publish, methods=["POST"]),
            Route(f"{here}/datasets/{{name:path}}", self.by_name, methods=["GET"]),
            Route("/datasets/{dataset_id}", self.view, methods=["GET"]),
            Route("/datasets/{dataset_id}", self.edit, methods=["PATCH"]),
            Route("/datasets/{dataset_id}", self.delete, methods=["DELETE"]),
            Route("/datasets/{dataset_id}/data", self.data, methods=["GET"]),
            Route(f"{here}/channels", self.channels, methods=["GET"]),
            Route(f"{here}/channels/{{channel_id}}", self.put_channel, methods=["PUT"]),
            Route("/channels/{channel_id}", self.channel, methods=["GET"]),
        ]

    async def list(self, request: Request) -> Response:
        _, workspace = await self._desk.entered(request, Scope.READ)
        paging, links = paging_of(request), links_of(request)
        rows, total = await self._desk.shelf.page(
            "dataset", workspace.id, offset=paging.offset, limit=paging.size, sort=paging.sort
        )
        here = links.to("workspaces", workspace.id, "datasets")
        return hal_reply(request, page("datasets", [_dataset(row, links) for row in rows], total, paging, here))

    async def publish(self, request: Request) -> Response:
        """
        Make a dataset, or replace the one of the same alias.
        """
        _, workspace = await self._desk.entered(request, Scope.DEFINE)
        sent = object_of(await request.body())
        alias = str(sent.get("alias") or "").strip()
        fresh = self._new_id()
        known = await self._desk.shelf.named("dataset", workspace.id, alias) if alias else None
        if not sent.get("title") and not (known and known.body.get("title")):
            refuse("dataset", [FieldProblem("title", sent.get("title"), "must not be blank", "NotBlank")])
        body = {**(known.body if known else {}), **{name: sent[name] for name in _FIELDS if name in sent}}
        row, new = await self._desk.shelf.put(
            "dataset", known.id if known else fresh, workspace_id=workspace.id, name=alias or str(fresh), body=body
        )
        return hal_reply(request, _dataset(row, links_of(request)), HTTPStatus.CREATED if new else HTTPStatus.OK)

    async def by_name(self, request: Request) -> Response:
        _, workspace = await self._desk.entered(request, Scope.READ)
        name = request.path_params["name"]
        row = await self._desk.shelf.named("dataset", workspace.id, name) or await self._desk.shelf.find(
            "dataset", name
        )
        if row is None or row.workspace_id != workspace.id:
            raise NotFoundError(f"Entity not found: {name}", entity=name)
        return hal_reply(request, _dataset(row, links_of(request)))

    async def view(self, request: Request) -> Response:
        return hal_reply(request, _dataset(await self._row(request, Scope.READ), links_of(request)))

    async def edit(self, request: Request) -> Response:
        row = await self._row(request, Scope.DEFINE)
        sent = object_of(await request.body())
        body = {**row.body, **{name: sent[name] for name in _FIELDS if name in sent}}
        name = str(sent.get("alias") or row.name)
        changed, _ = await self._desk.shelf.put("dataset", row.id, workspace_id=row.workspace_id, name=name, body=body)
        return hal_reply(request, _dataset(changed, links_of(request)))

    async def delete(self, request: Request) -> Response:
        row = await self._row(request, Scope.DEFINE)
        await self._desk.shelf.delete("dataset", row.id)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def data(self, request: Request) -> Response:
        row = await self._row(request, Scope.READ)
        found = _raw(row.body.get("rawData"))
        if "text/csv" in request.headers.get("accept", ""):
            return Response(_as_csv(found), media_type="text/csv")
        return Response(msgspec.json.encode(found), media_type="application/json")

    async def channels(self, request: Request) -> Response:
        _, workspace = await self._desk.entered(request, Scope.READ)
        paging, links = paging_of(request), links_of(request)
        rows, total = await self._desk.shelf.page(
            "channel", workspace.id, offset=paging.offset, limit=paging.size, sort=paging.sort
        )
        here = links.to("workspaces", workspace.id, "channels")
        return hal_reply(request, page("channels", [_channel(row, links) for row in rows], total, paging, here))

    async def channel(self, request: Request) -> Response:
        row = await self._row(request, Scope.READ, kind="channel")
        return hal_reply(request, _channel(row, links_of(request)))

    async def put_channel(self, request: Request) -> Response:
        _, workspace = await self._desk.entered(request, Scope.DEFINE)
        sent = object_of(await request.body())
        if not isinstance(sent.get("name"), str) or not sent["name"].strip():
            refuse("channel", [FieldProblem("name", sent.get("name"), "must not be blank", "NotBlank")])
        body = {name: sent[name] for name in _CHANNEL_FIELDS if name in sent}
        row, new = await self._desk.shelf.put(
            "channel", id_of(request, "channel_id"), workspace_id=workspace.id, name=sent["name"].strip(), body=body
        )
        return hal_reply(request, _channel(row, links_of(request)), HTTPStatus.CREATED if new else HTTPStatus.OK)

    async def _row(
        self, request: Request, scope: Scope, *, kind: Literal["dataset", "channel"] = "dataset"
    ) -> Resource:
        actor: Actor = await self._desk.doors.actor(request)
        row = await self._desk.shelf.get(kind, id_of(request, f"{kind}_id"))
        assert row.workspace_id is not None  # noqa: S101 - written with one
        await self._desk.doors.workspace(actor, row.workspace_id, scope)
        return row


def _dataset(row: Resource, links: Links) -> dict[str, Any]:
    here = ("datasets", row.id)
    body = {
        "id": row.id,
        "published": row.body.get("published") or timestamp(row.updated_at),
        "alias": row.name,
        "workspaceId": str(row.workspace_id),
        **{name: row.body.get(name) for name in _FIELDS if name != "published"},
        "likeCount": 0,
        "commentCount": 0,
        "viewCount": 0,
        "created": timestamp(row.created_at),
    }
    found = {
        "self": links.to(*here),
        "data": links.to(*here, "data"),
        "delete dataset": links.to(*here, method="DELETE"),
        "workspace": links.to("workspaces", row.workspace_id),
    }
    return {**present(body), "_links": found}


def _channel(row: Resource, links: Links) -> dict[str, Any]:
    body = {"id": row.id, "created": timestamp(row.created_at), "lastModified": timestamp(row.updated_at), **row.body}
    return {**present(body), "_links": {"self": links.to("channels", row.id)}}


def _raw(value: Any) -> Any:
    """
    Give a dataset's data: the JSON that its text is, or the text itself; an empty list when there is none.
    """
    if not isinstance(value, str):
        return value if value is not None else []
    try:
        return msgspec.json.decode(value)
    except ValueError:
        return value


def _as_csv(value: Any) -> str:
    """
    Write a list of objects as CSV, its columns in the order of their first appearance; what is no such list becomes one cell.
    """
    rows = value if isinstance(value, list) and all(isinstance(each, dict) for each in value) else [{"data": value}]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    if columns:
        writer.writeheader()
    for row in rows:
        writer.writerow(
            {
                name: msgspec.json.encode(each).decode() if isinstance(each, dict | list) else each
                for name, each in row.items()
            }
        )
    return text.getvalue()
