"""
Who belongs to a workspace: the holders of keys that open it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from headrace.core.actor import ROLE_SCOPES, Actor, Scope
from headrace.dialects.matatika.desk import Desk
from headrace.dialects.matatika.run import profile_of

ADMINISTRATORS = frozenset(role for role, may in ROLE_SCOPES.items() if Scope.DEFINE in may)
"""Roles of those who manage pipelines."""


async def members_of(desk: Desk, workspace_id: UUID, roles: Collection[str] | None = None) -> list[dict[str, Any]]:
    """
    List the profiles of a workspace's members, or of those in *roles* alone.
    """
    return [
        profile_of(Actor(key.id, key.name, key.role, key.workspace_id))
        for key in await desk.keys.keys()
        if key.revoked_at is None and key.workspace_id in (None, workspace_id) and (roles is None or key.role in roles)
    ]
