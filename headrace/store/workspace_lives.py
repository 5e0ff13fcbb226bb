"""
The lives of workspaces that were made over a wire: made, given a project, deleted.

A deletion has two parts. `hide` takes the workspace from everybody at once; `remove` forgets the row, and with it all that hangs on it, when
no job is left that could still write.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from headrace.store.database import Database
from headrace.store.workspaces import Workspace

_ADDED = "insert into workspace (id, name, definition) values (%(id)s, %(name)s, %(definition)s) on conflict do nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProject:
    """
    The Meltano project in force, as a deployment has stored it.

    Attributes:
        commit: of the repository it came from; empty for none.
    """

    digest: str
    commit: str = ""


class WorkspaceLives:
    """
    The table `workspace`, for the server itself.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, id: UUID, name: str, definition: dict[str, Any]) -> bool:  # noqa: A002 - the column's name
        """
        Make a workspace; False when the id or the name is taken.
        """
        return bool(await self._database.run(_ADDED, {"id": id, "name": name, "definition": Jsonb(definition)}))

    async def known(self, id: UUID) -> bool:  # noqa: A002 - the column's name
        """
        Say whether an id is taken, by a workspace that is being deleted too.
        """
        return await self._database.one("select 1 as one from workspace where id = %(id)s", {"id": id}) is not None

    async def project(self, id: UUID) -> StoredProject | None:  # noqa: A002 - the column's name
        """
        Give a workspace's project; None when nothing was deployed.
        """
        row = await self._database.one("select project from workspace where id = %(id)s", {"id": id})
        return StoredProject(**row["project"]) if row and row["project"] else None

    async def set_project(self, id: UUID, project: StoredProject) -> None:  # noqa: A002 - the column's name
        await self._database.run(
            "update workspace set project = %(project)s where id = %(id)s",
            {"id": id, "project": Jsonb({"digest": project.digest, "commit": project.commit})},
        )

    async def init_jobs(self) -> dict[UUID, UUID]:
        """
        Give the jobs that are to make a project, by the workspaces that have none yet.
        """
        rows = await self._database.all(
            "select id, init_job_id from workspace where init_job_id is not null and project is null"
        )
        return {row["id"]: row["init_job_id"] for row in rows}

    async def set_init_job(self, id: UUID, job_id: UUID) -> None:  # noqa: A002 - the column's name
        await self._database.run(
            "update workspace set init_job_id = %(job_id)s where id = %(id)s", {"id": id, "job_id": job_id}
        )

    async def hide(self, id: UUID) -> bool:  # noqa: A002 - the column's name
        """
        Take a workspace from everybody: its name is free again, its keys are revoked, its schedules gone. False when it was before.
        """
        async with self._database.transaction() as connection:
            hidden = await connection.execute(
                """
                update workspace set deleted_at = now(), name = 'deleted ' || id::text
                where id = %(id)s and deleted_at is null
                """,
                {"id": id},
            )
            await connection.execute(
                "update api_key set revoked_at = now() where workspace_id = %(id)s and revoked_at is null", {"id": id}
            )
            await connection.execute("delete from schedule where workspace_id = %(id)s", {"id": id})
        return bool(hidden.rowcount)

    async def hidden(self) -> list[Workspace]:
        """
        List workspaces whose deletion is not finished.
        """
        rows = await self._database.all("select id, name, definition from workspace where deleted_at is not null")
        return [Workspace(**row) for row in rows]

    async def unfinished_jobs(self, id: UUID) -> list[tuple[UUID, bool]]:  # noqa: A002 - the column's name
        """
        List jobs of all dialects that have not ended, each with whether its end was asked for.
        """
        rows = await self._database.all(
            """
            select id, cancel_requested_at is not null as asked from job
            where workspace_id = %(id)s and finished_at is null order by seq
            """,
            {"id": id},
        )
        return [(row["id"], row["asked"]) for row in rows]

    async def finished_jobs(self, id: UUID, *, limit: int) -> list[tuple[UUID, datetime]]:  # noqa: A002 - the column's name
        """
        List jobs that have ended: id and time of creation, which name the folder of their files.
        """
        rows = await self._database.all(
            """
            select id, created_at from job where workspace_id = %(id)s and finished_at is not null
            order by seq limit %(limit)s
            """,
            {"id": id, "limit": limit},
        )
        return [(row["id"], row["created_at"]) for row in rows]

    async def remove(self, id: UUID) -> bool:  # noqa: A002 - the column's name
        """
        Forget a hidden workspace with all that is its; False when a job was made of it meanwhile.

        The row's lock keeps new jobs out until it is gone.
        """
        async with self._database.transaction() as connection:
            await connection.execute("select from workspace where id = %(id)s for update", {"id": id})
            left = await connection.execute("select from job where workspace_id = %(id)s limit 1", {"id": id})
            if left.rowcount:
                return False
            await connection.execute(
                """
                delete from resource r using api_key k
                where k.workspace_id = %(id)s and (
                  (r.kind = 'apikey' and r.body ->> 'keyId' = k.id::text)
                  or (r.kind = 'profile' and r.id = 'key|' || replace(k.id::text, '-', '')))
                """,
                {"id": id},
            )
            await connection.execute(
                """
                update resource set body = body - 'defaultWorkspace'
                where kind = 'profile' and body ->> 'defaultWorkspace' = %(text)s
                """,
                {"text": str(id)},
            )
            await connection.execute("delete from workspace where id = %(id)s and deleted_at is not null", {"id": id})
        return True
