"""
hotglue's paths around the OAuth popup: the way to the provider, and the way back.

The widget (1.4, read from its code) opens a connector's `tap_url` or `auth_url` with `state` and `redirect_uri` appended; its state is JSON
that names environment, flow, tenant and connector, and holds the public key. Here that URL is one of ours, which checks all of it and
goes on to the provider with a state of our own. On the way back a browser gets a page; a server that passes the code on, a reply.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from headrace.core.actor import Scope
from headrace.core.errors import HeadraceError, InvalidError, NotFoundError
from headrace.core.faces import OAuthApp
from headrace.dialects.hotglue.bodies import object_of, text_in
from headrace.dialects.hotglue.connector_names import definition_of
from headrace.dialects.hotglue.linking_wire import KINDS
from headrace.dialects.hotglue.schedules import own_actor
from headrace.dialects.hotglue.tenancy import Tenancy
from headrace.dialects.hotglue.wire import check_id
from headrace.http.auth import key_of
from headrace.http.errors import STATUSES, status_of
from headrace.http.reply import json_reply
from headrace.services.connections import Link, Linked, Place, Role
from headrace.services.consents import LASTS_SECONDS, Returned

log = structlog.get_logger(__name__)

WAY_V1, BACK_V1 = "/tap/authorize", "/tap/auth"
WAY_V2, BACK_V2 = "/v2/entity/authorize", "/v2/entity/auth"
_BACK: Final = {WAY_V1: BACK_V1, WAY_V2: BACK_V2}
_COOKIE = "headrace_consent"
_CONNECTOR_FIELDS: Final[Mapping[str, Role]] = {"tap_name": "source", "target_name": "target", "entity_id": "connector"}
_LONGEST_STATE = 8192

_SCRIPT = "setTimeout(() => window.close(), 1500)"
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    + "'"
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the widget's state says."""

    key: str
    env_id: str
    flow: str
    tenant: str
    role: Role
    connector: str


