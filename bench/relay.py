"""
The relay between two `cat`s, against the bare pipe and against a line-by-line asyncio relay, in the same run, interleaved.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import flights
from bench.sync_output import interleaved, measured

RECORDS = 500_000
_BY_LINE = """
import asyncio, sys
async def main():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=50 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
asyncio.run(main())
"""
_FLUSHING_TAP = """
import os, sys
for line in open(sys.argv[1], "rb"): os.write(1, line)
"""


def run() -> list[dict[str, Any]]:
    """
    The figures of the streaming pipe.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = flights.write(folder / "flights.singer", RECORDS)
        spec = folder / "relay.json"
        spec.write_text("{}")
        relay = [sys.executable, "-m", "headrace.runners.relay", str(spec)]
        tap = [sys.executable, "-c", _FLUSHING_TAP, str(source)]
        by_line = [sys.executable, "-c", _BY_LINE]
        fast = interleaved(
            {
                "bare": lambda: measured([["cat"], ["cat"]], source=source),
                "relay": lambda: measured([["cat"], relay, ["cat"]], source=source),
                "by_line": lambda: measured([["cat"], by_line, ["cat"]], source=source),
            }
        )
        flushing = interleaved(
            {"bare": lambda: measured([tap, ["cat"]]), "relay": lambda: measured([tap, relay, ["cat"]])}
        )
    return [
        _figure("relay between two cats", fast, "bare", "cat | cat"),
        _figure("relay between two cats", fast, "by_line", "asyncio readline, write, drain"),
        _figure("relay after a tap that flushes each line", flushing, "bare", "tap | cat"),
    ]


def _figure(name: str, times: dict[str, tuple[float, float]], against: str, yardstick: str) -> dict[str, Any]:
    (wall, cpu), (other_wall, other_cpu) = times["relay"], times[against]
    return {
        "name": name,
        "value": round(RECORDS / wall / 1000),
        "unit": "krec/s",
        "ratio": round(wall / other_wall, 2),
        "yardstick": f"{yardstick}, wall",
        "note": f"CPU of all processes x {cpu / other_cpu:.2f}, interpreter start included",
    }
