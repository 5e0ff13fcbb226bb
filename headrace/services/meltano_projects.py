"""
The Meltano project of each workspace: read from its folder, kept by digest for jobs.

A workspace names its folder in its setting `meltano`, relative to the project folder; without one, the project folder's own
meltano.yml is the first workspace's.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from headrace.core.errors import DefinitionError
from headrace.core.meltano import FILE, MeltanoProject
from headrace.store.files import FileStore
from headrace.store.meltano_folder import MeltanoFolder, files_of, fingerprint, programs_of, read_folder
from headrace.store.workspaces import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """
    A workspace's project as it is now.

    Attributes:
        digest: names the stored copy that jobs get; None for a workspace without a project.
        folder: what was read; its problems included.
    """

    digest: str | None = None
    folder: MeltanoFolder = field(default_factory=lambda: MeltanoFolder(project=MeltanoProject()))

    @property
    def project(self) -> MeltanoProject:
        return self.folder.project

    @property
    def commit(self) -> str:
        return self.folder.commit

    @property
    def variables(self) -> Mapping[str, str]:
        return self.folder.variables

    @property
    def problems(self) -> tuple[DefinitionError, ...]:
        return self.folder.problems


class MeltanoProjects:
    """
    Args:
        folder: the project folder; None for a server without one.
        first: gives the name of the workspace that the project folder itself belongs to.
    """

    def __init__(self, files: FileStore, *, folder: Path | None, first: Callable[[], str]) -> None:
        self._files = files
        self._folder = folder
        self._first = first
        self._known: dict[Path, tuple[str, Snapshot]] = {}
        self._lock = asyncio.Lock()

    def folder_of(self, workspace: Workspace) -> Path | None:
        """
        Give the folder of a workspace's Meltano project; None when it has none.
        """
        named = workspace.definition.get("settings", {}).get("meltano")
        if isinstance(named, str) and named:
            return (self._folder / named if self._folder else Path(named)).absolute()
        if self._folder is not None and workspace.name == self._first() and (self._folder / FILE).is_file():
            return self._folder
        return None

    async def of(self, workspace: Workspace) -> Snapshot:
        """
        Read and keep the project as it is now; an unchanged folder is not read again.

        Raises:
            DefinitionError: the folder is too large.
        """
        folder = self.folder_of(workspace)
        if folder is None:
            return Snapshot()
        async with self._lock:
            now = await asyncio.to_thread(fingerprint, folder)
            known = self._known.get(folder)
            if known is None or known[0] != now:
                known = (now, await self._read(folder))
                self._known[folder] = known
        return known[1]

    async def _read(self, folder: Path) -> Snapshot:
        files = await asyncio.to_thread(files_of, folder)
        digest = hashlib.sha256()
        for name, content in sorted(files.items()):
            digest.update(f"{len(name.encode())}:{name}\0{len(content)}:".encode())
            digest.update(content)
        programs = await asyncio.to_thread(programs_of, folder, files)
        digest.update("\0".join(programs).encode())
        key = digest.hexdigest()
        if await self._files.get(f"projects/{key}/.complete") is None:
            for name, content in files.items():
                await self._files.put(f"projects/{key}/files/{name}", content)
            await self._files.put(f"projects/{key}/.complete", msgspec.json.encode(programs))
        return Snapshot(digest=key, folder=await asyncio.to_thread(read_folder, folder))
