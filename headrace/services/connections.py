"""
Linking: what a tenant connects to a flow, and what is known of it.

Whoever calls has checked the actor's scope; secrets are open in what is given back, and the dialects hide them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from headrace.core.errors import ConflictError, InvalidError, NotFoundError
from headrace.services.announcements import Announcements, Notice
from headrace.store.connections import Connections
from headrace.store.connections import Linked as Linked  # dialects name these four too, and may not ask the store
from headrace.store.connections import Place as Place
from headrace.store.connections import Role as Role
from headrace.store.connections import Symlink as Symlink
from headrace.store.database import Connection, Database
from headrace.store.tenants import Tenants
from headrace.store.workspaces import Workspace as Workspace


@dataclass(frozen=True, slots=True)
class Link:
    """
    What became of a link.

    Attributes:
        overwritten: the connector was linked before, under the same id.
    """

    linked: Linked
    overwritten: bool


@dataclass(frozen=True, slots=True)
class ConnectionChange:
    """What happened to a connection, to be told in a dialect's words."""

    kind: Literal["created", "overwritten", "removed"]
    workspace: str
    place: Place
    at: datetime


class Linking:
    """
    Args:
        words: says a change in the dialect's words: the body of its webhook.
        now: the current time, aware UTC.
        new_id: makes a UUID.
    """

    def __init__(
        self,
        database: Database,
        connections: Connections,
        tenants: Tenants,
        announcements: Announcements,
        *,
        words: Callable[[ConnectionChange], dict[str, Any]],
        now: Callable[[], datetime],
        new_id: Callable[[], UUID],
    ) -> None:
        self._database = database
        self._connections = connections
        self._tenants = tenants
        self._announcements = announcements
        self._words = words
        self._now = now
        self._new_id = new_id

    async def link(
        self,
        workspace: Workspace,
        place: Place,
        *,
        config: Mapping[str, Any],
        field_map: Mapping[str, Any] | None = None,
        symlink: Symlink | None = None,
        awaits_consent: bool = False,
    ) -> Link:
        """
        Link a connector, anew if it is linked already; the tenant is there from now on.

        One that *awaits_consent* of its owner is disconnected until it comes.
        A symlink to a symlink becomes one to where the settings are.

        Raises:
            InvalidError: the symlink leads nowhere, or to itself.
        """
        async with self._database.transaction() as connection:
            if symlink is not None:
                symlink = await self._origin(connection, place, symlink)
            await self._tenants.ensure(connection, place.workspace_id, place.tenant)
            overwritten = await self._connections.link(
                connection, self._new_id(), place, config=config, field_map=field_map, symlink=symlink,
                disconnected=awaits_consent,
            )  # fmt: skip
            linked = await self._found(connection, place)
            await self._tell(connection, workspace, place, "overwritten" if overwritten else "created")
        return Link(linked, overwritten)

    async def of_tenant(self, workspace_id: UUID, tenant: str, flow_id: str) -> list[Linked]:
        """
        List what a tenant has linked in a flow, oldest first.
        """
        return await self._connections.of_tenant(workspace_id, tenant, flow_id)

    async def flows_of(self, workspace_id: UUID, tenant: str) -> list[tuple[str, Role, str]]:
        """
        List what a tenant has linked in all flows: flow, role, connector.
        """
        return await self._connections.flows_of(workspace_id, tenant)

    async def get(self, place: Place) -> Linked:
        """
        Raises:
            NotFoundError: nothing is linked there.
        """
        async with self._database.connection() as connection:
            return await self._found(connection, place)

    async def patch(
        self,
        place: Place,
        *,
        config: Mapping[str, Any] | None = None,
        field_map: Mapping[str, Any] | None = None,
        reconnecting: bool | None = None,
    ) -> Linked:
        """
        Change settings, key by key and not deeper, or the whole field map; None leaves either as it is.

        *reconnecting* says whether its owner is being asked for consent anew.

        Raises:
            NotFoundError: nothing is linked there.
            ConflictError: the settings belong to the connection that this one is a symlink of.
        """
        async with self._database.transaction() as connection:
            linked = await self._found(connection, place, lock=True)
            if config is not None:
                _own_settings(linked)
                await self._connections.save_config(connection, linked.id, {**linked.config, **config})
            if field_map is not None:
                await self._connections.save_field_map(connection, linked.id, field_map)
            if reconnecting is not None:
                await self._connections.save_reconnecting(connection, linked.id, reconnecting)
            return await self._found(connection, place)

    async def consented(self, place: Place, settings: Mapping[str, Any]) -> Linked:
        """
        Keep the tokens that its owner's consent gave; from now on it is connected.

        Raises:
            NotFoundError: nothing is linked there any more.
            ConflictError: the settings belong to the connection that this one is a symlink of.
        """
        async with self._database.transaction() as connection:
            linked = await self._found(connection, place, lock=True)
            _own_settings(linked)
            await self._connections.save_config(connection, linked.id, {**linked.config, **settings})
            await self._connections.connected(connection, linked.id)
            return await self._found(connection, place)

    async def unlink(self, workspace: Workspace, place: Place) -> None:
        """
        Forget a connection with its settings, field map and bookmark.

        Raises:
            NotFoundError: nothing is linked there.
        """
        async with self._database.transaction() as connection:
            if await self._connections.unlink(connection, place) is None:
                raise _not_linked(place)
            await self._tell(connection, workspace, place, "removed")

    async def save_bookmark(self, place: Place, bookmark: Mapping[str, Any] | None) -> None:
        """
        Set how far a source has been read; None makes the next job read everything.

        Raises:
            NotFoundError: nothing is linked there.
        """
        async with self._database.transaction() as connection:
            linked = await self._found(connection, place, lock=True)
            await self._connections.save_bookmark(connection, linked.id, bookmark, job_id=None)

    async def _found(self, connection: Connection, place: Place, *, lock: bool = False) -> Linked:
        linked = await self._connections.find(connection, place, lock=lock)
        if linked is None:
            raise _not_linked(place)
        return linked

    async def _origin(self, connection: Connection, place: Place, symlink: Symlink) -> Symlink:
        there = Place(place.workspace_id, symlink.tenant, symlink.flow, symlink.role, place.connector)
        found = await self._connections.find(connection, there)
        if found is None or found.dangling:
            raise InvalidError(
                f"`symlink` leads to flow {symlink.flow!r} of tenant {symlink.tenant!r}, where `{place.connector}` is not linked.",
                "Link it there first.",
                field="symlink",
            )
        origin = found.symlink or symlink
        if (origin.flow, origin.tenant, origin.role) == (place.flow_id, place.tenant, place.role):
            raise InvalidError("`symlink` leads back to the same connection.", "Name another one.", field="symlink")
        return origin

    async def _tell(
        self,
        connection: Connection,
        workspace: Workspace,
        place: Place,
        kind: Literal["created", "overwritten", "removed"],
    ) -> None:
        change = ConnectionChange(kind, workspace.name, place, self._now())
        notice = Notice(
            subscription="connection", topic=f"connection.{kind}", tenant=place.tenant, body=self._words(change)
        )
        await self._announcements.tell(connection, place.workspace_id, notice)


def _own_settings(linked: Linked) -> None:
    if linked.symlink is not None:
        raise ConflictError(
            "The settings of a symlink belong to another connection.",
            f"Change them in flow {linked.symlink.flow!r} of tenant {linked.symlink.tenant!r}, or link it anew.",
        )


def _not_linked(place: Place) -> NotFoundError:
    return NotFoundError(
        f"`{place.connector}` is not linked for this tenant.",
        "List what is linked with a GET, or link it.",
        connector=place.connector,
    )
