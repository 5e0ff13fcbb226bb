"""
The shim: no descendant outlives its worker, its step or the shim itself.
"""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from child_kit import (
    FAKES,
    all_gone,
    command,
    environment,
    fake,
    is_running,
    pid_told_by,
    python,
    read_all,
    read_and_close,
    watch,
)

from headrace.core.errors import ShimLostError
from headrace.runners.process import Limits, ShimPool
from headrace.runners.shim import boot_seconds

WORKER = """
    import asyncio, json, os, sys
    from pathlib import Path
    from headrace.runners.process import Command, ShimPool, child_environment
    from headrace.runners.shim import boot_seconds

    async def main(folder, tap):
        env = child_environment(os.environ, home=folder, tmp=folder)
        async with ShimPool(1) as pool, pool.lease() as step:
            reading, writing = os.pipe()
            for name, mode in (("one", "ignore-term"), ("two", "daemon"), ("three", "silent")):
                child = await step.spawn(Command(name, [sys.executable, tap, mode], folder, env, stderr=writing, stdout=-3))
                print(child.pid, os.read(reading, 99).decode().split()[1], flush=True)
            pool.live_until(boot_seconds() + float(sys.argv[3]))
            print(step._link.pid, flush=True)
            await asyncio.Event().wait()

    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


def start_worker(folder: Path, live_seconds: str = "inf") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), str(folder), str(FAKES / "tap.py"), live_seconds],
        env=environment(folder) | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
    )


async def test_a_killed_worker_leaves_no_descendant(tmp_path):
    """
    kill -9 of the worker ends every child, one that ignores TERM and a daemon in its own session included, and the shim.
    """
    with start_worker(tmp_path) as worker:
        told = [await asyncio.to_thread(worker.stdout.readline) for _ in range(4)]
        pids = {int(pid) for line in told for pid in line.split()}
        pids -= {int(told[1].split()[0])}  # the daemon's parent ended by itself
        with watch(*pids) as handles:
            worker.kill()

            assert await all_gone(handles, 10)


async def test_a_stopped_worker_leaves_no_descendant(tmp_path):
    """
    A worker that does not say in time that it lives, because it was stopped, counts as dead: others take over what its children are at.
    """
    with start_worker(tmp_path, "2.5") as worker:
        told = [await asyncio.to_thread(worker.stdout.readline) for _ in range(4)]
        pids = {int(pid) for line in told for pid in line.split()}
        pids -= {int(told[1].split()[0])}
        with watch(*pids) as handles:
            worker.send_signal(signal.SIGSTOP)

            assert await all_gone(handles, 10)
            assert worker.poll() is None
        worker.kill()


async def test_a_worker_that_says_in_time_that_it_lives_keeps_its_children(tmp_path):
    """
    It counts from the last word; a step that is over has no such bound, and a step that begins has the one that was said last.
    """
    async with ShimPool(0) as pool:
        pool.live_until(boot_seconds() + 0.3)
        async with pool.lease(Limits(grace_seconds=0.1)) as step:
            pool.live_until(boot_seconds() + 60)
            kept = await step.spawn(command("kept", "sleep", "0.5", cwd=tmp_path))
            assert (await kept.wait()).succeeded
            pool.live_until(boot_seconds() + 0.3)
        async with pool.lease() as again:
            pool.live_until(boot_seconds() + 60)

            assert (await (await again.spawn(command("again", "sleep", "0.5", cwd=tmp_path))).wait()).succeeded


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
async def test_a_shim_survives_the_signals_that_end_a_worker(tmp_path, number):
    """
    Only the end of its worker, or its worker's order, ends a shim.
    """
    async with ShimPool(0) as pool, pool.lease() as step:
        await (await step.spawn(command("before", "true", cwd=tmp_path))).wait()
        os.killpg(step._link.pid, number)
        child = await step.spawn(command("after", "true", cwd=tmp_path))

        assert (await child.wait()).succeeded


async def test_children_hear_the_signals_that_their_shim_does_not(tmp_path):
    """
    A child starts with every signal at its default, though the shim ignores many.

    Signals 32 and 33 are left out: the C library keeps them to itself, so neither the shim nor anyone else can
    change what the shell that started the tests said about them.
    """
    code = "print([line for line in open('/proc/self/status') if line.startswith(('SigBlk', 'SigIgn'))])"
    async with ShimPool(0) as pool, pool.lease() as step:
        child = await step.spawn(command("child", "sh", "-c", "cat /proc/self/status", cwd=tmp_path))
        status = dict(line.split(":\t", 1) for line in (await read_all(child)).splitlines() if ":\t" in line)
        stopped = await step.spawn(
            python("python", f"{code}; import os, signal; os.kill(os.getpid(), signal.SIGTERM)", cwd=tmp_path)
        )

        changeable = ~(1 << 31 | 1 << 32)
        assert int(status["SigIgn"], 16) & changeable == 0
        assert int(status["SigBlk"], 16) & changeable == 0
        assert (await stopped.wait()).signal == signal.SIGTERM


async def test_a_killed_shim_takes_its_children_along(tmp_path):
    """
    Nobody is left to supervise them, so they die with it, and their ends are told as unknown.
    """
    async with ShimPool(0) as pool:
        async with pool.lease() as step:
            child = await step.spawn(fake("tap.py", "ignore-term", cwd=tmp_path))
            await pid_told_by(child)
            with watch(child.pid) as handles:
                os.kill(step._link.pid, signal.SIGKILL)

                assert await all_gone(handles)
            with pytest.raises(ShimLostError):
                await child.wait()
            with pytest.raises(ShimLostError):
                await step.spawn(command("late", "true", cwd=tmp_path))
        async with pool.lease() as step:
            assert (await (await step.spawn(command("next", "true", cwd=tmp_path))).wait()).succeeded


async def test_a_child_sees_only_the_descriptors_it_was_given(tmp_path):
    """
    No descriptor of the shim or the worker leaks; passed ones have the numbers that were asked for.
    """
    reading, writing = os.pipe()
    wanted = command(
        "ls", "sh", "-c", "ls /proc/$$/fd; echo through >&9", cwd=tmp_path, pass_fds={9: writing, 4: reading}
    )
    async with ShimPool(0) as pool, pool.lease() as step:
        child = await step.spawn(wanted)
        listed = await read_all(child)
    os.close(writing)
    said = read_and_close(reading)

    assert listed.split() == ["0", "1", "2", "4", "9"]
    assert said == "through\n"


async def test_a_child_runs_in_its_folder_with_its_limits(tmp_path):
    """
    Working folder, resource limits and niceness are the command's; the kernel's memory killer prefers it to the server.
    """
    code = """
