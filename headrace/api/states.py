"""
How far a tenant's sources have been read: Singer state, shown, set and cleared.
"""

from __future__ import annotations

from fastapi import APIRouter

from headrace.api.asking import Asked, Asking, Named
from headrace.api.deployment_views import sound
from headrace.api.views import NewState, StatesView, StateView
from headrace.core.actor import Scope
from headrace.core.errors import NotFoundError
from headrace.http.services_bundle import Services
from headrace.services.connections import Linked, Place, Workspace

router = APIRouter(tags=["states"])


@router.get("/flows/{workspace}/{flow}/tenants/{tenant}/state")
async def show_states(services: Asked, actor: Asking, workspace: Named, flow: Named, tenant: Named) -> StatesView:
    """
    Show how far a tenant's sources in a flow have been read.
    """
    place = await services.access.workspace(actor, workspace, Scope.READ)
    return StatesView(
        states=[
            StateView(connector=link.connector, state=link.bookmark)
            for link in await _sources(services, place, flow, tenant)
        ]
    )


@router.put("/flows/{workspace}/{flow}/tenants/{tenant}/state/{connector}")
async def set_state(
    services: Asked, actor: Asking, workspace: Named, flow: Named, tenant: Named, connector: Named, wanted: NewState
) -> StateView:
    """
    Set from where the next job of a tenant reads a source; null makes it read everything.
    """
    place = await services.access.workspace(actor, workspace, Scope.LINK)
    found = await _sources(services, place, flow, tenant)
    link = next((link for link in found if link.connector == connector), None)
    if link is None:
        known = ", ".join(link.connector for link in found) or "none"
        raise NotFoundError(f"{connector!r} is no source of this tenant in flow {flow!r}.", f"Its sources: {known}.")
    state = sound(wanted.state) if wanted.state is not None else None
    await services.bookmarks.save_bookmark(Place(place.id, tenant, flow, link.role, connector), state)
    return StateView(connector=connector, state=state)


async def _sources(services: Services, workspace: Workspace, flow: str, tenant: str) -> list[Linked]:
    links = await services.bookmarks.of_tenant(workspace.id, tenant, flow)
    return [link for link in links if link.role != "target"]
