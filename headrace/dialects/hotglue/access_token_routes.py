"""
hotglue's path for fresh access tokens.

Source: `helpers/_hotglue_api.py` of hotglue's Singer SDK 1.0.51, its one public client: `success` must be true, and the key `expires_in` be
there. Any 400 but those whose message it knows is a matter of credentials to it.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Scope
from headrace.core.errors import ForbiddenError, InvalidError
from headrace.dialects.hotglue.access_tokens import NO_TOKEN
from headrace.dialects.hotglue.bodies import flag_in
from headrace.dialects.hotglue.tenancy import Tenancy
from headrace.http.reply import json_reply


class AccessTokenRoutes:
    """
    `GET …/connectors/{connector}/accesstoken`, under V1's paths and V2's.
    """

    def __init__(self, tenancy: Tenancy) -> None:
        self._tenancy = tenancy

    def routes(self) -> list[Route]:
        path = "/{env_id}/{flow_id}/{tenant}/connectors/{connector}/accesstoken"
        return [
            Route(path, self.access_token, methods=["GET"]),
            Route(f"/v2{path}", self.access_token, methods=["GET"]),
        ]

    async def access_token(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.RUN)
        tokens = self._tenancy.access_tokens
        flow = self._tenancy.flows.flow(guest.workspace, guest.flow).id
        link = await tokens.find(guest.workspace, flow, guest.tenant, request.path_params["connector"])
        if link is None:
            raise InvalidError(NO_TOKEN)
        if not guest.sees_settings_of(link):
            raise ForbiddenError("This key may not see secrets.", "Use an environment key, or send a tenant token.")
        refresh = flag_in(request.query_params, "refresh")
        token = await tokens.give(guest.actor, guest.workspace, link, refresh=refresh)
        return json_reply({"success": True, "access_token": token.access_token, "expires_in": token.expires_in})
