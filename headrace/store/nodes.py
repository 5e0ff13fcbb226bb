"""
The processes of a server: who is alive, and how many jobs they can run at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from headrace.store.database import Database


@dataclass(frozen=True, slots=True)
class Node:
    id: UUID
    name: str
    roles: list[str]
    slots: int
    draining: bool
    started_at: datetime
    seen_at: datetime
    alive: bool


class Nodes:
    """
    The table `node`. Times are the database's, so that a node's clock does not matter.
    """

    def __init__(self, database: Database, *, ttl_seconds: float) -> None:
        self._database = database
        self.ttl_seconds = ttl_seconds

    async def beat(self, id: UUID, *, name: str, roles: Sequence[str], slots: int, draining: bool = False) -> None:  # noqa: A002 - the column's name
        """
        Say that a node is alive.
        """
        await self._database.run(
            """
            insert into node (id, name, roles, slots, draining)
            values (%(id)s, %(name)s, %(roles)s, %(slots)s, %(draining)s)
            on conflict (id) do update set seen_at = now(), slots = excluded.slots, draining = excluded.draining
            """,
            {"id": id, "name": name, "roles": list(roles), "slots": slots, "draining": draining},
        )

    async def leave(self, id: UUID) -> None:  # noqa: A002 - the column's name
        await self._database.run("delete from node where id = %(id)s", {"id": id})

    async def forget_dead(self) -> int:
        """
        Remove nodes that have been silent for ten times their time to live.
        """
        return await self._database.run(
            "delete from node where seen_at < now() - make_interval(secs => %(seconds)s)",
            {"seconds": 10 * self.ttl_seconds},
        )

    async def all(self) -> list[Node]:
        rows = await self._database.all(
            """
            select id, name, roles, slots, draining, started_at, seen_at,
                   seen_at > now() - make_interval(secs => %(ttl)s) as alive
            from node order by started_at
            """,
            {"ttl": self.ttl_seconds},
        )
        return [Node(**row) for row in rows]
