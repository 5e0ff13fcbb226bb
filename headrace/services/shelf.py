"""
Things that are kept as they were sent: datasets, channels, plugins, and what was added to profiles and workspaces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from headrace.core.errors import NotFoundError
from headrace.store.resources import Kind as Kind  # dialects name these two too, and may not ask the store
from headrace.store.resources import Resource as Resource
from headrace.store.resources import Resources


class Shelf:
    """
    Reads and writes resources whole.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def find(self, kind: Kind, id: str | UUID) -> Resource | None:  # noqa: A002 - the field's name
        return await self._resources.get(kind, str(id))

    async def get(self, kind: Kind, id: str | UUID) -> Resource:  # noqa: A002 - the field's name
        """
        Raises:
            NotFoundError: there is none, in no workspace.
        """
        found = await self._resources.get(kind, str(id))
        if found is None:
            raise NotFoundError(f"Entity not found: {id}", entity=str(id))
        return found

    async def named(self, kind: Kind, workspace_id: UUID | None, name: str) -> Resource | None:
        return await self._resources.named(kind, workspace_id, name)

    async def all(self, kind: Kind, workspace_id: UUID | None) -> list[Resource]:
        return await self._resources.all(kind, workspace_id)

    async def page(
        self, kind: Kind, workspace_id: UUID, *, offset: int, limit: int, sort: Sequence[tuple[str, bool]]
    ) -> tuple[list[Resource], int]:
        return await self._resources.page(kind, workspace_id, offset=offset, limit=limit, sort=sort)

    async def put(
        self,
        kind: Kind,
        id: str | UUID,  # noqa: A002 - the field's name
        *,
        workspace_id: UUID | None,
        name: str,
        body: Mapping[str, Any],
        secret: Mapping[str, Any] | None = None,
    ) -> tuple[Resource, bool]:
        """
        Write a thing whole; tells whether it is new.

        Raises:
            ConflictError: the name is taken, or the id belongs to something else.
        """
        return await self._resources.put(
            Resource(
                id=str(id),
                kind=kind,
                name=name,
                workspace_id=workspace_id,
                body=dict(body),
                secret=dict(secret or {}),
            )
        )

    async def delete(self, kind: Kind, id: str | UUID) -> None:  # noqa: A002 - the field's name
        await self._resources.delete(kind, str(id))