class ConsentRoutes:
    """
    One method a path.
    """

    def __init__(self, tenancy: Tenancy) -> None:
        self._tenancy = tenancy

    def routes(self) -> list[Route]:
        oauth1 = "/{env_id}/{flow_id}/{tenant}/linkedSources/oauth1_authorize_url"
        return [
            *(Route(path, self.way, methods=["GET"]) for path in (WAY_V1, WAY_V2)),
            *(Route(path, self.back, methods=["GET"]) for path in (BACK_V1, BACK_V2)),
            *(Route(path, self.passed_on, methods=["POST"]) for path in (BACK_V1, BACK_V2)),
            Route(oauth1, self.oauth1, methods=["POST"]),
        ]

    async def way(self, request: Request) -> Response:
        """
        Send the popup on to the provider.
        """
        try:
            asked = _read_state(request.query_params.get("state", ""))
            workspace = await self._tenancy.doors.workspace(asked.key, asked.env_id, Scope.LINK)
            flow = self._tenancy.flows.flow(workspace, asked.flow)
            place = Place(workspace.id, asked.tenant, flow.id, asked.role, asked.connector)
            path = WAY_V2 if request.url.path.endswith(WAY_V2) else WAY_V1
            back = f"{self._tenancy.url}{_BACK[path]}"
            way = await self._tenancy.consents.begin(
                workspace.name, place, self._app(workspace.name, place), redirect_url=back
            )
        except HeadraceError as error:
            return _sorry(error)
        reply = RedirectResponse(way.url, HTTPStatus.SEE_OTHER, headers={"cache-control": "no-store"})
        secure = self._tenancy.url.startswith("https:")
        reply.set_cookie(_COOKIE, way.cookie, max_age=LASTS_SECONDS, httponly=True, samesite="lax", secure=secure)
        return reply

    async def back(self, request: Request) -> Response:
        """
        Receive the popup from the provider.
        """
        query = request.query_params
        try:
            back = self._tenancy.consents.returned(query.get("state", ""), cookie=request.cookies.get(_COOKIE, ""))
            linked = await self._finish(back, query.get("code", ""), query)
        except HeadraceError as error:
            log.warning("no consent", code=error.code, reason=error.reason)
            return _sorry(error)
        return _page("Linked", f"{linked.connector} is linked. You can close this window.", HTTPStatus.OK)

    async def passed_on(self, request: Request) -> Response:
        """
        Receive `code` and `state` from the server whose page the provider led to.
        """
        body = {**request.query_params, **object_of(await request.body())}
        back = self._tenancy.consents.returned(text_in(body, "state"), cookie=None)
        await self._tenancy.doors.workspace(key_of(request), str(back.place.workspace_id), Scope.LINK)
        linked = await self._finish(back, text_in(body, "code"), body)
        return json_reply({KINDS[linked.role].id: linked.connector, "tenant": linked.tenant, "disconnected": False})

    async def oauth1(self, request: Request) -> Response:
        await self._tenancy.doors.enter(request, Scope.LINK)
        raise InvalidError(
            "OAuth 1 is not supported.", "Use a connector with OAuth 2, or give its tokens in the link's `config`."
        )

    async def _finish(self, back: Returned, code: str, query: Mapping[str, Any]) -> Linked:
        if not code:
            raise InvalidError("The account's owner did not give consent.", "Begin the link anew to ask again.")
        workspace = await self._tenancy.doors.workspace_of(own_actor(back.place.workspace_id, "consent"))
        texts = {name: value for name, value in query.items() if isinstance(value, str)}
        linked = await self._tenancy.consents.finish(back, self._app(back.workspace, back.place), code, texts)
        await self._tenancy.after_link(workspace, Link(linked, overwritten=False), None)
        return linked

    def _app(self, workspace: str, place: Place) -> OAuthApp:
        specs = self._tenancy.flows.connectors(workspace)
        spec = definition_of(specs, place.connector, "target" if place.role == "target" else "tap")
        if spec is None or spec.face is None or spec.face.oauth is None:
            raise NotFoundError(
                f"`{place.connector}` is not linked by OAuth.",
                "Declare `oauth` for it in headrace.yml, or use its form.",
            )
        return spec.face.oauth


def _read_state(text: str) -> _Asked:
    """
    Raises:
        InvalidError: it is not what the widget sends.
    """
    wrong = InvalidError("The parameter `state` is not what hotglue's widget sends.", "Open the link from the widget.")
    if len(text) > _LONGEST_STATE:
        raise wrong
    try:
        found = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        raise wrong from None
    field = next((name for name in _CONNECTOR_FIELDS if isinstance(found, dict) and found.get(name)), None)
    if field is None:
        raise wrong
    role = {"source": "source", "target": "target"}.get(str(found.get("entity_type")), _CONNECTOR_FIELDS[field])
    return _Asked(
        key=text_in(found, "api_key"),
        env_id=check_id(text_in(found, "env_id"), "env_id"),
        flow=check_id(text_in(found, "flow"), "flow"),
        tenant=check_id(text_in(found, "user_id"), "user_id"),
        role=role,  # type: ignore[arg-type]  # one of the three words
        connector=check_id(text_in(found, field), field),
    )


def _sorry(error: HeadraceError) -> Response:
    return _page("Not linked", str(error), status_of(error, STATUSES))


def _page(title: str, text: str, status: int) -> Response:
    script = f"<script>{_SCRIPT}</script>" if status == HTTPStatus.OK else ""
    body = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<body style="font: 16px/1.5 sans-serif; margin: 4rem auto; max-width: 28rem; text-align: center">'
        f"<h1>{html.escape(title)}</h1><p>{html.escape(text)}</p>{script}</body></html>"
    )
    headers = {"cache-control": "no-store", "content-security-policy": _POLICY, "referrer-policy": "no-referrer"}
    return HTMLResponse(body, status, headers=headers)
