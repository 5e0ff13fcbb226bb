"""
A child that outlives its step: whose it is, what it counts for, and when it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from child_kit import all_gone, command, is_running, watch

from headrace.runners.process import DEVNULL, Child, Limits, Program, ShimPool, Supervision
from headrace.runners.shim_link import PLAIN

OWN = Program(PLAIN.interpreter, f"{PLAIN.code}  # not the one that any step takes")
LEAVING = Limits(grace_seconds=0.2)


@dataclass
class Left:
    key: str = "acme"
    rss_bytes: int = 0
    closed: bool = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
async def pool() -> AsyncIterator[ShimPool]:
    async with ShimPool(0) as pool:
        yield pool


async def settled(step: Supervision, folder: Path) -> Child:
    """
    Start a resident with a child of its own.
    """
    folder.mkdir()
    (folder / "profile").mkdir()
    (folder / "profile" / "link").symlink_to("/")
    step.resident = Left()
    two = ("sh", "-c", "sleep 600 & wait")
    return await step.spawn(command("resident", *two, cwd=folder, stdout=DEVNULL, stderr=DEVNULL, resident=True))


async def sleeper(step: Supervision, folder: Path, seconds: float) -> Child:
    return await step.spawn(command("work", "sleep", str(seconds), cwd=folder, stdout=DEVNULL, stderr=DEVNULL))


async def test_a_resident_that_is_spared_serves_the_steps_of_its_key(pool: ShimPool, tmp_path: Path) -> None:
    """
    Whatever else the step had is ended; a step of another key gets another shim, and one of the same finds what was left.
    """
    async with pool.lease(LEAVING, program=OWN, resident="acme") as step:
        resident = await settled(step, tmp_path / "own")
        other = await sleeper(step, tmp_path, 600)
        left = step.resident
        step.spare_resident()
        with watch(other.pid) as handles, watch(resident.pid) as kept:
            await step.end(0.2)
            assert await all_gone(handles)
            assert is_running(kept[0])

    async with pool.lease(LEAVING, program=OWN, resident="emca") as step:
        assert step.resident is None
    async with pool.lease(LEAVING, program=OWN, resident="acme") as step:
        assert step.resident is left
        assert left is not None
        assert left.rss_bytes > 0


async def test_a_resident_counts_for_the_step_that_uses_it(pool: ShimPool, tmp_path: Path) -> None:
    """
    Two processes are allowed: one of the step beside an idle resident of two is not too many; with it in use it is, and all of it is ended.
    """
    bounds = Limits(processes=2, grace_seconds=0.2)
    async with pool.lease(bounds, program=OWN, resident="acme") as step:
        resident = await settled(step, tmp_path / "own")
        step.spare_resident()

    with watch(resident.pid) as handles:
        async with pool.lease(bounds, program=OWN, resident="acme") as step:
            assert (await (await sleeper(step, tmp_path, 0.4)).wait()).succeeded
            step.spare_resident()
        assert step.exceeded is None
        async with pool.lease(bounds, program=OWN, resident="acme") as step:
            left = step.resident
            await step.use_resident()
            async with asyncio.timeout(10):
                await (await sleeper(step, tmp_path, 600)).wait()
        assert step.exceeded is not None
        assert step.exceeded.kind == "processes"
        assert await all_gone(handles)

    assert isinstance(left, Left)
    assert left.closed
    assert not (tmp_path / "own").exists()


async def test_a_resident_ends_with_a_step_that_does_not_spare_it_and_with_its_shim(tmp_path: Path) -> None:
    """
    Its folder goes too, and nothing that a link in it points to.
    """
    async with ShimPool(0) as pool:
        async with pool.lease(LEAVING, program=OWN, resident="acme") as step:
            first = await settled(step, tmp_path / "first")
            with watch(first.pid) as handles:
                await step.end(0.2)
                assert await all_gone(handles)
        assert not (tmp_path / "first").exists()

        async with pool.lease(LEAVING, program=OWN, resident="acme") as step:
            second = await settled(step, tmp_path / "second")
            step.spare_resident()
        with watch(second.pid) as handles:
            await pool.__aexit__()
            assert await all_gone(handles)

    assert not (tmp_path / "second").exists()
    assert Path("/bin").exists()
