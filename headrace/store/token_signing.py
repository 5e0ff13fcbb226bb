"""
The key pairs with which workspaces vouch for their tenants.
"""

from __future__ import annotations

from uuid import UUID

from headrace.store.database import Database
from headrace.store.sealing import Sealer


class TokenSigning:
    """
    The table `token_signing`; private keys are sealed.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def public_key(self, workspace_id: UUID) -> str | None:
        """
        Read a workspace's public key as PEM; None when it has no pair.
        """
        row = await self._database.one(
            "select public_key from token_signing where workspace_id = %(workspace_id)s", {"workspace_id": workspace_id}
        )
        return row["public_key"] if row else None

    async def pair(self, workspace_id: UUID) -> tuple[str, str] | None:
        """
        Read a workspace's private and public key as PEM; None when it has no pair.
        """
        row = await self._database.one(
            "select private_key, public_key from token_signing where workspace_id = %(workspace_id)s",
            {"workspace_id": workspace_id},
        )
        return (self._sealer.open(row["private_key"], _place(workspace_id)), row["public_key"]) if row else None

    async def save(self, workspace_id: UUID, private_key: str, public_key: str, *, replace: bool) -> None:
        """
        Keep a pair; without *replace*, one that is there already stays.
        """
        await self._database.run(
            """
            insert into token_signing (workspace_id, private_key, public_key)
            values (%(workspace_id)s, %(private_key)s, %(public_key)s)
            on conflict (workspace_id) do update
              set private_key = excluded.private_key, public_key = excluded.public_key, created_at = now()
              where %(replace)s
            """,
            {
                "workspace_id": workspace_id,
                "private_key": self._sealer.seal(private_key, _place(workspace_id)),
                "public_key": public_key,
                "replace": replace,
            },
        )


def _place(workspace_id: UUID) -> str:
    return f"token_signing:{workspace_id}"
