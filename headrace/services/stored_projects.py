"""
Meltano projects in the file store: each whole under the digest of its files, so that what a job was made of never changes under it.

    projects/{digest}/files/...    the files
    projects/{digest}/.complete    written last: the names of those that may be executed

A copy's files have the times that project_times.py notes for its workspace, not those at which they were stored.
A project is kept as long as it is used; `.complete` is written again now and then by whoever does, and its age is how pruning can tell.
"""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime
from pathlib import Path
from uuid import UUID

import msgspec

from headrace.core.meltano import MeltanoProject
from headrace.runners.job_root import copy_tree
from headrace.services.project_times import ProjectTimes
from headrace.store.files import FileStore
from headrace.store.meltano_folder import MeltanoFolder, files_of, programs_of, read_folder

NEW = b"""default_environment: dev
environments:
- name: dev
- name: staging
- name: prod
"""
"""What a workspace without a repository begins with, as its meltano.yml."""


class StoredProjects:
    """
    Keeps projects, and gives them back.
    """

    def __init__(self, files: FileStore) -> None:
        self._files = files
        self._times = ProjectTimes(files)

    async def keep(self, folder: Path, *, workspace_id: UUID) -> str:
        """
        Store a folder as the newest project of a workspace; gives its digest. One that is stored already is used anew.

        Raises:
            DefinitionError: the folder is too large.
        """
        files = await asyncio.to_thread(files_of, folder)
        programs = await asyncio.to_thread(programs_of, folder, files)
        await self._times.note(workspace_id, folder, files)
        return await self._keep(files, programs)

    async def keep_new(self) -> str:
        """
        Store a project that has nothing yet but its environments.
        """
        return await self._keep({"meltano.yml": NEW}, [])

    async def _keep(self, files: dict[str, bytes], programs: list[str]) -> str:
        digest = hashlib.sha256()
        for name, content in sorted(files.items()):
            digest.update(f"{len(name.encode())}:{name}\0{len(content)}:".encode())
            digest.update(content)
        digest.update("\0".join(programs).encode())
        key = digest.hexdigest()
        if await self._files.get(f"projects/{key}/.complete") is None:
            for name, content in files.items():
                await self._files.put(f"projects/{key}/files/{name}", content)
        await self._files.put(f"projects/{key}/.complete", msgspec.json.encode(programs))
        return key

    async def use(self, digest: str) -> None:
        """
        Let a project count as used just now.
        """
        programs = await self._files.get(f"projects/{digest}/.complete")
        if programs is not None:
            await self._files.put(f"projects/{digest}/.complete", programs)

    async def read(self, digest: str) -> MeltanoFolder:
        """
        Read what a stored project defines; nothing of one that is gone.
        """
        if await self._files.get(f"projects/{digest}/.complete") is None:
            return MeltanoFolder(project=MeltanoProject())
        return await asyncio.to_thread(read_folder, await self._files.obtain(f"projects/{digest}/files"))

    async def unused_since(self, before: datetime) -> list[str]:
        """
        List the digests of projects that nobody has used since *before*.
        """
        found = [path.rsplit("/", 1)[-1] for path in await self._files.folders("projects")]
        return [digest for digest in found if await self._is_unused(digest, before)]

    async def forget(self, digest: str, *, unused_since: datetime) -> bool:
        """
        Remove a project, unless somebody has used it meanwhile.
        """
        if not await self._is_unused(digest, unused_since):
            return False
        await self._files.remove(f"projects/{digest}")
        return True

    async def _is_unused(self, digest: str, before: datetime) -> bool:
        used_at = await self._files.written_at(f"projects/{digest}/.complete")
        return used_at is not None and used_at < before

    async def lay_out(self, digest: str, folder: Path, *, workspace_id: UUID) -> None:
        """
        Copy a stored project into a folder, for a job of a workspace.
        """
        stored = await self._files.obtain(f"projects/{digest}/files")
        await asyncio.to_thread(copy_tree, stored, folder)
        programs = await self._files.get(f"projects/{digest}/.complete")
        for name in msgspec.json.decode(programs or b"[]"):
            await asyncio.to_thread((folder / name).chmod, 0o755)
        await self._times.give(workspace_id, folder)
