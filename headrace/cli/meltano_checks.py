"""
What `headrace doctor` finds in the Meltano projects of a project folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from headrace.core.definitions import Project
from headrace.core.errors import DefinitionError
from headrace.core.meltano import FILE
from headrace.services.meltano_projects import Snapshot
from headrace.services.project_definitions import definitions_of
from headrace.store.meltano_folder import files_of, read_folder


def meltano_folders(project: Project) -> Iterator[tuple[str, Path]]:
    """
    Yield each workspace that has a Meltano project in a folder, and the folder: the one that it names, or the first's own.
    """
    home = Path(project.folder)
    for number, workspace in enumerate(project.workspaces):
        named = workspace.settings.get("meltano")
        if isinstance(named, str) and named:
            yield workspace.name, home / named
        elif number == 0 and (home / FILE).is_file():
            yield workspace.name, home


def meltano_problems(folder: Path) -> list[DefinitionError]:
    """
    List what is wrong in a Meltano project.
    """
    if not (folder / FILE).is_file():
        return [
            DefinitionError(f"There is no {FILE} in {folder}.", "Correct the workspace's setting `meltano`.", file=FILE)
        ]
    try:
        files_of(folder)
    except DefinitionError as too_large:
        return [too_large]
    return list(definitions_of(Snapshot(folder=read_folder(folder)), UUID(int=0)).problems)
