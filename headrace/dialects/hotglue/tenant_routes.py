"""
hotglue's paths for tenants: listing, forgetting, and what is kept of each; and the key pair of tenant tokens.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Scope
from headrace.core.errors import InvalidError, NotFoundError
from headrace.dialects.hotglue.bodies import flag_in, object_in, object_of
from headrace.dialects.hotglue.tenancy import Tenancy
from headrace.http.reply import json_reply
from headrace.services.tenants import MAPPING, METADATA


class TenantRoutes:
    """
    One method a path.
    """

    def __init__(self, tenancy: Tenancy) -> None:
        self._tenancy = tenancy

    def routes(self) -> list[Route]:
        tenant = "/tenant/{env_id}/{tenant}"
        return [
            Route("/tenants/{env_id}", self.list, methods=["GET"]),
            Route(tenant, self.delete, methods=["DELETE"]),
            Route(f"{tenant}/config", self.config, methods=["GET"]),
            Route(f"{tenant}/config", self.save_config, methods=["PUT"]),
            Route(f"{tenant}/mapping", self.mapping, methods=["GET"]),
            Route(f"{tenant}/mapping", self.save_mapping, methods=["PUT"]),
            Route(f"{tenant}/metadata", self.metadata, methods=["GET"]),
            Route(f"{tenant}/metadata", self.save_metadata, methods=["PUT"]),
            Route("/{env_id}/signingKey", self.signing_key, methods=["GET"]),
            Route("/{env_id}/signingKey", self.replace_signing_key, methods=["POST"]),
        ]

    async def list(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.READ, private=True)
        prefix = request.query_params.get("tenant", "")
        return json_reply(await self._tenancy.tenants.ids(guest.workspace.id, prefix=prefix))

    async def delete(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.SECRETS)
        await self._tenancy.tenants.delete(
            guest.workspace.id, guest.tenant, by=guest.actor.name, cancel=flag_in(request.query_params, "cancel")
        )
        return json_reply({})

    async def config(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.READ, private=True)
        if not guest.sees_secrets:
            guest.actor.require(Scope.SECRETS)
        kept = await self._tenancy.tenants.get(guest.workspace.id, guest.tenant)
        if not kept.document:
            raise NotFoundError("There is no config for the tenant.", "Set one with a PUT.")
        return json_reply(kept.document)

    async def save_config(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.SECRETS)
        body = object_of(await request.body())
        given = dict(object_in(body, "config") or body)
        metadata = object_in(object_in(given, METADATA) or {}, "metadata")
        mapping = object_in(object_in(given, MAPPING) or {}, "mapping")
        own = {name: value for name, value in given.items() if name not in (METADATA, MAPPING)}
        await self._tenancy.tenants.save(
            guest.workspace.id, guest.tenant, config=own, metadata=metadata, mapping=mapping
        )
        return json_reply({})

    async def mapping(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.READ)
        kept = await self._tenancy.tenants.get(guest.workspace.id, guest.tenant)
        return json_reply(kept.mapping or {})

    async def save_mapping(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.LINK)
        mapping = _inner(object_of(await request.body()), "mapping")
        await self._tenancy.tenants.save(guest.workspace.id, guest.tenant, mapping=mapping)
        return json_reply({})

    async def metadata(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.READ, private=True)
        kept = await self._tenancy.tenants.get(guest.workspace.id, guest.tenant)
        return json_reply(kept.metadata or {})

    async def save_metadata(self, request: Request) -> Response:
        # Not private: the widget sets it in the browser, with a public key and without a token.
        guest = await self._tenancy.doors.enter(request, Scope.LINK)
        metadata = _inner(object_of(await request.body()), "metadata")
        await self._tenancy.tenants.save(guest.workspace.id, guest.tenant, metadata=metadata)
        return json_reply({})

    async def signing_key(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.SECRETS)
        return json_reply(_pair(*await self._tenancy.tokens.signing_key(guest.workspace.id)))

    async def replace_signing_key(self, request: Request) -> Response:
        guest = await self._tenancy.doors.enter(request, Scope.SECRETS)
        return json_reply(_pair(*await self._tenancy.tokens.replace_key(guest.workspace.id)))


def _inner(body: dict[str, Any], name: str) -> dict[str, Any]:
    """
    Read `{"config": {name: {...}}}`; the outer or both layers may be missing.
    """
    inner = object_in(body, "config")
    found = object_in(inner if inner is not None else body, name)
    if found is None:
        raise InvalidError(
            f"The field `config.{name}` is missing.", f'Send {{"config": {{"{name}": {{...}}}}}}.', field=name
        )
    return found


def _pair(private: str, public: str) -> dict[str, str]:
    return {"algorithm": "RS256", "private_key": private, "public_key": public}
