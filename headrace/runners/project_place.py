"""
The path at which every job of one pipeline sees its Meltano project, on whatever machine with the same home it runs.

Taps note absolute paths of what they have read in their state, and Meltano hashes them into the key of a catalog. Under a path that each
job has for itself a file would be a new one every time, and its records would come again. A link would not do: who asks the kernel where
he works is told its target. So the copy stands here while the job runs, and moves into the job's folder at its end.

    {home}/meltano/{pipeline}/project    the copy
    {home}/meltano/{pipeline}/owner      the job and attempt whose it is

A place has one owner at a time: the pipeline's exclusivity key sees to that. Who comes next takes it whatever is there, for the one before
is dead or fenced; who only slept finds another's name, and leaves the place alone. `{home}/meltano.lock` makes a look and what follows one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
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
        with _held(self._folder.parent):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            (self._folder / _OWNER).write_text(str(self._owner), "utf-8")
            with contextlib.suppress(FileNotFoundError):
                self.project.rename(self._folder / f"left-to-{self._owner}")
            self.project.mkdir()
        self._remove_left()
        return self.project

    def leave(self, to: Path | None) -> None:
        """
        Move the project to *to*, in place of what is there, without Meltano's own folder; None throws it away.

        Nothing happens when the place is another's.
        """
        left = self._folder / f"left-by-{self._owner}"
        with _held(self._folder.parent):
            if owner_of(self._folder) != self._owner:
                return
            with contextlib.suppress(FileNotFoundError):
                self.project.rename(left)
        if left.exists() and to is not None:
            to.parent.mkdir(parents=True, exist_ok=True)
            ProjectFolder(left).forget_system_folder()
            shutil.rmtree(to, ignore_errors=True)
            shutil.move(left, to)
        with _held(self._folder.parent):
            if owner_of(self._folder) == self._owner:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _remove_left(self) -> None:
        for left in self._folder.glob("left-*"):
            shutil.rmtree(left, ignore_errors=True)


def taken_places(folder: Path) -> dict[Path, Owner]:
    """
    Find the places below *folder* that somebody has taken and not left.
    """
    found = {file.parent: owner_of(file.parent) for file in folder.glob(f"*/{_OWNER}")}
    return {place: owner for place, owner in found.items() if owner is not None}


def owner_of(folder: Path) -> Owner | None:
    """
    Read whose a place is; None for nobody's.
    """
    try:
        job_id, _, token = (folder / _OWNER).read_text("utf-8").partition(".")
        return Owner(UUID(job_id), int(token))
    except (FileNotFoundError, ValueError):
        return None


@contextlib.contextmanager
def _held(places: Path) -> Iterator[None]:
    """
    Keep others, on other machines too, from taking or leaving a place meanwhile; it is held for a few renames.
    """
    places.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(places.with_name(f"{places.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
