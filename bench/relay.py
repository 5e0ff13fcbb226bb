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
SMALL = 100_000
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
# As a real tap does: some work for a record, then a write of its own for its line.
_FLUSHING_TAP = """
import json, os, sys
for line in open(sys.argv[1], "rb"): os.write(1, json.dumps(json.loads(line)).encode() + b"\\n")
"""
# As a real target does: each line is decoded.
_TARGET = """
import json, sys
for line in sys.stdin.buffer: json.loads(line)
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
        by_line = [sys.executable, "-c", _BY_LINE]
        fast = interleaved(
            {
                "bare": lambda: measured([["cat"], ["cat"]], source=source),
                "relay": lambda: measured([["cat"], relay, ["cat"]], source=source),
                "by_line": lambda: measured([["cat"], by_line, ["cat"]], source=source),
            }
        )
        small = flights.write(folder / "small.singer", SMALL)
        tap, target = [sys.executable, "-c", _FLUSHING_TAP, str(small)], [sys.executable, "-c", _TARGET]
        flushing = interleaved(
            {"bare": lambda: measured([tap, ["cat"]]), "relay": lambda: measured([tap, relay, ["cat"]])}, rounds=5
        )
        whole = interleaved(
            {"bare": lambda: measured([tap, target]), "relay": lambda: measured([tap, relay, target])}, rounds=5
        )
    return [
        _figure("relay between two cats", fast, "bare", "cat | cat"),
        _figure("relay between two cats", fast, "by_line", "asyncio readline, write, drain"),
        _figure("relay after a tap that flushes each line", flushing, "bare", "tap | cat", SMALL),
        _figure("relay in a whole job", whole, "bare", "tap | target", SMALL),
    ]


def _figure(
    name: str, times: dict[str, tuple[float, float]], against: str, yardstick: str, records: int = RECORDS
) -> dict[str, Any]:
    (wall, cpu), (other_wall, other_cpu) = times["relay"], times[against]
    return {
        "name": name,
        "value": round(records / wall / 1000),
        "unit": "krec/s",
        "ratio": round(wall / other_wall, 2),
        "yardstick": f"{yardstick}, wall",
        "note": f"CPU of all processes x {cpu / other_cpu:.2f}, interpreter start included",
    }
