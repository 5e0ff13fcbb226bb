"""
Automation projects in force, by workspace and name.

The last good version stays in force: a settings file with a mistake changes nothing but the list of problems.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from headrace.core.batch import AutomationProject
from headrace.core.errors import DefinitionError, NotFoundError
from headrace.store import project_files
from headrace.store.automation_projects import project_folders, read_automation_project
from headrace.store.files import FileStore
from headrace.store.workspaces import Workspace as Workspace  # dialects name it too, and may not ask the store

log = structlog.get_logger(__name__)


class Automations:
    """
    Args:
        folder: the project folder; None for a server without one.
    """

    def __init__(self, files: FileStore, *, folder: Path | None) -> None:
        self._files = files
        self._folder = folder
        self.fingerprint = ""
        self.projects: tuple[AutomationProject, ...] = ()
        self._problems: tuple[DefinitionError, ...] = ()
        self._resource_problems: tuple[DefinitionError, ...] = ()

    def problems(self) -> tuple[DefinitionError, ...]:
        """
        List the mistakes in the projects' files, as they are now.
        """
        return (*self._problems, *self._resource_problems)

    def note(self, problems: Sequence[DefinitionError]) -> None:
        """
        Take *problems* for the mistakes in what files of the projects define; log those that are new.
        """
        known = {(str(each), each.facts.get("file")) for each in self._resource_problems}
        for problem in problems:
            if (str(problem), problem.facts.get("file")) not in known:
                _tell(problem)
        self._resource_problems = tuple(problems)

    async def reload(self) -> bool:
        """
        Read the projects again if anything in them has changed; tells whether it had.
        """
        if self._folder is None:
            return False
        fingerprint = await asyncio.to_thread(project_files.fingerprint, self._folder)
        if fingerprint == self.fingerprint:
            return False
        before = {project.folder: project for project in self.projects}
        found: list[AutomationProject] = []
        problems: list[DefinitionError] = []
        for folder in await asyncio.to_thread(project_folders, self._folder):
            try:
                found.append(await self._read(folder))
            except DefinitionError as problem:
                problems.append(problem)
                _tell(problem)
                if folder in before:
                    found.append(before[folder])
        self.projects, self._problems, self.fingerprint = tuple(found), tuple(problems), fingerprint
        return True

    def of_workspace(self, workspace: Workspace) -> list[AutomationProject]:
        """
        List the projects of a workspace; those whose settings name none belong to every workspace of the server.
        """
        return [project for project in self.projects if project.workspace in ("", workspace.name, str(workspace.id))]

    def get(self, workspace: Workspace, name: str) -> AutomationProject:
        """
        Raises:
            NotFoundError: the workspace has no such project.
        """
        for project in self.of_workspace(workspace):
            if project.name == name:
                return project
        raise NotFoundError(f"There is no project {name!r}.", "Check the folder `automations/` of the project.")

    async def _read(self, folder: Path) -> AutomationProject:
        project = await asyncio.to_thread(read_automation_project, folder)
        files = await asyncio.to_thread(project_files.files_of_automations, folder)
        digest = project_files.digest_of_files(files)
        # A running job is not touched by an edit: it calls the copy that was in force when it was asked for.
        if await self._files.get(f"automations/{digest}/.complete") is None:
            for path, data in files.items():
                await self._files.put(f"automations/{digest}/files/{path}", data)
            await self._files.put(f"automations/{digest}/.complete", b"")
        return replace(project, source=digest)


def _tell(problem: DefinitionError) -> None:
    log.error("definition refused", reason=problem.reason, instruction=problem.instruction, **problem.facts)
