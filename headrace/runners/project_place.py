"""
The path at which every job of one pipeline sees its Meltano project, on whatever machine with the same home it runs.

Taps note absolute paths of what they have read in their state, and Meltano hashes them into the key of a catalog. Under a path that each
job has for itself a file would be a new one every time, and its records would come again. A link would not do: who asks the kernel where
he works is told its target. So the copy stands here while the job runs, and moves into the job's folder at its end.

    {home}/meltano/{pipeline}/project    the copy
    {home}/meltano/{pipeline}/owner      the job and attempt whose it is

A place has one owner at a time: the pipeline's exclusivity key sees to that. Who comes next takes it whatever is there, for the one before
is dead or fenced; who only slept finds another's name, and leaves the place alone.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from headrace.runners.meltano import ProjectFolder

_OWNER = "owner"


@dataclass(frozen=True, slots=True)
class Owner:
    """
    An attempt of a job; *token* is its fencing token.
    """

    job_id: UUID
    token: int

    def __str__(self) -> str:
        return f"{self.job_id}.{self.token}"


class ProjectPlace:
    """
    The place of one pipeline, as one attempt uses it.
    """

    def __init__(self, folder: Path, owner: Owner) -> None:
        self._folder = folder
        self._owner = owner
        self.project = folder / "project"

    def take(self) -> Path:
        """
        Make the place this attempt's, with an empty project folder; gives that.

        A child of the attempt before that is still dying goes on in the folder it knows, never in the new one.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._folder / _OWNER).write_text(str(self._owner), "utf-8")
        with contextlib.suppress(FileNotFoundError):
            self.project.rename(self._folder / f"left-to-{self._owner}")
        self._remove_left()
        self.project.mkdir()
        return self.project

    def leave(self, to: Path) -> None:
        """
        Move the project to *to*, in place of what is there, without Meltano's own folder; nothing when the place is another's.
        """
        if _owner_in(self._folder) != str(self._owner):
            return
        ProjectFolder(self.project).forget_system_folder()
        shutil.rmtree(to, ignore_errors=True)
        shutil.move(self.project, to)
        self._remove_left()
        (self._folder / _OWNER).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the next one is here already
            self._folder.rmdir()

    def _remove_left(self) -> None:
        for left in self._folder.glob("left-to-*"):
            shutil.rmtree(left, ignore_errors=True)


def taken_places(folder: Path) -> dict[Path, UUID]:
    """
    Find the places below *folder* that somebody has taken and not left, each with its job's id.
    """
    found: dict[Path, UUID] = {}
    for file in folder.glob(f"*/{_OWNER}"):
        with contextlib.suppress(ValueError):
            found[file.parent] = UUID(_owner_in(file.parent).partition(".")[0])
    return found


def clear_place(folder: Path, job_id: UUID) -> None:
    """
    Remove what a job has left in a place, unless somebody has taken it since.
    """
    if _owner_in(folder).partition(".")[0] == str(job_id):
        shutil.rmtree(folder, ignore_errors=True)


def _owner_in(folder: Path) -> str:
    try:
        return (folder / _OWNER).read_text("utf-8")
    except FileNotFoundError:
        return ""
