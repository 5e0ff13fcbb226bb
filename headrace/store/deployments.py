"""
Versions of flows and connectors that came over the API, and which of them are in force.

A version is written once. What is in force is a row that points at one, so that putting another in force is one change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, LiteralString
from uuid import UUID

from psycopg.rows import DictRow

from headrace.store.database import Connection, Database
from headrace.store.sealing import Sealer

Kind = Literal["flow", "connector"]

_COLUMNS: LiteralString = """
    v.workspace_id, v.kind, v.name, v.number, v.digest, v.script, v.file_count, v.size_bytes, v.message, v.deployed_by,
    v.deployed_at, coalesce(d.number = v.number, false) as current
"""
_FROM: LiteralString = "from deployment v left join deployed d using (workspace_id, kind, name)"
_HERE: LiteralString = "v.workspace_id = %(workspace_id)s and v.kind = %(kind)s and v.name = %(name)s"


@dataclass(frozen=True, slots=True)
class Deployable:
    """What versions are of: a flow by its id, or a connector by its name."""

    workspace_id: UUID
    kind: Kind
    name: str

    @property
    def parameters(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """
    One version; what it holds is read apart, for it may be large and secret.

    Attributes:
        number: 1 is the first.
        script: digest of the stored folder with the files that are no definitions; None when there are none.
        deployed_by: name of the key.
        current: it is in force.
    """

    workspace_id: UUID
    kind: Kind
    name: str
    number: int
    digest: str
    script: str | None
    file_count: int
    size_bytes: int
    message: str
    deployed_by: str
    deployed_at: datetime
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """
    A version to write; see `Version` for the fields both share.

    Attributes:
        content: what is sealed: JSON values.
    """

    of: Deployable
    digest: str
    script: str | None
    file_count: int
    size_bytes: int
    message: str
    deployed_by: str
    content: Mapping[str, Any]


class Deployments:
    """
    The tables `deployment` and `deployed`.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def lock(self, connection: Connection, of: Deployable) -> int | None:
        """
        Be the only one who changes versions of *of* until the transaction ends; gives the number in force, None for none.
        """
        await connection.execute(
            "select pg_advisory_xact_lock(hashtextextended(%(text)s, 0))",
            {"text": f"headrace.deployment:{of.workspace_id}:{of.kind}:{of.name}"},
        )
        query = (
            "select number from deployed where workspace_id = %(workspace_id)s and kind = %(kind)s and name = %(name)s"
        )
        row = await (await connection.execute(query, of.parameters)).fetchone()
        return row["number"] if row else None

    async def write(self, connection: Connection, new: NewVersion) -> tuple[int, bool]:
        """
        Write a version, unless one of the same digest is there; gives its number and whether it is new. Call with `lock` held.
        """
        parameters = new.of.parameters | {"digest": new.digest}
        known = await (
            await connection.execute(
                f"select number from deployment v where {_HERE} and digest = %(digest)s", parameters
            )
        ).fetchone()
        if known is not None:
            return known["number"], False
        made = await (
            await connection.execute(
                f"""
                insert into deployment (workspace_id, kind, name, number, digest, script, file_count, size_bytes, message,
                                        deployed_by, sealed)
                select %(workspace_id)s, %(kind)s, %(name)s,
                       1 + coalesce((select max(number) from deployment v where {_HERE}), 0),
                       %(digest)s, %(script)s, %(file_count)s, %(size_bytes)s, %(message)s, %(deployed_by)s, %(sealed)s
                returning number
                """,
                parameters
                | {
                    "script": new.script,
                    "file_count": new.file_count,
                    "size_bytes": new.size_bytes,
                    "message": new.message,
                    "deployed_by": new.deployed_by,
                    "sealed": self._sealer.seal(dict(new.content), _place(new.of, new.digest)),
                },
            )
        ).fetchone()
        assert made is not None  # noqa: S101 - an insert without a condition
        return made["number"], True

    async def put_in_force(self, connection: Connection, of: Deployable, number: int, *, by: str) -> None:
        """
        Point at a version; nothing changes when it is in force already.
        """
        await connection.execute(
            """
            insert into deployed as d (workspace_id, kind, name, number, changed_by)
            values (%(workspace_id)s, %(kind)s, %(name)s, %(number)s, %(by)s)
            on conflict (workspace_id, kind, name) do update
              set number = excluded.number, changed_by = excluded.changed_by, changed_at = clock_timestamp()
              where d.number <> excluded.number
            """,
            of.parameters | {"number": number, "by": by},
        )

    async def forget(self, connection: Connection, of: Deployable) -> int:
        """
        Forget every version of *of*; gives their number.
        """
        await connection.execute(
            "delete from deployed where workspace_id = %(workspace_id)s and kind = %(kind)s and name = %(name)s",
            of.parameters,
        )
        return (await connection.execute(f"delete from deployment v where {_HERE}", of.parameters)).rowcount

    async def versions(self, of: Deployable) -> list[Version]:
        """
        List the versions of *of*, newest first.
        """
        rows = await self._database.all(
            f"select {_COLUMNS} {_FROM} where {_HERE} order by v.number desc", of.parameters
        )
        return [Version(**row) for row in rows]

    async def content(self, version: Version) -> dict[str, Any]:
        """
        Open what a version holds; empty when it was forgotten meanwhile.
        """
        of = Deployable(version.workspace_id, version.kind, version.name)
        row = await self._database.one(
            f"select v.digest, v.sealed from deployment v where {_HERE} and v.digest = %(digest)s",
            of.parameters | {"digest": version.digest},
        )
        return self._open(of, row) if row else {}

    async def fingerprint(self) -> str:
        """
        A text that changes whenever something else is in force.
        """
        row = await self._database.one(
            """
            select coalesce(md5(string_agg(concat_ws('/', workspace_id, kind, name, number, changed_at), '\n'
                                           order by workspace_id, kind, name)), '') as fingerprint
            from deployed
            """
        )
        assert row is not None  # noqa: S101 - an aggregate has one row
        return str(row["fingerprint"])

    async def in_force(self) -> list[tuple[str, Version, dict[str, Any]]]:
        """
        Read what is in force over all workspaces: name of the workspace, version and what it holds.
        """
        rows = await self._database.all(
            f"""
            select w.name as workspace, v.sealed, {_COLUMNS}
            from deployment v join deployed d using (workspace_id, kind, name, number)
            join workspace w on w.id = v.workspace_id order by w.name, v.kind, v.name
            """
        )
        found = []
        for row in rows:
            workspace, sealed = row.pop("workspace"), row.pop("sealed")
            version = Version(**row)
            of = Deployable(version.workspace_id, version.kind, version.name)
            found.append((workspace, version, self._open(of, {"digest": version.digest, "sealed": sealed})))
        return found

    def _open(self, of: Deployable, row: DictRow) -> dict[str, Any]:
        opened: dict[str, Any] = self._sealer.open(row["sealed"], _place(of, row["digest"]))
        return opened


def _place(of: Deployable, digest: str) -> str:
    return f"deployment:{of.workspace_id}:{of.kind}:{of.name}:{digest}"
