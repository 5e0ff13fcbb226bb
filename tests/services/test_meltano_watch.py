"""
What tells a server that a Meltano project in a folder has changed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from house import House

from headrace.core.errors import DefinitionError
from headrace.services.meltano_projects import MeltanoProjects
from headrace.services.stored_projects import StoredProjects
from headrace.store.workspace_lives import WorkspaceLives


def projects_of(house: House, folder: Path) -> MeltanoProjects:
    return MeltanoProjects(
        StoredProjects(house.files), WorkspaceLives(house.database), folder=folder, first=lambda: house.workspace.name
    )


async def test_a_project_that_appears_and_each_change_of_it_is_seen(house: House, tmp_path: Path) -> None:
    """
    The project folder is looked at though nobody has asked for its project yet.
    """
    folder = tmp_path / "project"
    folder.mkdir()
    projects = projects_of(house, folder)
    seen = [projects.fingerprint()]
    for text in ("version: 1\n", "version: 1\nplugins: {}\n"):
        (folder / "meltano.yml").write_text(text)
        seen.append(projects.fingerprint())

    assert seen[0] == ""
    assert len({*seen, projects.fingerprint()}) == 3


async def test_a_folder_that_was_refused_is_seen_when_it_is_mended(house: House, tmp_path: Path) -> None:
    """
    Nothing could be read from it, and still its next change has it read again.
    """
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    big = folder / "big.sql"
    with big.open("wb") as file:
        file.truncate(65 * 2**20)  # one more than a job gets a copy of
    projects = projects_of(house, tmp_path / "project")
    with pytest.raises(DefinitionError):
        await projects.of(replace(house.workspace, definition={"settings": {"meltano": str(folder)}}))
    refused = projects.fingerprint()

    big.unlink()
    assert refused != projects.fingerprint()
