"""
Who holds which key.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from uuid import UUID

from headrace.core.actor import Actor, Scope
from headrace.core.errors import ConflictError, NotFoundError, UnauthenticatedError
from headrace.services.job_keys import PREFIX, JobKeys
from headrace.store.workspaces import KeyRecord, Workspaces
from headrace.store.workspaces import Workspace as Workspace  # wires name it too, and may not ask the store

# A revoked key is refused everywhere within this time; without it each poll would cost a second query.
_REMEMBERED_SECONDS = 5.0
_REMEMBERED_KEYS = 10_000


class Access:
    """
    Authentication, workspaces by name, and keys.

    Args:
        monotonic: seconds that only rise.
        new_id: makes a UUID.
        job_keys: keys that children of jobs hold; None knows none.
    """

    def __init__(
        self,
        workspaces: Workspaces,
        *,
        monotonic: Callable[[], float],
        new_id: Callable[[], UUID],
        job_keys: JobKeys | None = None,
    ) -> None:
        self._workspaces = workspaces
        self._job_keys = job_keys
        self._monotonic = monotonic
        self._new_id = new_id
        self._actors: dict[str, tuple[float, Actor]] = {}
        self._named: dict[str, tuple[float, Workspace]] = {}

    async def authenticate(self, key: str | None) -> Actor:
        """
        Tell who holds *key*.

        Raises:
            UnauthenticatedError: no key, an unknown or a revoked one.
        """
        if not key:
            raise UnauthenticatedError("No API key was sent.", "Send it in the header `x-api-key`.")
        known = self._actors.get(key)
        if known and known[0] > self._monotonic():
            return known[1]
        actor = await self._holder(key)
        if actor is None:
            self._actors.pop(key, None)
            raise UnauthenticatedError("The API key is not known here.", "List keys with `headrace keys`.")
        if len(self._actors) >= _REMEMBERED_KEYS:
            self._actors.clear()
        self._actors[key] = (self._monotonic() + _REMEMBERED_SECONDS, actor)
        return actor

    async def _holder(self, key: str) -> Actor | None:
        if self._job_keys is not None and key.startswith(PREFIX):
            return await self._job_keys.holder(key)
        record = await self._workspaces.find_key(key)
        return Actor(record.id, record.name, record.role, record.workspace_id) if record else None

    async def workspace(self, actor: Actor, id_or_name: str, scope: Scope) -> Workspace:
        """
        Give a workspace by name or id, if *actor* may do *scope* in it.

        Raises:
            NotFoundError: there is none, or not for this actor.
            ForbiddenError: the key lacks the scope.
        """
        known = self._named.get(id_or_name)
        if known is None or known[0] <= self._monotonic():
            found = await self._workspaces.find(id_or_name)
            if found is None:
                raise _no_workspace(id_or_name)
            known = (self._monotonic() + _REMEMBERED_SECONDS, found)
            self._named[id_or_name] = known
        try:
            actor.require(scope, known[1].id)
        except NotFoundError:
            raise _no_workspace(id_or_name) from None
        return known[1]

    async def workspaces(self, actor: Actor) -> list[Workspace]:
        """
        List the workspaces that *actor*'s key opens, by name.
        """
        return [found for found in await self._workspaces.all() if actor.workspace_id in (None, found.id)]

    def forget(self, workspace_id: UUID) -> None:
        """
        Know nothing more of a workspace and of who holds which key: it is gone, here at once and elsewhere within seconds.
        """
        self._actors.clear()
        self._named = {name: known for name, known in self._named.items() if known[1].id != workspace_id}

    async def make_workspace(self, name: str) -> Workspace:
        """
        Make a workspace with nothing in it.

        Raises:
            ConflictError: there is one of that name.
        """
        if await self._workspaces.find(name) is not None:
            raise ConflictError(f"There is a workspace {name!r} already.", "Use it, or choose another name.")
        return await self._workspaces.declare(self._new_id(), name, {})

    async def ensure_key(self, key: str, *, name: str, role: str, workspace_id: UUID | None = None) -> bool:
        """
        Let *key* in if it is not known yet; tells whether it was new.
        """
        return await self._workspaces.add_key(self._new_id(), workspace_id=workspace_id, name=name, role=role, key=key)

    async def make_key(self, *, name: str, role: str, workspace_id: UUID | None = None) -> str:
        """
        Make a key and give it; it cannot be shown again.
        """
        key = f"hr_{secrets.token_urlsafe(32)}"
        await self.ensure_key(key, name=name, role=role, workspace_id=workspace_id)
        return key

    async def keys(self) -> list[KeyRecord]:
        return await self._workspaces.keys()

    async def revoke_key(self, key_id: UUID) -> None:
        """
        Take a key back; refused everywhere within seconds.

        Raises:
            NotFoundError: there is no such key, or it was revoked before.
        """
        self._actors.clear()
        if not await self._workspaces.revoke_key(key_id):
            raise NotFoundError(f"There is no key {key_id}.", "List keys with `headrace keys`.")

    async def has_keys(self) -> bool:
        return any(key.revoked_at is None for key in await self._workspaces.keys())


def _no_workspace(id_or_name: str) -> NotFoundError:
    return NotFoundError(
        f"There is no workspace {id_or_name!r}.",
        "Check the name; headrace.yml defines workspaces, and `headrace workspace add` makes one.",
    )
