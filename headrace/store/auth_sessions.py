"""
Kept logins: what they are made with and their state are sealed, and nothing else of them is.

Functions with a `connection` run in the caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from headrace.core.auth_session import AuthSession, SessionKind, SessionStatus, session_key
from headrace.core.outcome import Cause
from headrace.store.database import Connection, Database
from headrace.store.job_rows import cause_of
from headrace.store.sealing import Sealer

_COLUMNS = (
    "id", "workspace_id", "project", "name", "generation", "checked_at", "failed_at", "failed_remaking", "created_at", "updated_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """
    A login, and the database's time at which it was read.
    """

    session: AuthSession
    now: datetime


class AuthSessions:
    """
    The table `auth_session`.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def of_project(self, workspace_id: UUID, project: str) -> list[AuthSession]:
        """
        List a project's logins, the oldest first.
        """
        rows = await self._database.all(
            """
            select s.*, exists(select from job j where j.id = s.pending_job and j.finished_at is null) as pending
            from auth_session s where s.workspace_id = %(workspace_id)s and s.project = %(project)s
            order by s.created_at, s.name
            """,
            {"workspace_id": workspace_id, "project": project},
        )
        return [self._session(row) for row in rows]

    async def get(self, workspace_id: UUID, project: str, name: str) -> AuthSession | None:
        async with self._database.connection() as connection:
            found = await self.find(connection, workspace_id, project, name)
        return found.session if found else None

    async def find(self, connection: Connection, workspace_id: UUID, project: str, name: str) -> Found | None:
        row = await (
            await connection.execute(
                """
                select s.*, now() as read_at,
                       exists(select from job j where j.id = s.pending_job and j.finished_at is null) as pending
                from auth_session s
                where s.workspace_id = %(workspace_id)s and s.project = %(project)s and s.name = %(name)s
                """,
                {"workspace_id": workspace_id, "project": project, "name": name},
            )
        ).fetchone()
        return Found(session=self._session(row), now=row["read_at"]) if row else None

    async def add(
        self,
        session_id: UUID,
        *,
        workspace_id: UUID,
        project: str,
        name: str,
        kind: SessionKind,
        parameters: bytes | None,
        proxy: str | None,
        job_id: UUID | None = None,
    ) -> bool:
        """
        Write a login that has no state yet; False when there is one of that name. With *job_id* it goes when that job ends.
        """
        return bool(
            await self._database.run(
                """
                insert into auth_session (id, workspace_id, project, name, kind, sealed, job_id)
                values (%(id)s, %(workspace_id)s, %(project)s, %(name)s, %(kind)s, %(sealed)s, %(job_id)s)
                on conflict (workspace_id, project, name) do nothing
                """,
                {
                    "id": session_id, "workspace_id": workspace_id, "project": project, "name": name, "kind": kind,
                    "sealed": self._seal(session_id, parameters, None, proxy), "job_id": job_id,
                },
            )
        )  # fmt: skip

    async def record(self, session_id: UUID, *, workspace_id: UUID, project: str, name: str, state: bytes) -> bool:
        """
        Keep a state that a person has recorded, in a new login or in one of that kind; it has yet to be checked. False when the one of that
        name is of another kind.
        """
        async with self._database.transaction() as connection:
            await connection.execute(
                """
                insert into auth_session (id, workspace_id, project, name, kind, sealed)
                values (%(id)s, %(workspace_id)s, %(project)s, %(name)s, 'recorder', %(sealed)s)
                on conflict (workspace_id, project, name) do nothing
                """,
                {
                    "id": session_id, "workspace_id": workspace_id, "project": project, "name": name,
                    "sealed": self._seal(session_id, None, None, None),
                },
            )  # fmt: skip
            found = await self.find(connection, workspace_id, project, name)
            if found is None or found.session.kind is not SessionKind.RECORDER:
                return False
            await connection.execute(
                """
                update auth_session set sealed = %(sealed)s, generation = generation + 1, status = 'expired', checked_at = null,
                                        failed_at = null, failure = null, updated_at = now()
                where id = %(id)s
                """,
                {"id": found.session.id, "sealed": self._seal(found.session.id, None, state, None)},
            )
        return True

    async def set_pending(self, session_id: UUID, job_id: UUID) -> None:
        """
        Say which job makes it now.
        """
        await self._database.run(
            "update auth_session set pending_job = %(job_id)s, updated_at = now() where id = %(id)s",
            {"id": session_id, "job_id": job_id},
        )

    async def replace_parameters(self, session: AuthSession, parameters: bytes) -> None:
        """
        Keep other parameters; a state that was made with the old ones is forgotten.
        """
        await self._database.run(
            """
            update auth_session set sealed = %(sealed)s, generation = generation + 1, status = 'expired', checked_at = null,
                                    failed_at = null, failure = null, updated_at = now()
            where id = %(id)s and generation = %(generation)s
            """,
            {
                "id": session.id, "generation": session.generation,
                "sealed": self._seal(session.id, parameters, None, session.proxy),
            },
        )  # fmt: skip

    async def operations(self, session: AuthSession) -> list[UUID]:
        """
        List the jobs that make or check a login, or wait to do so.
        """
        rows = await self._database.all(
            "select id from job where workspace_id = %(workspace_id)s and key = %(key)s and finished_at is null order by seq",
            {
                "workspace_id": session.workspace_id,
                "key": session_key(session.workspace_id, session.project, session.name),
            },
        )
        return [row["id"] for row in rows]

    async def delete(self, session_id: UUID) -> bool:
        return bool(await self._database.run("delete from auth_session where id = %(id)s", {"id": session_id}))

    async def forget_strays(self) -> None:
        """
        Delete logins of single runs that are not there, or have ended; their server died in between.
        """
        await self._database.run(
            """
            delete from auth_session s where s.job_id is not null and s.updated_at < now() - interval '1 hour'
              and not exists (select from job j where j.id = s.job_id and j.finished_at is null)
            """
        )

    async def keep(
        self,
        connection: Connection,
        session: AuthSession,
        *,
        kind: SessionKind,
        parameters: bytes | None,
        state: bytes,
        proxy: str | None,
    ) -> None:
        """
        Keep a new state that a check has found good, and what it was made with; not if the login has changed since it was read.
        """
        await connection.execute(
            """
            update auth_session set sealed = %(sealed)s, kind = %(kind)s, generation = generation + 1, status = 'ready',
                                    checked_at = now(), failed_at = null, failure = null, updated_at = now()
            where id = %(id)s and generation = %(generation)s
            """,
            {
                "id": session.id, "kind": kind, "generation": session.generation,
                "sealed": self._seal(session.id, parameters, state, proxy),
            },
        )  # fmt: skip

    async def confirm(self, connection: Connection, session_id: UUID, generation: int) -> None:
        """
        Write down that a check has found the state of *generation* good.
        """
        await connection.execute(
            """
            update auth_session set status = 'ready', checked_at = now(), failed_at = null, failure = null
            where id = %(id)s and generation = %(generation)s
            """,
            {"id": session_id, "generation": generation},
        )

    async def doubt(self, connection: Connection, session_id: UUID, generation: int) -> None:
        """
        Let the state of *generation* be checked before anyone uses it again.
        """
        await connection.execute(
            "update auth_session set checked_at = null where id = %(id)s and generation = %(generation)s",
            {"id": session_id, "generation": generation},
        )

    async def expire(
        self, connection: Connection, session_id: UUID, generation: int, failure: Cause, *, remaking: bool
    ) -> None:
        """
        Write down that the state of *generation* is bad, and could not, or was not to be, made again.
        """
        await connection.execute(
            """
            update auth_session set status = 'expired', checked_at = null, failed_at = now(), failure = %(failure)s,
                                    failed_remaking = %(remaking)s, updated_at = now()
            where id = %(id)s and generation = %(generation)s
            """,
            {"id": session_id, "generation": generation, "failure": Jsonb(failure), "remaking": remaking},
        )

    def _seal(self, session_id: UUID, parameters: bytes | None, state: bytes | None, proxy: str | None) -> bytes:
        # As texts of JSON: what is kept comes back byte for byte, numbers of any size included.
        kept = {
            "parameters": parameters.decode() if parameters is not None else None,
            "state": state.decode() if state is not None else None,
            "proxy": proxy,
        }
        return self._sealer.seal(kept, f"auth-session:{session_id}")

    def _session(self, row: DictRow) -> AuthSession:
        kept: dict[str, Any] = self._sealer.open(row["sealed"], f"auth-session:{row['id']}")
        return AuthSession(
            **{name: row[name] for name in _COLUMNS},
            kind=SessionKind(row["kind"]),
            status=SessionStatus.PENDING if row["pending"] else SessionStatus(row["status"]),
            parameters=_bytes(kept["parameters"]),
            state=_bytes(kept["state"]),
            proxy=kept["proxy"],
            failure=cause_of(row["failure"]),
        )


def _bytes(text: str | None) -> bytes | None:
    return text.encode() if text is not None else None
