"""
Where the databases of tests stand: folders that a server's user may pass through, in memory where there is room.

Nobody gives back the memory that a killed run has left, so each folder bears the id of its process, and the next run removes those whose
process is gone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

MEMORY: Final = Path("/dev/shm")
DISK: Final = Path("/tmp")
ROOM_BYTES: Final = 2 * 2**30
PREFIX: Final = "headrace-test-"


def new_ground(*, in_memory: bool = True) -> Path:
    """
    Make a folder that `remove_grounds` removes. A container's memory folder is usually too small: it is on the disk then.
    """
    _sweep()
    place = MEMORY if in_memory and os.access(MEMORY, os.W_OK) else DISK
    if shutil.disk_usage(place).free < ROOM_BYTES:
        place = DISK
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=place))
    folder.chmod(0o711)
    return folder


def remove_grounds() -> None:
    """
    Remove what this process has made.
    """
    for folder in _grounds(str(os.getpid())):
        shutil.rmtree(folder)


@cache
def _sweep() -> None:
    for folder in _grounds("*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)  # the other process of this run may be at it too


def _grounds(pid: str) -> list[Path]:
    return [folder for place in (MEMORY, DISK) for folder in place.glob(f"{PREFIX}{pid}-*")]
