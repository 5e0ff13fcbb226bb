"""
When each file of a workspace's project came to be as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from headrace.services.project_times import ProjectTimes
from headrace.store.files import FileStore

SECOND_NS = 10**9
LONG_AGO_NS = 1_000_000_000 * SECOND_NS


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Write a folder anew, as a clone or an image does; gives it."""

    def write(**files: tuple[str, int]) -> Path:
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        for file in folder.iterdir():
            file.unlink()
        for name, (text, written_ns) in files.items():
            (folder / name).write_text(text)
            os.utime(folder / name, ns=(written_ns, written_ns))
        return folder

    return write


async def test_a_file_keeps_its_time_while_it_stays_the_same(tmp_path: Path, project: Callable[..., Path]) -> None:
    """
    Whatever time it has when it is written anew; what is other than before is newer than before, whatever time it was given.
    """
    times, workspace = ProjectTimes(FileStore(str(tmp_path / "files"), scratch=tmp_path / "scratch")), uuid4()

    async def seen(**files: tuple[str, int]) -> dict[str, int]:
        folder = project(**files)
        await times.note(workspace, folder, {name: text.encode() for name, (text, _) in files.items()})
        copy = project(**{name: (text, 5 * SECOND_NS) for name, (text, _) in files.items()})
        await times.give(workspace, copy)
        return {file.name: file.stat().st_mtime_ns for file in copy.iterdir()}

    first = await seen(a=("1", LONG_AGO_NS), b=("1", LONG_AGO_NS))
    assert first == {"a": LONG_AGO_NS, "b": LONG_AGO_NS}
    assert await seen(a=("1", LONG_AGO_NS + SECOND_NS), b=("1", 2 * LONG_AGO_NS)) == first

    second = await seen(a=("1", 0), b=("2", LONG_AGO_NS - SECOND_NS), c=("1", LONG_AGO_NS))
    assert second["a"] == LONG_AGO_NS
    assert min(second["b"], second["c"]) > LONG_AGO_NS
    back = await seen(a=("1", 0), b=("1", LONG_AGO_NS))
    assert back["a"] == LONG_AGO_NS
    assert back["b"] > second["b"]


async def test_another_workspace_has_times_of_its_own(tmp_path: Path, project: Callable[..., Path]) -> None:
    """
    Also for the same files; a copy of an older project keeps what it has where the newest holds something else.
    """
    times = ProjectTimes(FileStore(str(tmp_path / "files"), scratch=tmp_path / "scratch"))
    one, other = uuid4(), uuid4()
    for workspace, written_ns in ((one, LONG_AGO_NS), (other, 2 * LONG_AGO_NS)):
        await times.note(workspace, project(a=("1", written_ns)), {"a": b"1"})

    copy = project(a=("1", 5 * SECOND_NS), gone=("1", 5 * SECOND_NS))
    await times.give(other, copy)
    assert (copy / "a").stat().st_mtime_ns == 2 * LONG_AGO_NS
    older = project(a=("0", 5 * SECOND_NS))
    await times.give(one, older)
    assert (older / "a").stat().st_mtime_ns == 5 * SECOND_NS
