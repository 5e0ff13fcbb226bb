"""
Children as the worker sees them: how they end, what they may use, and that none is left.
"""

import asyncio
import contextlib
import os
import resource
import signal
import stat
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from child_kit import (
    all_gone,
    command,
    environment,
    fake,
    first_line,
    is_running,
    open_fds,
    pid_told_by,
    read_all,
    watch,
)
from hotglue_rows import row

from headrace.core.errors import BackpressureError, ChildrenRemainError, SpawnError
from headrace.runners.process import DEVNULL, Command, Limits, ShimPool, child_environment


@pytest.fixture
async def pool():
    async with ShimPool(1, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC)) as shims:
        yield shims


async def test_an_exit_code_is_told(pool, tmp_path):
    """
    A child that ends by itself tells its code, the time, and what it used.
    """
    async with pool.lease() as step:
        child = await step.spawn(fake("tap.py", "exit-3", cwd=tmp_path))
        ended = await child.wait()

    assert (ended.name, ended.code, ended.signal, ended.succeeded) == ("tap", 3, None, False)
    assert ended.ended_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert ended.max_rss_bytes > 1 << 20
    assert ended.user_seconds + ended.system_seconds > 0


async def test_a_signal_is_told(pool, tmp_path):
    """
    A child that a signal ended has no code.
    """
    async with pool.lease() as step:
        child = await step.spawn(fake("tap.py", "silent", cwd=tmp_path))
        await pid_told_by(child)
        await step.signal(signal.SIGUSR1, "tap")
        ended = await child.wait()

    assert (ended.code, ended.signal) == (None, signal.SIGUSR1)


async def test_who_ended_first_is_told(pool, tmp_path):
    """
    A target that leaves has a lower order than the tap that met the broken pipe after it.
    """
    reading, writing = os.pipe()
    async with pool.lease() as step:
        tap = await step.spawn(fake("tap.py", "slow", cwd=tmp_path, stdout=writing, config={"records": 1000}))
        target = await step.spawn(fake("target.py", "exits-early", cwd=tmp_path, name="target", stdin=reading))
        os.close(reading)
        os.close(writing)
        first, second = await target.wait(), await tap.wait()

    assert first.code == 0
    assert second.code != 0
    assert first.order < second.order


async def test_pipes_carry_both_ways(pool, tmp_path):
    """
    `stdin` and `stdout` as pipes are large, and the taker closes them.
    """
    async with pool.lease() as step:
        child = await step.spawn(command("cat", "cat", cwd=tmp_path, stdin="pipe", stderr=DEVNULL))
        with os.fdopen(child.take_pipe("stdin"), "wb") as pipe:
            pipe.write(b"hello\n" * 1000)
        said = await read_all(child)

    assert said == "hello\n" * 1000


async def test_stderr_can_follow_stdout(pool, tmp_path):
    """
    With `stderr="stdout"` both come through one pipe, in order.
    """
    async with pool.lease() as step:
        child = await step.spawn(
            command("sh", "sh", "-c", "echo one; echo two >&2; echo three", cwd=tmp_path, stderr="stdout")
        )
        said = await read_all(child)

    assert said.split() == ["one", "two", "three"]


async def test_a_program_that_is_not_there_is_named(pool, tmp_path):
    """
    A child that cannot start raises, with the program and the next move, and the step can go on.
    """
    script = tmp_path / "tap-old"
    script.write_text("#!/nowhere/bin/python\n")
    script.chmod(0o755)
    plain = tmp_path / "plain"
    plain.write_text("not a program")
    plain.chmod(stat.S_IRUSR)
    async with pool.lease() as step:
        with pytest.raises(SpawnError, match="tap-nope"):
            await step.spawn(command("a", "tap-nope", cwd=tmp_path))
        with pytest.raises(SpawnError, match="interpreter"):
            await step.spawn(command("b", str(script), cwd=tmp_path))
        with pytest.raises(SpawnError, match="executable"):
            await step.spawn(command("c", str(plain), cwd=tmp_path))
        with pytest.raises(SpawnError, match="/nowhere"):
            await step.spawn(command("d", "true", cwd=Path("/nowhere")))
        with pytest.raises(SpawnError):
            await step.spawn(command("e", "tr\0ue", cwd=tmp_path))
        child = await step.spawn(command("a", "true", cwd=tmp_path))

        assert (await child.wait()).succeeded


