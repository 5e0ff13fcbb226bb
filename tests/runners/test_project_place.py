"""
The path at which the jobs of one pipeline see their project.
"""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest

from headrace.runners.project_place import Owner, ProjectPlace, taken_places


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "places" / "daily"


def test_each_job_finds_an_empty_project_at_the_same_path_and_takes_it_along(folder: Path, tmp_path: Path) -> None:
    """
    Nothing stays at the place, and Meltano's own folder, which holds settings, goes nowhere.
    """
    seen = []
    for name in ("one", "two"):
        place = ProjectPlace(folder, Owner(uuid4(), 1))
        project = place.take()
        assert list(project.iterdir()) == []
        seen.append(project)
        (project / "out.txt").write_text(name)
        (project / ".meltano" / "run").mkdir(parents=True)
        (tmp_path / name).mkdir()
        (tmp_path / name / "of-an-earlier-attempt").touch()
        place.leave(tmp_path / name)

        assert [file.name for file in (tmp_path / name).iterdir()] == ["out.txt"]
        assert (tmp_path / name / "out.txt").read_text() == name
        assert not folder.exists()

    assert seen[0] == seen[1]


def test_a_take_over_shares_nothing_with_the_attempt_before(folder: Path, tmp_path: Path) -> None:
    """
    What still writes into the old copy by names relative to it does not reach the new one; what slept leaves the new one alone.
    """
    job_id = uuid4()
    slept, now = ProjectPlace(folder, Owner(job_id, 1)), ProjectPlace(folder, Owner(job_id, 2))
    old = os.open(slept.take(), os.O_RDONLY | os.O_DIRECTORY)
    project = now.take()
    (project / "mine").touch()

    with pytest.raises(FileNotFoundError):  # its folder is gone, as if it had been ended
        os.open("late", os.O_CREAT | os.O_WRONLY, dir_fd=old)
    os.close(old)
    slept.leave(tmp_path / "slept")

    assert [file.name for file in project.iterdir()] == ["mine"]
    assert not (tmp_path / "slept").exists()
    now.leave(tmp_path / "now")
    assert (tmp_path / "now" / "mine").exists()


def test_only_whose_a_place_is_leaves_it(folder: Path, tmp_path: Path) -> None:
    """
    Whoever leaves in a dead owner's name may find that another has come between the look and the broom.
    """
    dead, next_one = Owner(uuid4(), 1), Owner(uuid4(), 1)
    ProjectPlace(folder, dead).take()
    (folder.parent / "no-place").mkdir()
    (folder.parent / "strange").mkdir()
    (folder.parent / "strange" / "owner").write_text("somebody")

    assert taken_places(folder.parent) == {folder: dead}
    project = ProjectPlace(folder, next_one).take()
    ProjectPlace(folder, dead).leave(tmp_path / "late")
    assert project.is_dir()
    assert not (tmp_path / "late").exists()
    ProjectPlace(folder, next_one).leave(None)
    assert not folder.exists()
    assert taken_places(folder.parent / "nowhere") == {}
