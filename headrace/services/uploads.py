"""
Files that a tenant uploads for a flow: kept with the tenant's other files, so that every job of the tenant finds them.

They stand in `uploads/{flow}/` of the tenant's kept files, which a job has as `snapshots/`. Names are checked and never lead elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

from headrace.core.errors import ConflictError, InvalidError, TooLargeError
from headrace.services.tenants import snapshots_of
from headrace.store.database import Database, held_open
from headrace.store.files import FileStore

MOST_FILES = 200
MOST_BYTES = 2**30

_NAME = re.compile(r"\w[\w .,()+=@-]{0,149}")


class Uploads:
    """
    Keeps, lists and removes them; a job that keeps its files at the same time waits, and is waited for.
    """

    def __init__(self, database: Database, files: FileStore) -> None:
        self._database = database
        self._files = files

    async def list(self, workspace_id: UUID, tenant: str, flow: str) -> list[str]:
        """
        List their names, in order.
        """
        return sorted(await self._files.sizes(_folder(workspace_id, tenant, flow)))

    async def save(self, workspace_id: UUID, tenant: str, flow: str, files: Mapping[str, bytes]) -> None:
        """
        Keep files, each in place of one of its name.

        Raises:
            InvalidError: a name is none; nothing was kept.
            TooLargeError: there would be more than `MOST_FILES` or `MOST_BYTES`; nothing was kept.
        """
        for name in files:
            if not _NAME.fullmatch(name) or name.endswith((".", " ")):
                raise InvalidError(
                    "A file's name cannot be kept.",
                    "Use letters, digits, spaces and . , ( ) + = @ - _ in it, 150 at most, and begin with a letter or digit.",
                    field="filename",
                )
        folder = _folder(workspace_id, tenant, flow)
        async with self._held(workspace_id, tenant):
            sizes = await self._files.sizes(folder) | {name: len(content) for name, content in files.items()}
            if len(sizes) > MOST_FILES or sum(sizes.values()) > MOST_BYTES:
                raise TooLargeError(
                    f"A tenant may keep {MOST_FILES} files and {MOST_BYTES // 2**20} MiB in a flow.",
                    "Clear those that are there, then upload again.",
                )
            for name, content in files.items():
                await self._files.put(f"{folder}/{name}", content)

    async def clear(self, workspace_id: UUID, tenant: str, flow: str) -> None:
        """
        Remove them all; a job that is under way keeps its copies.
        """
        async with self._held(workspace_id, tenant):
            await self._files.remove(_folder(workspace_id, tenant, flow))

    @asynccontextmanager
    async def _held(self, workspace_id: UUID, tenant: str) -> AsyncIterator[None]:
        # The lock under which jobs keep the same tenant's files: what they publish would else take a new upload for a deleted file.
        name = f"headrace:{snapshots_of(workspace_id, tenant)}"
        async with self._database.transaction() as connection:
            await held_open(connection)
            found = await (
                await connection.execute(
                    "select pg_try_advisory_xact_lock(hashtextextended(%(name)s, 0)) as held", {"name": name}
                )
            ).fetchone()
            if found is None or not found["held"]:
                raise ConflictError("The tenant's files are being written.", "Try again in a moment.")
            yield


def _folder(workspace_id: UUID, tenant: str, flow: str) -> str:
    return f"{snapshots_of(workspace_id, tenant)}/uploads/{flow}"
