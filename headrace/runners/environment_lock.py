"""
The lock of one environment's folder: shared to hand it out, exclusive to build or remove it, between threads, processes and crashes.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

_POLL_SECONDS = 0.1


@contextlib.contextmanager
def open_lock(path: Path) -> Iterator[int]:
    """
    Open the lock file beside the folder *path*; what was locked through it is free again at the end.

    The file itself stays: removing a lock file that somebody waits on would give two of them the same lock.
    """
    lock = os.open(path.parent / f".{path.name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield lock
    finally:
        os.close(lock)


def try_shared(lock: int) -> bool:
    return _try(lock, fcntl.LOCK_SH)


def try_exclusive(lock: int) -> bool:
    return _try(lock, fcntl.LOCK_EX)


async def wait_exclusive(lock: int, on_wait: Callable[[], None]) -> None:
    """
    Wait until the lock is ours alone; *on_wait* is called once if that does not come at once.

    Polled, because a thread blocked in `flock` could not be called back when the job is cancelled.
    """
    if try_exclusive(lock):
        return
    on_wait()
    while not try_exclusive(lock):  # noqa: ASYNC110 - another process holds it; there is no event to wait on
        await asyncio.sleep(_POLL_SECONDS)


def _try(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