async def test_a_message_larger_than_the_socket_arrives(pool, tmp_path):
    """
    An environment of a megabyte reaches the child whole.
    """
    env = environment(tmp_path) | {f"BIG_{number}": "x" * 100_000 for number in range(10)}
    async with pool.lease() as step:
        child = await step.spawn(Command("env", ["sh", "-c", "env | wc -c"], tmp_path, env))
        said = await read_all(child)

    assert int(said) > 1_000_000


@row("drill 27")
async def test_leaving_the_step_ends_what_ignores_term(pool, tmp_path):
    """
    After the grace comes KILL, and leaving the block waits for it.
    """
    async with pool.lease(Limits(grace_seconds=0.2)) as step:
        child = await step.spawn(fake("tap.py", "ignore-term", cwd=tmp_path))
        pid = await pid_told_by(child)
        with watch(pid) as handles:
            assert is_running(handles[0])
    assert not Path(f"/proc/{pid}").exists()
    assert child.exit.signal == signal.SIGKILL


@row("drill 27")
async def test_leaving_the_step_ends_daemons(pool, tmp_path):
    """
    A double-forked daemon in a session of its own outlives the child that left it, and not the step.
    """
    async with pool.lease(Limits(grace_seconds=0.2)) as step:
        child = await step.spawn(fake("tap.py", "daemon", cwd=tmp_path))
        pid = await pid_told_by(child)
        assert (await child.wait()).succeeded
        with watch(pid) as handles:
            assert is_running(handles[0])
    assert not Path(f"/proc/{pid}").exists()


async def test_a_sweep_ends_only_strays_that_hold_the_pipe(pool, tmp_path):
    """
    What a child that has ended left behind is ended if it holds the pipe; children that run, and other pipes' strays, are spared.
    """
    pipes = [os.pipe(), os.pipe()]
    async with pool.lease(Limits(grace_seconds=0.2)) as step:
        running = await step.spawn(fake("tap.py", "ignore-term", cwd=tmp_path, name="running", stdout=pipes[0][1]))
        left = []
        for name, (_, writing) in zip(("one", "two"), pipes, strict=True):
            child = await step.spawn(fake("tap.py", "daemon", cwd=tmp_path, name=name, stdout=writing))
            left.append(await pid_told_by(child))
            await child.wait()
        with watch(running.pid, *left) as (spared, swept, other):
            await step.sweep(os.fstat(pipes[0][0]).st_ino)

            assert await all_gone([swept])
            assert is_running(spared)
            assert is_running(other)
    for descriptors in pipes:
        for descriptor in descriptors:
            os.close(descriptor)


async def test_a_cancelled_step_leaves_nothing(pool, tmp_path):
    """
    Cancellation ends the children like any other way out, also when it comes twice.
    """
    started: asyncio.Queue[int] = asyncio.Queue()

    async def run() -> None:
        async with pool.lease(Limits(grace_seconds=30)) as step:
            child = await step.spawn(fake("tap.py", "ignore-term", cwd=tmp_path))
            await started.put(await pid_told_by(child))
            await child.wait()

    task = asyncio.create_task(run())
    pid = await started.get()
    with watch(pid) as handles:
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert await all_gone(handles, 10)


async def test_a_cancelled_start_leaves_nothing(tmp_path):
    """
    A child whose starter was cancelled between the order and the answer is ended with the step.
    """
    before = open_fds()
    async with ShimPool(0) as pool, pool.lease(Limits(grace_seconds=0)) as step:
        starting = asyncio.create_task(step.spawn(fake("tap.py", "silent", cwd=tmp_path)))
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        child = await step.spawn(command("other", "true", cwd=tmp_path))
        await child.wait()
        cancelled = step.children["tap"]
    assert not Path(f"/proc/{cancelled.pid}").exists()
    assert open_fds() == before


