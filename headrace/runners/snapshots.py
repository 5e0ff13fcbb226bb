"""
A tenant's kept files, on their way into a job's folder and back.

Jobs of one tenant may run side by side, so a job gives back only what it has changed: file by file, each replaced whole. Of two
jobs that change one file, the later one's is kept. Half-written files (gluestick writes under a name ending in `PARTIAL_SUFFIX`
first) and links are never carried over.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from headrace.runners.job_root import PARTIAL_SUFFIX, JobRoot, read_json, write_json

# Size in bytes and modification time in nanoseconds, as JSON keeps a pair.
Stamp = list[int]


def bring_snapshots(kept: Path, root: JobRoot, *, remember: bool = False) -> None:
    """
    Put the kept files into the job's folder in place of what is there, and note what they were.

    With *remember* the files themselves stay known, whatever the job or later ones make of them: a kept file is replaced whole, so
    a second name for it costs nothing.
    """
    for folder in (root.snapshots, root.kept_before):
        shutil.rmtree(folder, ignore_errors=True)
    root.snapshots.mkdir()
    for name in _files(kept):
        with suppress(FileNotFoundError):  # it was removed since it was listed
            _copy(kept / name, root.snapshots / name)
            if remember:
                _link(kept / name, root.kept_before / name)
    write_json(root.given_snapshots, _stamps(root.snapshots))


def give_back_snapshots(root: JobRoot, kept: Path) -> None:
    """
    Keep what the job has changed, and remove what it has deleted unless another job has written that since.
    """
    given: Mapping[str, Stamp] = read_json(root.given_snapshots) or {}
    now = _stamps(root.snapshots)
    for name, stamp in now.items():
        if given.get(name) != stamp:
            _replace(root.snapshots / name, kept / name)
    for name in given.keys() - now.keys():
        if _stamp(kept / name) == given[name]:
            (kept / name).unlink()


def forget_unchanged(root: JobRoot) -> None:
    """
    Forget those files of before the job that it has not changed: they stand in its snapshots.
    """
    given: Mapping[str, Stamp] = read_json(root.given_snapshots) or {}
    for name in list(_files(root.kept_before)):
        if name in given and _stamp(root.snapshots / name) == given[name]:
            (root.kept_before / name).unlink()


def _files(folder: Path) -> Iterator[str]:
    """
    Name the files below *folder* that are carried over; half-written ones are removed.
    """
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if name.endswith(PARTIAL_SUFFIX):
                path.unlink(missing_ok=True)
            elif path.is_file() and not path.is_symlink():
                yield str(path.relative_to(folder))


def _stamps(folder: Path) -> dict[str, Stamp]:
    return {name: stamp for name in _files(folder) if name != "tenant-config.json" and (stamp := _stamp(folder / name))}


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return [found.st_size, found.st_mtime_ns]


def _link(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, to)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, to)


def _copy(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, to)


def _replace(source: Path, to: Path) -> None:
    """
    Replace a kept file whole and for good; a reader sees the old one or the new one.
    """
    partial = to.with_name(f".{to.name}{PARTIAL_SUFFIX}")
    _copy(source, partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(to)
