"""
Meltano projects in the file store: each whole under the digest of its files, so that what a job was made of never changes under it.

    projects/{digest}/files/...    the files
    projects/{digest}/.complete    written last: which may be executed, and when each was last changed

The times are not part of the digest, but each copy gets them: taps for files go by them, and a file of which nothing changed but its place
is not to be read again. A folder's files have their own; a clone has none of use, so what is as it was in the project before keeps its time.
A project is kept as long as it is used; `.complete` is written again now and then by whoever does, and its age is how pruning can tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from headrace.core.meltano import MeltanoProject
from headrace.runners.job_root import copy_tree
from headrace.store.files import FileStore
from headrace.store.meltano_folder import MeltanoFolder, files_of, programs_of, read_folder, times_of

NEW = b"""default_environment: dev
environments:
- name: dev
- name: staging
- name: prod
"""
"""What a workspace without a repository begins with, as its meltano.yml."""


class _Complete(msgspec.Struct, frozen=True):
    """
    What a project's files do not tell themselves.

    Attributes:
        programs: names of those that may be executed.
        changed_ns: by name, when each was last changed, in nanoseconds since 1970.
    """

    programs: list[str] = []
    changed_ns: dict[str, int] = {}


class StoredProjects:
    """
    Keeps projects, and gives them back.
    """

    def __init__(self, files: FileStore) -> None:
        self._files = files

    async def keep(self, folder: Path, *, before: str | None = None) -> str:
        """
        Store a folder; gives its digest. One that is stored already is used anew.

        Files that are the same in the stored project *before* keep the times that they have there.

        Raises:
            DefinitionError: the folder is too large.
        """
        files = await asyncio.to_thread(files_of, folder)
        programs = await asyncio.to_thread(programs_of, folder, files)
        changed_ns = await asyncio.to_thread(times_of, folder, files)
        if before is not None:
            changed_ns |= await self._unchanged(files, before)
        return await self._keep(files, _Complete(programs, changed_ns))

    async def keep_new(self) -> str:
        """
        Store a project that has nothing yet but its environments.
        """
        return await self._keep({"meltano.yml": NEW}, _Complete())

    async def _keep(self, files: dict[str, bytes], complete: _Complete) -> str:
        digest = hashlib.sha256()
        for name, content in sorted(files.items()):
            digest.update(f"{len(name.encode())}:{name}\0{len(content)}:".encode())
            digest.update(content)
        digest.update("\0".join(complete.programs).encode())
        key = digest.hexdigest()
        if await self._files.get(f"projects/{key}/.complete") is None:
            for name, content in files.items():
                await self._files.put(f"projects/{key}/files/{name}", content)
        await self._files.put(f"projects/{key}/.complete", msgspec.json.encode(complete))
        return key

    async def _unchanged(self, files: Mapping[str, bytes], before: str) -> dict[str, int]:
        """
        Give the times of those files that are the same in a stored project.
        """
        known = await self._complete(before)
        if not known.changed_ns:
            return {}
        stored = await self._files.obtain(f"projects/{before}/files")
        return {name: known.changed_ns[name] for name in await asyncio.to_thread(_same, stored, files, known)}

    async def _complete(self, digest: str) -> _Complete:
        """
        Read what is noted of a project; nothing of one that is gone.
        """
        noted = await self._files.get(f"projects/{digest}/.complete")
        return msgspec.json.decode(noted, type=_Complete) if noted else _Complete()

    async def use(self, digest: str) -> None:
        """
        Let a project count as used just now.
        """
        noted = await self._files.get(f"projects/{digest}/.complete")
        if noted is not None:
            await self._files.put(f"projects/{digest}/.complete", noted)

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

    async def lay_out(self, digest: str, folder: Path) -> None:
        """
        Copy a stored project into a folder.
        """
        stored = await self._files.obtain(f"projects/{digest}/files")
        await asyncio.to_thread(copy_tree, stored, folder)
        await asyncio.to_thread(_finish, folder, await self._complete(digest))


def _same(stored: Path, files: Mapping[str, bytes], known: _Complete) -> list[str]:
    return [name for name in known.changed_ns if name in files and _is(stored / name, files[name])]


def _is(file: Path, content: bytes) -> bool:
    return file.is_file() and file.stat().st_size == len(content) and file.read_bytes() == content


def _finish(folder: Path, complete: _Complete) -> None:
    for name in complete.programs:
        (folder / name).chmod(0o755)
    for name, changed_ns in complete.changed_ns.items():
        with contextlib.suppress(FileNotFoundError):  # half-written files are not copied
            os.utime(folder / name, ns=(changed_ns, changed_ns))