@row("drill 35")
async def test_a_step_without_a_limit_of_memory_has_that_of_the_pool(tmp_path):
    """
    One with its own keeps it, be it larger.
    """
    async with ShimPool(1, most_memory_bytes=96 << 20) as pool:
        async with pool.lease() as step:
            child = await step.spawn(fake("etl_memory.py", cwd=tmp_path, name="etl"))
            ended = await child.wait()
        async with pool.lease(Limits(memory_bytes=1 << 30)) as other:
            assert other.limits.memory_bytes == 1 << 30

    assert step.exceeded.kind == "memory"
    assert step.exceeded.limit == 96 << 20
    assert ended.signal == signal.SIGKILL


async def test_too_much_memory_ends_the_step(pool, tmp_path):
    """
    The sum over all processes counts; the limit, the peak and the stage are told.
    """
    limits = Limits(memory_bytes=96 << 20)
    async with pool.lease(limits, stage="etl") as step:
        child = await step.spawn(fake("etl_memory.py", cwd=tmp_path, name="etl"))
        ended = await child.wait()

    assert ended.signal == signal.SIGKILL
    assert step.exceeded.kind == "memory"
    assert step.exceeded.stage == "etl"
    assert step.exceeded.limit == 96 << 20
    assert step.exceeded.peak > 96 << 20
    assert step.usage.peak_memory_bytes > 96 << 20


@row("drill 36")
async def test_too_many_processes_end_the_step(pool, tmp_path):
    """
    Every descendant counts.
    """
    async with pool.lease(Limits(processes=8), stage="sync") as step:
        child = await step.spawn(fake("tap.py", "forks", cwd=tmp_path, config={"records": 30}))
        await child.wait()

    assert step.exceeded.kind == "processes"
    assert step.exceeded.peak > 8


@row("drill 36")
async def test_too_much_cpu_time_ends_the_step(pool, tmp_path):
    """
    CPU seconds of all descendants are summed.
    """
    async with pool.lease(Limits(cpu_seconds=0.2), stage="etl") as step:
        child = await step.spawn(fake("etl_loop.py", cwd=tmp_path, name="etl"))
        await child.wait()

    assert step.exceeded.kind == "cpu"
    assert step.usage.cpu_seconds >= 0.2


async def test_too_long_a_time_ends_the_step(pool, tmp_path):
    """
    The wall clock limit asks with TERM first.
    """
    async with pool.lease(Limits(wall_seconds=0.3), stage="sync") as step:
        child = await step.spawn(fake("tap.py", "silent", cwd=tmp_path))
        ended = await child.wait()

    assert ended.signal == signal.SIGTERM
    assert step.exceeded.kind == "wall"


@row("drill 25")
async def test_no_progress_ends_the_step(pool, tmp_path):
    """
    What counts as progress the caller says; noise on stderr does not.
    """
    async with pool.lease(Limits(no_progress_seconds=0.3, grace_seconds=0.2), stage="sync") as step:
        child = await step.spawn(fake("tap.py", "hang", cwd=tmp_path))
        await child.wait()

    assert step.exceeded.kind == "no-progress"
    assert step.exceeded.peak >= 0.3


async def test_progress_holds_the_limit_off(pool, tmp_path):
    """
    A step that gets on is left alone, however long it takes.
    """
    loop = asyncio.get_running_loop()
    async with pool.lease(Limits(no_progress_seconds=0.5, grace_seconds=0)) as step:
        child = await step.spawn(fake("tap.py", "silent", cwd=tmp_path))
        until = loop.time() + 1.0
        ticks = asyncio.Event()

        def tick() -> None:
            step.progress()
            loop.call_later(0.05, tick) if loop.time() < until else ticks.set()

        tick()
        await ticks.wait()

        assert child.exit is None
        assert step.exceeded is None


async def test_nothing_starts_in_a_step_that_was_stopped(pool, tmp_path):
    """
    After `stop` a late child is refused, so none can slip through an ending.
    """
    async with pool.lease() as step:
        await step.stop(0)
        with pytest.raises(SpawnError, match="being ended"):
            await step.spawn(command("late", "true", cwd=tmp_path))


