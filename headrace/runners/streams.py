"""
The standard streams of a child, opened as its command asks.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import Literal

from headrace.runners.command import DEVNULL, Command

Stream = Literal["stdin", "stdout", "stderr"]
PIPE_BYTES = (
    1 << 20,
    1 << 18,
)  # a tap that flushes each record then wakes its reader seldom; the second is what a poor system grants


def open_streams(command: Command, pipes: dict[Stream, int], given: contextlib.ExitStack) -> dict[int, int]:
    """
    Open what *command* asks for: the child's numbers and our descriptors for them; our ends of new pipes go to *pipes*.

    What was opened only to be given away is closed by *given*.
    """
    wanted: dict[Stream, int | str] = {"stdin": command.stdin, "stdout": command.stdout, "stderr": command.stderr}
    fds: dict[int, int] = {}
    for number, (stream, source) in enumerate(wanted.items()):
        if source == "stdout":
            fds[number] = fds[1]
        elif source == "pipe":
            ours, fds[number] = open_pipe(stream)
            pipes[stream] = ours
            given.callback(os.close, fds[number])
        elif source == DEVNULL:
            fds[number] = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            given.callback(os.close, fds[number])
        else:
            fds[number] = int(source)
    return fds | dict(command.pass_fds)


def open_pipe(stream: Stream) -> tuple[int, int]:
    """
    Open a pipe for *stream*: (our end, the child's end); large, but for stderr, which is read for people.
    """
    readable, writable = os.pipe()
    if stream != "stderr" and hasattr(fcntl, "F_SETPIPE_SZ"):
        for size_bytes in PIPE_BYTES:
            try:
                fcntl.fcntl(readable, fcntl.F_SETPIPE_SZ, size_bytes)
                break
            except OSError:  # over /proc/sys/fs/pipe-max-size or the user's share
                continue
    return (writable, readable) if stream == "stdin" else (readable, writable)


def close_pipes(pipes: dict[Stream, int]) -> None:
    while pipes:
        os.close(pipes.popitem()[1])
