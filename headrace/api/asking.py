"""
Who asks the core API, and what of the server they may see.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path, Request
from fastapi.security import APIKeyHeader, HTTPBearer

from headrace.core.actor import Actor, Scope
from headrace.http.auth import actor_of
from headrace.http.services_bundle import Services

# Both only describe themselves in the OpenAPI document; `actor_of` reads the headers.
_BEARER = HTTPBearer(auto_error=False, description="An API key.")
_HEADER = APIKeyHeader(name="x-api-key", auto_error=False, description="An API key.")


def services_of(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


Named = Annotated[str, Path(min_length=1, max_length=255)]
"""A workspace, flow or connector in a path."""

Asked = Annotated[Services, Depends(services_of)]


async def asking_actor(
    request: Request, services: Asked, _bearer: Annotated[Any, Depends(_BEARER)], _key: Annotated[Any, Depends(_HEADER)]
) -> Actor:
    """
    Tell who asks.
    """
    return await actor_of(request, services.access)


Asking = Annotated[Actor, Depends(asking_actor)]


async def workspace_of(services: Services, actor: Actor, name: str | None, scope: Scope) -> UUID | None:
    """
    Give the workspace to look into: the named one, else the key's own; None is every workspace.

    Raises:
        NotFoundError: there is no such workspace, or not for this key.
        ForbiddenError: the key lacks the scope.
    """
    if name is None:
        actor.require(scope)
        return actor.workspace_id
    return (await services.access.workspace(actor, name, scope)).id


async def workspace_names(services: Services, actor: Actor) -> dict[UUID, str]:
    return {found.id: found.name for found in await services.access.workspaces(actor)}
