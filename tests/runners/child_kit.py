"""
Real children for the tests of this folder, and ways to wait for them that need no sleep.
"""

import asyncio
import contextlib
import json
import os
import re
import select
import sys
from collections.abc import Iterator
from pathlib import Path

from headrace.runners.logs import JobLog, LogLine
from headrace.runners.process import Child, Command, child_environment
from headrace.runners.redaction import Redactor

FAKES = Path(__file__).parent.parent / "fakes"
DEADLINE_SECONDS = 60.0


def environment(folder: Path) -> dict[str, str]:
    return child_environment(os.environ, home=folder, tmp=folder)


def command(name: str, *argv: str, cwd: Path, **more: object) -> Command:
    return Command(name, argv, cwd, environment(cwd), **more)


def python(name: str, code: str, *, cwd: Path, **more: object) -> Command:
    return command(name, sys.executable, "-I", "-c", code, cwd=cwd, **more)


def fake(
    script: str, mode: str = "", *, cwd: Path, name: str = "tap", config: dict | None = None, **more: object
) -> Command:
    options: tuple[str, ...] = ()
    if config is not None:
        (cwd / f"{name}.config.json").write_text(json.dumps(config))
        options = ("--config", f"{name}.config.json")
    return command(name, sys.executable, "-I", str(FAKES / script), *options, *mode.split(), cwd=cwd, **more)


async def read_all(child: Child, stream: str = "stdout") -> str:
    return await asyncio.to_thread(read_and_close, child.take_pipe(stream))


def read_and_close(fd: int) -> str:
    with os.fdopen(fd) as pipe:
        return pipe.read()


async def first_line(child: Child, stream: str = "stderr") -> str:
    """
    Wait for the first line; the pipe stays open until the step ends.
    """
    fd = child._pipes[stream]

    def read() -> str:
        line = b""
        while not line.endswith(b"\n"):
            assert select.select([fd], [], [], DEADLINE_SECONDS)[0], "no line in time"
            piece = os.read(fd, 1)
            assert piece, "the pipe ended"
            line += piece
        return line.decode().strip()

    return await asyncio.to_thread(read)


async def pid_told_by(child: Child) -> int:
    return int(re.fullmatch(r"pid (\d+)", await first_line(child))[1])


@contextlib.contextmanager
def watch(*pids: int) -> Iterator[list[int]]:
    """
    Give a handle of each process, which cannot be mistaken for a later one of the same number.
    """
    handles = [os.pidfd_open(pid) for pid in pids]
    try:
        yield handles
    finally:
        for handle in handles:
            os.close(handle)


async def all_gone(handles: list[int], seconds: float = DEADLINE_SECONDS) -> bool:
    def wait() -> bool:
        return all(select.select([handle], [], [], seconds)[0] for handle in handles)

    return await asyncio.to_thread(wait)


def is_running(handle: int) -> bool:
    return not select.select([handle], [], [], 0)[0]


def open_fds() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class KeptLog:
    """
    A sink that keeps what it gets, and can refuse or wait.
    """

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.batches: list[int] = []
        self.refusals = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def __call__(self, lines: list[LogLine]) -> None:
        await self.may_go_on.wait()
        if self.refusals:
            self.refusals -= 1
            raise OSError("the store is away")
        self.batches.append(len(lines))
        self.lines += lines

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]


def job_log(sink: KeptLog, *secrets: str, **more: object) -> JobLog:
    return JobLog(sink, Redactor(secrets), **more)
