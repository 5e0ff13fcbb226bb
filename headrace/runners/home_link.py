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

HOME = Path("/home/hotglue")


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
