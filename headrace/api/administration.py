"""
Keys, nodes, deliveries, and who the asking key is.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, Path, Query

from headrace.api.asking import Asked, Asking, workspace_names, workspace_of
from headrace.api.views import (
    DeliveriesView,
    DeliveryView,
    Done,
    KeysView,
    KeyView,
    MadeKey,
    MeView,
    NewKey,
    NodesView,
    NodeView,
    OwedView,
)
from headrace.core.actor import Actor, Scope
from headrace.core.errors import ConflictError, NotFoundError

router = APIRouter(tags=["administration"])


@router.get("/me")
async def me(services: Asked, actor: Asking) -> MeView:
    """
    Say which key asks, and what it may do.
    """
    names = await workspace_names(services, actor)
    return MeView(
        key_id=actor.key_id,
        name=actor.name,
        role=actor.role,
        workspace_id=actor.workspace_id,
        workspace=names.get(actor.workspace_id) if actor.workspace_id else None,
        scopes=sorted(scope for scope in Scope if actor.may(scope)),
    )


@router.get("/keys")
async def list_keys(services: Asked, actor: Asking) -> KeysView:
    """
    List keys; the keys themselves cannot be shown again.
    """
    actor.require(Scope.KEYS)
    names = await workspace_names(services, actor)
    return KeysView(
        keys=[
            KeyView(
                id=key.id,
                name=key.name,
                role=key.role,
                workspace_id=key.workspace_id,
                workspace=names.get(key.workspace_id) if key.workspace_id else None,
                hint=key.hint,
                created_at=key.created_at,
                revoked_at=key.revoked_at,
            )
            for key in await services.access.keys()
            if actor.workspace_id in (None, key.workspace_id)
        ]
    )


@router.post("/keys", status_code=201)
async def make_key(services: Asked, actor: Asking, wanted: NewKey) -> MadeKey:
    """
    Make a key and show it, once.
    """
    workspace_id = await workspace_of(services, actor, wanted.workspace, Scope.KEYS)
    key = await services.access.make_key(name=wanted.name, role=wanted.role, workspace_id=workspace_id)
    names = await workspace_names(services, actor)
    return MadeKey(
        key=key, name=wanted.name, role=wanted.role, workspace=names.get(workspace_id) if workspace_id else None
    )


@router.delete("/keys/{key_id}")
async def revoke_key(services: Asked, actor: Asking, key_id: UUID) -> Done:
    """
    Take a key back; within seconds it is refused everywhere.
    """
    actor.require(Scope.KEYS)
    known = {key.id for key in await services.access.keys() if actor.workspace_id in (None, key.workspace_id)}
    if key_id not in known:
        raise NotFoundError(f"There is no key {key_id}.", "List keys with `headrace keys list`.")
    await services.access.revoke_key(key_id)
    return Done()


@router.get("/nodes")
async def list_nodes(services: Asked, actor: Asking) -> NodesView:
    """
    List the server's processes.
    """
    actor.require(Scope.DEFINE)
    return NodesView(nodes=[NodeView.model_validate(node) for node in await services.nodes.all()])


@router.get("/deliveries")
async def list_deliveries(
    services: Asked,
    actor: Asking,
    workspace: Annotated[str | None, Query(max_length=255)] = None,
    job: UUID | None = None,
    state: Literal["pending", "delivered", "failed"] | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> DeliveriesView:
    """
    List what was or will be sent to others, newest first.
    """
    one = await workspace_of(services, actor, workspace, Scope.READ)
    places = [one] if one else list(await workspace_names(services, actor))
    found = [
        delivery
        for place in places
        for delivery in await services.deliveries.of_workspace(place, job_id=job, state=state, limit=limit)
    ]
    found.sort(key=lambda delivery: delivery.created_at, reverse=True)
    return DeliveriesView(deliveries=[_delivery_view(delivery, actor) for delivery in found[:limit]])


@router.post("/webhooks/{workspace}/test", status_code=202)
async def test_webhooks(
    services: Asked, actor: Asking, workspace: Annotated[str, Path(min_length=1, max_length=255)]
) -> OwedView:
    """
    Send a test event to every webhook of a workspace.
    """
    place = await services.access.workspace(actor, workspace, Scope.DEFINE)
    owed = await services.test_webhooks(place.id)
    if not owed:
        raise ConflictError(f"The workspace {place.name!r} has no webhooks.", "Write them in headrace.yml.")
    return OwedView(owed=owed)


@router.post("/deliveries/{delivery_id}/redeliver")
async def redeliver(services: Asked, actor: Asking, delivery_id: UUID) -> Done:
    """
    Send a delivery once more, under the same id.
    """
    actor.require(Scope.RUN)
    for workspace_id in await workspace_names(services, actor):
        if await services.deliveries.redeliver(workspace_id, delivery_id):
            return Done()
    raise NotFoundError(f"There is no delivery {delivery_id}.", "List them at /api/v1/deliveries.")


def _delivery_view(delivery: Any, actor: Actor) -> DeliveryView:
    parts = urlsplit(delivery.url)
    fields = {name: getattr(delivery, name) for name in DeliveryView.model_fields if name not in ("tenant", "url")}
    # Many receivers take a secret in the path or the query.
    url = delivery.url if actor.may(Scope.SECRETS) else f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return DeliveryView(**fields, tenant=delivery.tenant_id, url=url)
