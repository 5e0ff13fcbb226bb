"""
Pipes on the event loop that the server uses.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from textwrap import dedent

from headrace.runners.pipe_ends import read_end, write_end

MANY_PIPES = """
    import asyncio, os, threading, uvloop
    from headrace.runners.pipe_ends import read_end, write_end

    over = threading.Event()
    lost = []

    def read_folders():
        while not over.is_set():
            try:
                os.listdir("/")
            except OSError as error:
                lost.append(error)

    async def main():
        for _ in range(2000):
            reading, writing = os.pipe()
            hearing, _ = await read_end(reading, asyncio.BaseProtocol)
            telling, _ = await write_end(writing, asyncio.BaseProtocol)
            hearing.close()
            telling.close()
            await asyncio.sleep(0)

    threads = [threading.Thread(target=read_folders) for _ in range(3)]
    for thread in threads:
        thread.start()
    uvloop.run(main())
    over.set()
    for thread in threads:
        thread.join()
    print(len(lost), len(os.listdir("/proc/self/fd")) < 20)
"""


def test_no_pipe_takes_the_descriptor_of_another_thread() -> None:
    """
    Closing two thousand pairs costs a thread that reads folders none of its own, and leaves none open. With files that close themselves
    the process aborts.
    """
    ran = subprocess.run(
        [sys.executable, "-c", dedent(MANY_PIPES)], capture_output=True, text=True, timeout=120, check=False
    )

    assert (ran.returncode, ran.stdout.split()) == (0, ["0", "True"]), ran.stderr


async def test_both_ends_are_closed_with_their_transports() -> None:
    """
    On the loop of the standard library they are closed once, too: what was written arrives, then the end.
    """
    reading, writing = os.pipe()
    reader = asyncio.StreamReader()
    hearing, _ = await read_end(reading, lambda: asyncio.StreamReaderProtocol(reader))
    telling, _ = await write_end(writing, asyncio.BaseProtocol)

    telling.write(b"word\n")
    telling.close()
    assert await reader.read() == b"word\n"
    hearing.close()
    await asyncio.sleep(0)

    for descriptor in (reading, writing):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        raise AssertionError(f"{descriptor} is open")
