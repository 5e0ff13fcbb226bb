"""
How runs of a real Meltano end when their tap fails, hangs, or loses its Meltano; the environments are those of test_matatika_meltano.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from matatika_mill import Mill
from matatika_rows import row
from meltano_kit import write_project

from headrace.core.plan import Limits

PAIR = ["tap-moody", "target-jsonl"]


class _TooSoonError(Exception):
    """
    The job has ended before its tap slept.
    """


async def _pipeline(mill: Mill, mode: str, *, name: str = "", **fields: Any) -> str:
    write_project(mill.project, script="moody")
    mill.runs._limits = Limits(grace_seconds=30)  # Meltano ends when asked to, on a busy machine late
    return await mill.pipeline(name or mode, dataComponents=PAIR, properties={"tap-moody.mode": mode}, **fields)


@asynccontextmanager
async def _asleep(mill: Mill, pipeline: str) -> AsyncIterator[tuple[dict[str, Any], psutil.Process]]:
    """
    Run a pipeline until its tap sleeps, hand out the job and the tap, and wait for the job's end.
    """
    job = await mill.create(pipeline)
    working = asyncio.create_task(mill.work())
    async with asyncio.timeout(120):
        while "asleep as " not in (said := await mill.logs(job["id"])):
            if working.done():
                raise _TooSoonError(said)
            await asyncio.sleep(0.05)  # another process prints it
    tap = psutil.Process(int(said.partition("asleep as ")[2].split()[0]))
    yield job, tap
    await asyncio.wait_for(working, 60)
    assert not tap.is_running()


def _records(mill: Mill, job: dict[str, Any]) -> list[int]:
    files = Path(mill.house.files.folder("jobs")).glob(f"*/*/*/{job['id']}/project/out/*.jsonl")
    return [json.loads(line)["id"] for file in files for line in file.read_text().splitlines()]


@row("6.4 Representation", "3.5 sequence")
async def test_a_real_run_recovers_and_its_polls_add_up_to_its_log(mill: Mill) -> None:
    """
    A tap that fails once: the same job, tried again, goes on from what the target had confirmed; a reader who polls misses no line.
    """
    pipeline = await _pipeline(mill, "fail-once", maxRetries=1)
    job = await mill.create(pipeline)
    polled: list[str] = []

    async def poll() -> None:
        path, accept = f"jobs/{job['id']}/logs", {"accept": "application/x-ndjson"}
        answer = await mill.client.get(path, params={"sequence": len(polled)}, headers=accept)
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert [line["sequence"] for line in lines] == list(range(len(polled), len(polled) + len(lines)))
        polled.extend(line["message"] for line in lines)

    for _ in range(2):
        working = asyncio.create_task(mill.work())
        while not working.done():
            await poll()
            await asyncio.wait({working}, timeout=0.1)
        await mill.make_due()
    await poll()
    ended = await mill.job(job["id"])

    assert (ended["status"], ended["exitCode"], ended["attempt"]) == ("COMPLETE", 0, 1), polled
    assert any("the source went away" in line for line in polled)
    assert "--- Attempt 2 of 2 ---" in polled
    assert await mill.logs(job["id"]) == "".join(f"{line}\n" for line in polled)
    assert _records(mill, job) == [2]


async def test_a_real_run_is_stopped_at_its_timeout(mill: Mill) -> None:
    """
    STOPPED with 143, the tap is gone; nobody tries again, and a later run of the pipeline is not refused.
    """
    for seconds in (6, 40):  # Meltano starts in two; on a busy machine it has been seen to need more than six
        pipeline = await _pipeline(mill, "sleep", name=f"{seconds} s", timeout=seconds, maxRetries=2)
        with contextlib.suppress(_TooSoonError):
            async with _asleep(mill, pipeline) as (job, _tap):
                pass
            break
    else:
        pytest.fail("no tap slept within 40 s")
    ended = await mill.job(job["id"])

    assert (ended["status"], ended["exitCode"], ended["attempt"]) == ("STOPPED", 143, 0)
    assert "asleep" in await mill.logs(job["id"])


async def test_a_tap_that_outlives_a_killed_meltano_is_ended_and_the_next_run_goes(mill: Mill) -> None:
    """
    Section 7.3: a SIGKILL of Meltano leaves its tap alive, and its lock for minutes; here neither outlives the job.
    """
    pipeline = await _pipeline(mill, "sleep")

    async with _asleep(mill, pipeline) as (job, tap):
        meltano = tap.parent()
        assert meltano is not None
        assert "run" in meltano.cmdline()
        meltano.kill()
    killed = await mill.job(job["id"])
    body = {"label": "sleep", "dataComponents": PAIR, "properties": {"tap-moody.mode": ""}}
    await mill.client.put(f"{mill.workspace}/pipelines/{pipeline}", json=body)
    after = await mill.run(pipeline)

    assert (killed["status"], killed["exitCode"]) == ("ERROR", 137)
    assert (after["status"], _records(mill, after)) == ("COMPLETE", [1]), await mill.logs(after["id"])


@row("3 J7", "6.3 Manual")
async def test_a_real_run_refuses_a_second_and_is_deleted_while_it_runs(mill: Mill) -> None:
    """
    409 names the active job; a deletion hides the record at once, ends Meltano and its tap, and leaves no file.
    """
    pipeline = await _pipeline(mill, "sleep")

    async with _asleep(mill, pipeline) as (job, _tap):
        refused = await mill.client.post(f"pipelines/{pipeline}/jobs")
        deleted = await mill.client.delete(f"jobs/{job['id']}")
        gone = await mill.client.get(f"jobs/{job['id']}")
    await mill.jobs.remove_deleted()

    assert (refused.status_code, deleted.status_code, gone.status_code) == (409, 204, 404)
    assert job["id"] in refused.json()["message"]
    assert not list(Path(mill.house.files.folder("jobs")).glob(f"*/*/*/{job['id']}/**/*.*"))
