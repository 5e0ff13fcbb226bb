"""
When each file of a workspace's Meltano project came to be as it is.

Taps for files go by the time of a file, and read it again when that is later than before. A copy's own time says nothing: clones, images and
downloads date everything anew. So what a file holds is noted with its time, and keeps that for as long as it stays the same.

    project-times/{workspace}/files.json    by name: a digest of what the file holds, and its time in nanoseconds since 1970
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import msgspec

from headrace.store.files import FileStore


class _Dated(msgspec.Struct, frozen=True, array_like=True):
    digest: str
    changed_ns: int


class ProjectTimes:
    """
    Notes the times of a project's files, and gives them to copies.
    """

    def __init__(self, files: FileStore) -> None:
        self._files = files

    async def note(self, workspace_id: UUID, folder: Path, contents: Mapping[str, bytes]) -> None:
        """
        Note the files of a project, given with what they hold, as the workspace's newest.

        At first sight a file has its own time. One that is new or other than before has that at which it came to stand in *folder*, if
        that is later: a file that was put there with an older time is new all the same.
        """
        known = await self._noted(workspace_id)
        noted = await asyncio.to_thread(_dated, folder, contents, known)
        if noted != known:
            await self._files.put(_path(workspace_id), msgspec.json.encode(noted))

    async def give(self, workspace_id: UUID, folder: Path) -> None:
        """
        Date the files of a copy; those that hold something else than the newest are left alone.
        """
        await asyncio.to_thread(_date, folder, await self._noted(workspace_id))

    async def _noted(self, workspace_id: UUID) -> dict[str, _Dated]:
        noted = await self._files.get(_path(workspace_id))
        return msgspec.json.decode(noted, type=dict[str, _Dated]) if noted else {}


def times_of(workspace_id: UUID) -> str:
    """
    Name the folder of what is noted of a workspace.
    """
    return f"project-times/{workspace_id}"


def _path(workspace_id: UUID) -> str:
    return f"{times_of(workspace_id)}/files.json"


def _dated(folder: Path, contents: Mapping[str, bytes], known: Mapping[str, _Dated]) -> dict[str, _Dated]:
    noted: dict[str, _Dated] = {}
    for name, content in contents.items():
        digest, before = _digest(content), known.get(name)
        if before is not None and before.digest == digest:
            noted[name] = before
            continue
        with contextlib.suppress(OSError):  # it is gone meanwhile
            found = (folder / name).stat()
            came_ns = max(found.st_mtime_ns, found.st_ctime_ns) if known else found.st_mtime_ns
            noted[name] = _Dated(digest, came_ns)
    return noted


def _date(folder: Path, noted: Mapping[str, _Dated]) -> None:
    for name, dated in noted.items():
        file = folder / name
        if file.is_file() and _digest(file.read_bytes()) == dated.digest:
            os.utime(file, ns=(dated.changed_ns, dated.changed_ns))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
