"""
The path under which many taps and targets look for their job: `/home/hotglue/{JOB_ID}`.

It stands in their source code, so it is offered as a link to the job's folder where this server may write there. Where it may not,
`hg_sync_output` in the tap's settings and `SNAPSHOT_DIR` say the same to those that ask.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

HOME = Path("/home/hotglue")
_PARTS_OF_A_JOB = 4  # year, month, day and id


def links_into(folder: Path, *, home: Path = HOME, names: str = "*") -> dict[Path, UUID]:
    """
    Find the links in *home* that lead into folders of jobs below *folder*, each with the job's id; those of other servers are not ours to judge.
    """
    found: dict[Path, UUID] = {}
    with contextlib.suppress(OSError):
        for link in home.glob(names):
            if link.is_symlink() and link.readlink().is_relative_to(folder.absolute()):
                with contextlib.suppress(ValueError, IndexError):
                    found[link] = UUID(link.readlink().relative_to(folder.absolute()).parts[_PARTS_OF_A_JOB - 1])
    return found


class HomeLink:
    """
    The link of one job, for the length of a block; nothing where it is not permitted or another job has the name.
    """

    def __init__(self, job_id: str, folder: Path, *, home: Path = HOME) -> None:
        self._link = home / job_id if job_id and "/" not in job_id and job_id not in (".", "..") else None
        self._folder = folder.absolute()
        self._made = False

    def __enter__(self) -> Self:
        if self._link is not None:
            with contextlib.suppress(OSError):
                if os.access(self._link.parent.parent, os.W_OK) or self._link.parent.is_dir():
                    self._link.parent.mkdir(exist_ok=True)
                    self._remove_own()
                    self._link.symlink_to(self._folder)
                    self._made = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._made:
            with contextlib.suppress(OSError):
                self._remove_own()

    def _remove_own(self) -> None:
        """
        Remove the link if it leads to this job's folder: one that an attempt which died left, or ours.
        """
        if self._link is not None and self._link.is_symlink() and self._link.readlink() == self._folder:
            self._link.unlink()
