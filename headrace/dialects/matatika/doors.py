"""
Who may enter a path. A thing of another workspace is forbidden, not hidden: Matatika says 403 where a thing exists and the caller is no member.
"""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request

from headrace.core.actor import Actor, Scope
from headrace.core.errors import ForbiddenError, NotFoundError
from headrace.http.auth import actor_of
from headrace.services.access import Access
from headrace.services.surroundings import Workspace

_SERVER = Actor(UUID(int=0), "server", "admin", None)


class Doors:
    """
    The one way into Matatika's paths.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    async def actor(self, request: Request) -> Actor:
        """
        Tell who asks.

        Raises:
            UnauthenticatedError: no token, or one that is not known.
        """
        return await actor_of(request, self._access)

    async def workspace(self, actor: Actor, id_or_name: str | UUID, scope: Scope) -> Workspace:
        """
        Give a workspace in which *actor* may do *scope*.

        Raises:
            NotFoundError: there is none.
            ForbiddenError: there is, and the actor may not.
        """
        workspace = await self.open(id_or_name)
        if actor.workspace_id not in (None, workspace.id):
            raise ForbiddenError("Access is denied.", "Use a key of that workspace.")
        actor.require(scope)
        return workspace

    async def open(self, id_or_name: str | UUID) -> Workspace:
        """
        Give a workspace to the server itself, or to somebody whom another door has let in.

        Raises:
            NotFoundError: there is none.
        """
        try:
            return await self._access.workspace(_SERVER, str(id_or_name), Scope.READ)
        except NotFoundError:
            raise NotFoundError(f"Entity not found: {id_or_name}", entity=str(id_or_name)) from None

    async def all(self) -> list[Workspace]:
        """
        List every workspace, for the server itself.
        """
        return await self._access.workspaces(_SERVER)

    async def mine(self, actor: Actor) -> list[Workspace]:
        """
        List the workspaces that *actor* is a member of, by name.
        """
        return await self._access.workspaces(actor)


def id_of(request: Request, name: str) -> UUID:
    """
    Read an id out of the path.

    Raises:
        NotFoundError: it is no UUID, so nothing has it.
    """
    text = request.path_params[name]
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError(f"Entity not found: {text[:100]}", entity=text[:100]) from None
