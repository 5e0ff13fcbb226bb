"""
The paths of API keys, and the exchange of a key's client id and secret for a token. The token is the key's own secret: it does not expire.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Actor, Scope
from headrace.core.errors import NotFoundError, UnauthenticatedError
from headrace.dialects.matatika.desk import Desk
from headrace.dialects.matatika.doors import id_of
from headrace.dialects.matatika.hal import Links, hal_reply, links_of, page, paging_of, present, timestamp
from headrace.dialects.matatika.run import profile_of
from headrace.dialects.matatika.wire import object_of
from headrace.services.shelf import Resource


class KeyRoutes:
    """
    One method a path; everybody sees the keys that they have made themselves.

    Args:
        new_id: makes a version 4 UUID.
    """

    def __init__(self, desk: Desk, *, new_id: Callable[[], UUID]) -> None:
        self._desk = desk
        self._new_id = new_id

    def routes(self) -> list[Route]:
        one = "/apikeys/{key_id}"
        return [
            Route("/apikeys", self.list, methods=["GET"]),
            Route("/apikeys", self.initialise, methods=["POST"]),
            Route(one, self.view, methods=["GET"]),
            Route(one, self.put, methods=["PUT"]),
            Route(one, self.delete, methods=["DELETE"]),
            Route("/oauth/token", self.token, methods=["POST"]),
        ]

    async def list(self, request: Request) -> Response:
        actor = await self._desk.doors.actor(request)
        mine = [row for row in await self._desk.shelf.all("apikey", None) if row.body["profileId"] == _id(actor)]
        paging, links = paging_of(request), links_of(request)
        shown = [_key(row, links) for row in mine[paging.offset : paging.offset + paging.size]]
        return hal_reply(request, page("apikeys", shown, len(mine), paging, links.to("apikeys")))

    async def initialise(self, request: Request) -> Response:
        await self._desk.doors.actor(request)
        fresh, links = self._new_id(), links_of(request)
        found = {"self": links.to("apikeys", fresh), "create apikey": links.to("apikeys", fresh, method="PUT")}
        return hal_reply(request, {"id": str(fresh), "_links": found})

    async def view(self, request: Request) -> Response:
        _, row = await self._mine(request)
        return hal_reply(request, _key(row, links_of(request)))

    async def put(self, request: Request) -> Response:
        """
        Make a key with the maker's own rights, or give one another name; its secret is shown this once.
        """
        actor = await self._desk.doors.actor(request)
        key_id = id_of(request, "key_id")
        name = str(object_of(await request.body()).get("name") or "API key")
        known = await self._desk.shelf.find("apikey", key_id)
        if known is not None:
            _, known = await self._mine(request)
            body, secret = known.body, None
        else:
            actor.require(Scope.KEYS)
            secret = await self._desk.keys.make_key(name=name, role=actor.role, workspace_id=actor.workspace_id)
            holder = await self._desk.keys.authenticate(secret)
            body = {"profileId": _id(actor), "keyId": str(holder.key_id), "label": name}
        row, new = await self._desk.shelf.put(
            "apikey", key_id, workspace_id=None, name=str(key_id), body={**body, "label": name}
        )
        shown = _key(row, links_of(request))
        if secret is not None:
            shown |= {"clientSecret": secret, "accessToken": secret}
        return hal_reply(request, shown, HTTPStatus.CREATED if new else HTTPStatus.OK)

    async def delete(self, request: Request) -> Response:
        _, row = await self._mine(request)
        await self._desk.keys.revoke_key(UUID(row.body["keyId"]))
        await self._desk.shelf.delete("apikey", row.id)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def token(self, request: Request) -> Response:
        """
        Exchange client id and secret, sent as JSON or as a form, for a token.
        """
        sent = _credentials(request, await request.body())
        row = await self._desk.shelf.find("apikey", str(sent.get("client_id", "")))
        holder = await self._desk.keys.authenticate(str(sent.get("client_secret", "")))
        if row is None or row.body["keyId"] != str(holder.key_id):
            raise UnauthenticatedError("Client id and secret do not fit.", "Use those that were shown with the key.")
        return hal_reply(request, {"access_token": sent["client_secret"], "token_type": "Bearer", "expires_in": 86400})

    async def _mine(self, request: Request) -> tuple[Actor, Resource]:
        actor = await self._desk.doors.actor(request)
        row = await self._desk.shelf.get("apikey", id_of(request, "key_id"))
        if row.body["profileId"] != _id(actor):
            raise NotFoundError(f"Entity not found: {row.id}", entity=row.id)
        return actor, row


def _id(actor: Actor) -> str:
    return str(profile_of(actor)["id"])


def _credentials(request: Request, body: bytes) -> dict[str, Any]:
    if "form" in request.headers.get("content-type", ""):
        return {name: values[-1] for name, values in parse_qs(body.decode(errors="replace")).items()}
    return object_of(body)


def _key(row: Resource, links: Links) -> dict[str, Any]:
    here = ("apikeys", row.id)
    body = {
        "id": row.id,
        "created": timestamp(row.created_at),
        "lastModified": timestamp(row.updated_at),
        "name": row.body["label"],
        "clientId": row.id,
        "profileId": row.body["profileId"],
    }
    found = {
        "self": links.to(*here),
        "update apikey": links.to(*here, method="PUT"),
        "delete apikey": links.to(*here, method="DELETE"),
        "profile": links.to("profiles", row.body["profileId"]),
    }
    return {**present(body), "_links": found}
