"""
What items of a batch cost through the whole engine: claimed, run in a process of their own, settled.

The yardstick of functions is a bare loop that forks as many processes, as many at a time, each of which imports nothing and ends; that of
pages is the functions. How busy the machine was is told beside: on a shared machine, seconds say little, and what an item costs in CPU says most.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from bench.fan_out import SLOTS, FanOutBench, Figure, on_a_server
from headrace.engine.item_executor import ItemExecutor
from headrace.runners.automation import AutomationRunner
from headrace.runners.environments import Environments
from headrace.runners.process import ShimPool

CALLS, PAGES = 10_000, 500
_LOOK_SECONDS = 1.0  # to sum up the memory of all calls costs as much as some of them
_PROJECT = {
    "functions": {"api/item.py": "async def automation(params):\n    return None\n"},
    "pages": {
        "api/item.py": "async def automation(page, params):\n    return await page.title()\n",
        "requirements.txt": "playwright\n",
    },
}


def run(calls: int = CALLS, pages: int = PAGES) -> list[Figure]:
    """
    Measure on a durable server of its own; takes some minutes, and installs Playwright.
    """

    async def measure(bench: FanOutBench) -> list[Figure]:
        forks = await asyncio.to_thread(_forked_per_second, calls)
        functions = await _items(bench, "functions", calls)
        found = [*functions.figures(f"{calls:,} functions that do nothing", forks, "forked processes")]
        found += (await _items(bench, "pages", pages)).figures(
            f"{pages:,} pages that do nothing", functions.rate, "functions"
        )
        return found

    return on_a_server(measure)


class _Measured:
    def __init__(self, count: int, seconds: float, cpu_seconds: float, idle: float, pss_bytes: int) -> None:
        self.rate = count / seconds
        self._each_seconds, self._idle, self._pss_bytes = cpu_seconds / count, idle, pss_bytes

    def figures(self, name: str, yardstick: float, of: str) -> list[Figure]:
        plain = {"ratio": None, "yardstick": None, "note": ""}
        return [
            {
                "name": name, "value": round(self.rate, 1), "unit": "items/s", "ratio": round(self.rate / yardstick, 3),
                "yardstick": f"{yardstick:,.0f} {of}/s", "note": f"{SLOTS} at once",
            },
            {"name": "  CPU of worker and calls", "value": round(self._each_seconds, 3), "unit": "s/item", **plain},
            {"name": "  share of the machine that was idle", "value": round(self._idle * 100, 1), "unit": "%", **plain},
            {"name": "  memory (PSS) of worker and calls", "value": round(self._pss_bytes / 2**20), "unit": "MiB", **plain},
        ]  # fmt: skip


async def _items(bench: FanOutBench, kind: str, count: int) -> _Measured:
    workspace = await bench.workspaces.declare(uuid4(), kind, {})
    project = bench.folder / kind / "automations" / "demo"
    for path, text in _PROJECT[kind].items():
        file = project / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    await _in_a_pool(bench, kind, SLOTS, workspace.id)  # builds the environment
    cpu_seconds, busy = _cpu_seconds(), _cpu_ticks()
    peak, seconds, late = await _in_a_pool(bench, kind, count, workspace.id)
    # Of the children that have ended, so with their start and end: all of them have, for the pool is closed.
    return _Measured(count, seconds, _cpu_seconds() - cpu_seconds, _idle_share(busy, late), peak)


async def _in_a_pool(bench: FanOutBench, kind: str, count: int, workspace_id: UUID) -> tuple[int, float, list[int]]:
    async with ShimPool(warm=2, spare=SLOTS) as pool:
        runner = AutomationRunner(Environments(bench.folder / "environments"), bench.files)
        executor = ItemExecutor(
            pool, bench.files, bench.logs, runner, project=bench.folder / kind, clock=lambda: datetime.now(UTC)
        )
        async with bench.working(executor):
            began = time.perf_counter()
            peak = await _ran(bench, workspace_id, count, look=_pss_bytes)
            return peak, time.perf_counter() - began, _cpu_ticks()


def _cpu_seconds() -> float:
    """
    Sum what this process has used, and its children that have ended.
    """
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


async def _ran(bench: FanOutBench, workspace_id: UUID, count: int, *, look: Callable[[], int] = lambda: 0) -> int:
    """
    Run a job of so many items to its end; gives the largest of what *look* saw on the way.
    """
    job = await bench.submit(workspace_id, count, name="item")
    largest = 0
    while not (record := await bench.jobs.get(job.id, workspace_id=None)).final:
        largest = max(largest, await asyncio.to_thread(look))
        await asyncio.sleep(_LOOK_SECONDS)
    if record.items is None or record.items.completed != count:
        raise RuntimeError(f"not all items completed: {record.items}")
    return largest


def _forked_per_second(count: int) -> float:
    began = time.perf_counter()
    left, living = count, 0
    while left or living:
        if left and living < SLOTS:
            if os.fork() == 0:
                os._exit(0)
            left, living = left - 1, living + 1
        else:
            os.wait()
            living -= 1
    return count / (time.perf_counter() - began)


def _cpu_ticks() -> list[int]:
    return [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]


def _idle_share(before: list[int], after: list[int]) -> float:
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return (spent[3] + spent[4]) / max(1, sum(spent))


def _pss_bytes() -> int:
    """
    Sum the proportional set sizes of this process and all below it.
    """
    total, todo = 0, [os.getpid()]
    while todo:
        folder = Path("/proc", str(todo.pop()))
        try:
            todo += [
                int(pid) for task in (folder / "task").iterdir() for pid in (task / "children").read_text().split()
            ]
            rollup = (folder / "smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        total += sum(int(line.split()[1]) << 10 for line in rollup if line.startswith("Pss:"))
    return total


if __name__ == "__main__":
    for each in run():
        print(each)