async def test_usage_is_that_of_the_whole_tree(pool, tmp_path):
    """
    CPU of grandchildren counts, also of dead ones; memory has a peak and an average.
    """
    burn = "import time; until = time.process_time() + 0.15\nwhile time.process_time() < until: pass"
    async with pool.lease() as step:
        child = await step.spawn(
            command("sh", "sh", "-c", f"{sys.executable} -c '{burn}'; {sys.executable} -c '{burn}'", cwd=tmp_path)
        )
        await child.wait()

    assert step.usage.cpu_seconds >= 0.3
    assert step.usage.peak_memory_bytes >= step.usage.average_memory_bytes > 1 << 20
    assert step.usage.peak_processes >= 1


async def test_a_shim_serves_one_step_after_another(pool, tmp_path):
    """
    A clean shim is lent again, and knows nothing of what was before.
    """
    shims = set()
    for _ in range(3):
        async with pool.lease(Limits(processes=50)) as step:
            child = await step.spawn(command("same", "true", cwd=tmp_path))
            assert (await child.wait()).order == 1
            shims.add(step._link.pid)

    assert step.usage.cpu_seconds < 0.2
    assert len(shims) <= 2


async def test_no_descriptor_leaks(tmp_path):
    """
    Leases, pipes that nobody took, failures and the pool itself leave the number of descriptors as it was.
    """
    before = open_fds()
    async with ShimPool(2) as pool:
        for number in range(15):
            async with pool.lease(Limits(grace_seconds=0)) as step:
                await step.spawn(command("one", "true", cwd=tmp_path, stdin="pipe"))
                child = await step.spawn(command("two", "echo", "hello", cwd=tmp_path))
                assert await first_line(child, "stdout") == "hello"
                if number % 3 == 0:
                    with pytest.raises(SpawnError):
                        await step.spawn(command("three", "nope-nope", cwd=tmp_path))
    assert open_fds() == before


async def test_a_shim_that_does_not_answer_is_told_and_gone(tmp_path, monkeypatch):
    """
    Leaving a step never waits without an end; what could not be ended then ends as soon as its shim runs again.
    """
    monkeypatch.setattr("headrace.runners.supervision.KILL_SECONDS", 0.2)
    async with ShimPool(0) as pool:
        lease = pool.lease(Limits(grace_seconds=0), stage="sync")
        step = await lease.__aenter__()
        child = await step.spawn(fake("tap.py", "silent", cwd=tmp_path))
        with watch(child.pid) as handles:
            os.kill(step._link.pid, signal.SIGSTOP)
            with pytest.raises(ChildrenRemainError) as caught:
                await lease.__aexit__(None, None, None)

            assert await all_gone(handles)
    assert caught.value.facts == {"children": ["tap"]}


@contextlib.contextmanager
def no_descriptor_left():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.dup(0)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_machine_without_descriptors_is_told(tmp_path):
    """
    Too many open files is an error with a next move, leaks nothing, and is over when it is over.
    """
    before = open_fds()
    async with ShimPool(0) as pool:
        with no_descriptor_left(), pytest.raises(BackpressureError, match="fewer jobs"):
            async with pool.lease():
                pass
        async with pool.lease() as step:
            with no_descriptor_left(), pytest.raises(SpawnError, match="fewer jobs"):
                await step.spawn(command("one", "true", cwd=tmp_path))
            assert (await (await step.spawn(command("one", "true", cwd=tmp_path))).wait()).succeeded
    assert open_fds() == before


@row("drill 39")
def test_a_child_sees_nothing_of_the_servers_environment(tmp_path):
    """
    Only named, harmless variables pass; home and tmp are the job's own.
    """
    server = {
        "PATH": "/bin",
        "LANG": "C.UTF-8",
        "HEADRACE_ADMIN_KEY": "k",
        "DATABASE_URL": "d",
        "AWS_SECRET_ACCESS_KEY": "s",
        "HOME": "/home/server",
    }

    seen = child_environment(server, home=tmp_path, tmp=tmp_path / "tmp", extra={"TAP_START": "2026"})

    assert seen == {
        "PATH": "/bin",
        "LANG": "C.UTF-8",
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path / "tmp"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
        "TAP_START": "2026",
    }