import os, resource
print(os.getcwd(), resource.getrlimit(resource.RLIMIT_NOFILE)[0], resource.getrlimit(resource.RLIMIT_CORE)[0], os.nice(0))
print(open('/proc/self/oom_score_adj').read().strip(), os.getsid(0) == os.getpid())
"""
    limits = {"nofile": 64, "core": 0}
    async with ShimPool(0) as pool, pool.lease() as step:
        child = await step.spawn(python("child", code, cwd=tmp_path, rlimits=limits, nice=3))
        said = await read_all(child)

    assert said.split() == [str(tmp_path), "64", "0", str(os.nice(0) + 3), "500", "True"]


async def test_a_stopped_child_is_ended_too(tmp_path):
    """
    A process under SIGSTOP hears TERM only after CONT, so it gets both.
    """
    async with ShimPool(0) as pool, pool.lease() as step:
        child = await step.spawn(fake("tap.py", "silent", cwd=tmp_path))
        os.kill(await pid_told_by(child), signal.SIGSTOP)
        await step.stop(10)

        assert child.exit.signal == signal.SIGTERM


async def test_all_that_forks_while_it_is_killed_is_killed(tmp_path):
    """
    Children that start children until the end are still ended to the last.
    """
    code = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
sys.stderr.write(f"pid {os.getpid()}\\n"); sys.stderr.flush()
for _ in range(400):
    if os.fork() == 0:
        os.setsid()
        time.sleep(0.05)
        if os.fork() == 0: signal.pause()
        os._exit(0)
    time.sleep(0.01)
"""
    async with ShimPool(0) as pool, pool.lease() as step:
        child = await step.spawn(python("bomb", code, cwd=tmp_path))
        await pid_told_by(child)
        await step.stop(0.3)
        left = Path(f"/proc/{step._link.pid}/task/{step._link.pid}/children").read_text()

        assert left == ""
        assert child.exit.signal == signal.SIGKILL


async def test_memory_that_forked_processes_share_counts_once(tmp_path):
    """
    Near a limit the proportional sizes decide, so a pool of workers over one large table is not ended unjustly.
    """
    code = """
import os, signal, sys
held = b"\\x01" * (60 << 20)
for _ in range(5):
    if os.fork() == 0: signal.pause()
sys.stderr.write(f"pid {os.getpid()}\\n"); sys.stderr.flush()
signal.pause()
"""
    limits = Limits(memory_bytes=150 << 20, grace_seconds=0)
    async with ShimPool(0) as pool, pool.lease(limits, stage="etl") as step:
        child = await step.spawn(python("workers", code, cwd=tmp_path))
        await pid_told_by(child)
        samples = asyncio.Event()
        hear = step._hear
        step._link.listen(
            lambda message: (hear(message), samples.set() if message["event"] == "sample" else None), step.lose
        )
        async with asyncio.timeout(60):
            await samples.wait()

        assert step.exceeded is None
        assert step.usage.peak_processes == 6
        with watch(child.pid) as handles:
            assert is_running(handles[0])
