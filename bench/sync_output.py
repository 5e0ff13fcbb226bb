"""
Singer to Parquet: 100,000 and 1,000,000 made-up flights, against json.loads and `Table.from_pylist` in the same run, interleaved.

Quote the ratios: the seconds are the machine's.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import flights

ROUNDS = 3
_YARDSTICK = """
import json, sys, pyarrow as pa, pyarrow.parquet as pq
rows, writer = [], None
def flush():
    global writer
    table = pa.Table.from_pylist(rows)
    writer = writer or pq.ParquetWriter(sys.argv[1], table.schema, compression="zstd", compression_level=1)
    writer.write_table(table.cast(writer.schema)); rows.clear()
for line in sys.stdin.buffer:
    message = json.loads(line)
    if message["type"] == "RECORD": rows.append(message["record"])
    if len(rows) == 10_000: flush()
if rows: flush()
writer.close()
"""


def measured(commands: list[list[str]], *, source: Path | None = None) -> tuple[float, float]:
    """
    Wall and CPU seconds of a pipeline; the first command reads *source*.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started_at = time.perf_counter()
    children: list[subprocess.Popen[bytes]] = []
    stdin: Any = source.open("rb") if source else None
    for command in commands:
        is_last = command is commands[-1]
        child = subprocess.Popen(command, stdin=stdin, stdout=subprocess.DEVNULL if is_last else subprocess.PIPE)
        if stdin is not None:
            stdin.close()
        stdin = child.stdout
        children.append(child)
    codes = [child.wait() for child in children]
    assert codes == [0] * len(codes), codes
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started_at, cpu


def interleaved(
    runs: dict[str, Callable[[], tuple[float, float]]], rounds: int = ROUNDS
) -> dict[str, tuple[float, float]]:
    """
    Median wall and CPU seconds of each, taken turn by turn so that all see the same machine.
    """
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, once in runs.items():
            seen[name].append(once())
    return {
        name: (statistics.median(wall for wall, _ in times), statistics.median(cpu for _, cpu in times))
        for name, times in seen.items()
    }


def sync_command(folder: Path, file_format: str) -> list[str]:
    spec = {"output_dir": str(folder / "out"), "work_dir": str(folder / "work"), "timestamp": "20260101T000000"}
    path = folder / f"{file_format}.json"
    path.write_text(json.dumps({**spec, "format": file_format}))
    return [sys.executable, "-m", "headrace.runners.sync_output", str(path)]


def peak_bytes(command: list[str], source: Path) -> int:
    """
    The largest resident size of one command.
    """
    with source.open("rb") as stdin:
        child = subprocess.Popen(command, stdin=stdin)
        _, _, usage = os.wait4(child.pid, 0)
        child.returncode = 0
    return usage.ru_maxrss << 10


def run() -> list[dict[str, Any]]:
    """
    The figures of this part of the data plane.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = flights.write(folder / "small.singer", 100_000)
        large = flights.write(folder / "large.singer", 1_000_000)
        parquet, csv = sync_command(folder, "parquet"), sync_command(folder, "csv")
        naive = [sys.executable, "-c", _YARDSTICK, str(folder / "naive.parquet")]
        runs = {
            "parquet": lambda: measured([parquet], source=small),
            "csv": lambda: measured([csv], source=small),
            "naive": lambda: measured([naive], source=small),
        }
        small_times = interleaved(runs)
        large_times = interleaved(
            {"parquet": lambda: measured([parquet], source=large), "naive": lambda: measured([naive], source=large)},
            rounds=1,
        )
        peak = peak_bytes(parquet, large)
    return [
        _figure("Singer to Parquet, 100k records, start included", 100_000, small_times, "parquet"),
        _figure("Singer to CSV, 100k records, start included", 100_000, small_times, "csv"),
        _figure("Singer to Parquet, 1M records, start included", 1_000_000, large_times, "parquet"),
        {
            "name": "Singer to Parquet, 1M records, peak resident memory",
            "value": round(peak / 1e6),
            "unit": "MB",
            "ratio": None,
            "yardstick": "200 MB",
            "note": "",
        },
    ]


def _figure(name: str, records: int, times: dict[str, tuple[float, float]], ours: str) -> dict[str, Any]:
    wall, cpu = times[ours]
    naive_wall, naive_cpu = times["naive"]
    return {
        "name": name,
        "value": round(records / wall / 1000),
        "unit": "krec/s",
        "ratio": round(naive_wall / wall, 2),
        "yardstick": "json.loads + Table.from_pylist, wall",
        "note": f"CPU ratio {naive_cpu / cpu:.2f}, {records / cpu / 1000:.0f} krec/CPU-s",
    }
