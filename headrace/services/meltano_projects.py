"""
The Meltano project of each workspace: read from its folder, or as its last deployment has stored it; kept by digest for jobs.

A workspace names its folder in its setting `meltano`, relative to the project folder; without one, the project folder's own
meltano.yml is the first workspace's. A workspace with neither has what was deployed out of its repository.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

from headrace.core.errors import DefinitionError
from headrace.core.meltano import FILE, MeltanoProject
from headrace.services.stored_projects import StoredProjects
from headrace.store.meltano_folder import MeltanoFolder, fingerprint, read_folder
from headrace.store.workspace_lives import StoredProject, WorkspaceLives
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

    def __init__(
        self, stored: StoredProjects, lives: WorkspaceLives, *, folder: Path | None, first: Callable[[], str]
    ) -> None:
        self._stored = stored
        self._lives = lives
        self._folder = folder
        self._first = first
        self._known: dict[UUID, tuple[tuple[Path, str], Snapshot]] = {}
        self._asked: dict[UUID, Path] = {}  # also those that could not be read
        self._deployed: dict[UUID, tuple[StoredProject, Snapshot]] = {}
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
            return await self._of_deployment(workspace)
        self._asked[workspace.id] = folder
        async with self._lock:
            now = (folder, await asyncio.to_thread(fingerprint, folder))
            known = self._known.get(workspace.id)
            if known is None or known[0] != now:
                digest = await self._stored.keep(folder, workspace_id=workspace.id)
                known = (now, Snapshot(digest=digest, folder=await asyncio.to_thread(read_folder, folder)))
                self._known[workspace.id] = known
        return known[1]

    def fingerprint(self) -> str:
        """
        A text that changes whenever a file of a project in a folder does, of those asked for so far or of the project folder itself.

        Walks through the folders, so it is for a thread.
        """
        asked = list(self._asked.values())  # at once: the other thread may add to it
        folders = set(asked)
        if self._folder is not None and (self._folder / FILE).is_file():
            folders.add(self._folder)
        return "\n".join(f"{folder} {fingerprint(folder)}" for folder in sorted(folders))

    def in_use(self) -> list[str]:
        """
        List the digests of the projects that this process has read from folders.
        """
        return [snapshot.digest for _, snapshot in self._known.values() if snapshot.digest]

    async def _of_deployment(self, workspace: Workspace) -> Snapshot:
        project = await self._lives.project(workspace.id)
        if project is None:
            return Snapshot()
        known = self._deployed.get(workspace.id)
        if known is None or known[0] != project:
            read = replace(await self._stored.read(project.digest), commit=project.commit, variables={})
            known = (project, Snapshot(digest=project.digest, folder=read))
            self._deployed[workspace.id] = known
        return known[1]
