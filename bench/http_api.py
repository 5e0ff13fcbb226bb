"""
The server from outside: submits, polls, the way to the first child process, and a take-over.

One `headrace up` with its embedded database, durable as in production, on the loopback; the client is another process of the same
machine and takes its share of it. Yardsticks of the same run: bare commits of one row for submits, `GET /healthz` for polls.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import psycopg

Figure = dict[str, Any]

KEY = "bench-key"
TENANTS = 64
IDLE_RUNS = 40
SUBMITS = 3000
POLLS = 6000
COMMITS = 300
SPAWNS = 50
SPAWN = "a bare sh -c :"
TTL_SECONDS = 10.0  # the default of the setting worker_ttl_seconds

# A tap that only says when it began; its job fails, which is not what is measured.
STAMP = 'date +%s%N > "$ROOT/began"; exit 1'
STAY = "sleep 600"


def run() -> list[Figure]:
    """
    Measure on a server of its own, which is gone afterwards; takes about a minute.
    """
    folder = Path(tempfile.mkdtemp(prefix="headrace-bench-", dir="/tmp"))
    folder.chmod(0o755)
    _write_project(folder / "project")
    server = Server(folder)
    try:
        server.start()
        return asyncio.run(_measure(server))
    finally:
        server.stop()
        shutil.rmtree(folder)


class Server:
    """One `headrace up`."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self._project = folder / "project"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.home.mkdir()
        settings = {"HOME": self.home, "PROJECT": self._project, "PORT": self.port, "ADMIN_KEY": KEY, "SLOTS": 2}
        environment = {f"HEADRACE_{name}": str(value) for name, value in settings.items()}
        with (self.home / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "headrace.cli.main", "up"],
                env={**os.environ, **environment},
                stderr=log,
                stdout=log,
            )
        deadline = time.monotonic() + 60
        while not (self.home / "server.json").exists():
            if time.monotonic() > deadline:
                raise RuntimeError((self.home / "server.log").read_text())
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)

    def database_url(self) -> str:
        """
        Find the embedded database's address where the roles have it: in their environment.
        """
        url = self._role("serve").environ()["HEADRACE_DATABASE_URL"]
        return str(url)

    def kill_worker(self) -> None:
        self._role("worker").kill()

    def memory_bytes(self) -> int:
        """
        Add up the memory of the whole tree, shared pages once (PSS).
        """
        assert self._process is not None
        tree = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]
        return sum(process.memory_full_info().pss for process in tree)

    def cpu_seconds(self) -> float:
        assert self._process is not None
        tree = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]
        return sum(sum(process.cpu_times()[:2]) for process in tree)

    def _role(self, name: str) -> psutil.Process:
        assert self._process is not None
        children = psutil.Process(self._process.pid).children(recursive=True)
        return next(process for process in children if process.cmdline()[-2:] == ["headrace.app", name])


async def _measure(server: Server) -> list[Figure]:
    idle = await _idle(server)
    commits = await asyncio.to_thread(_bare_commits, server.database_url())
    async with aiohttp.ClientSession(server.url, headers={"x-api-key": KEY}) as client:
        return [
            *idle,
            *await _first_child(server, client, commits),
            *await _submits(client, commits),
            *await _polls(client),
            *await _take_over(server, client),
        ]


async def _idle(server: Server) -> list[Figure]:
    """
    What the server needs while nothing happens.
    """
    await asyncio.sleep(3)
    before, seconds = server.cpu_seconds(), 10.0
    await asyncio.sleep(seconds)
    used = server.cpu_seconds() - before
    return [
        {"name": "idle: CPU of all processes", "value": 100 * used / seconds, "unit": "% core"},
        {"name": "idle: memory of all processes (PSS)", "value": server.memory_bytes() / 2**20, "unit": "MiB"},
    ]


async def _first_child(server: Server, client: aiohttp.ClientSession, commits: float) -> list[Figure]:
    """
    From the run call to the first instruction of the tap, on an idle server.
    """
    submits, children = [], []
    for number in range(IDLE_RUNS):
        asked = time.time_ns()
        record = await _post(client, "stamp", f"t{number % TENANTS}", {})
        submits.append((time.time_ns() - asked) / 1e6)
        began = await _began(server, record)
        children.append((began - asked) / 1e6)
        await _ended(client, record)
    commit, spawn = 1e3 / commits, await asyncio.to_thread(_bare_spawn)
    return [
        _figure("submit, idle, p50", middle := _quantile(submits, 50), "ms", middle / commit, "a bare commit"),
        _figure("submit, idle, p99", late := _quantile(submits, 99), "ms", late / commit, "a bare commit"),
        _figure("submit to the first child's start, p50", first := _quantile(children, 50), "ms", first / spawn, SPAWN),
        _figure("submit to the first child's start, p99", last := _quantile(children, 99), "ms", last / spawn, SPAWN),
    ]


async def _submits(client: aiohttp.ClientSession, commits: float) -> list[Figure]:
    for tenant in range(2):  # both slots are taken, so that what is measured is the submit
        await _post(client, "stay", f"t{tenant}", {})

    async def one(number: int) -> None:
        await _post(client, "stamp", f"t{number % TENANTS}", {"queue_if_active_job": True})

    rate, spent = await _rate(one, SUBMITS, at_once=32)
    return [
        _figure("durable submits over HTTP", rate, "/s", rate / commits, "bare commits of one connection"),
        _figure("submit under load, p99", _quantile(spent, 99), "ms"),
    ]


async def _polls(client: aiohttp.ClientSession) -> list[Figure]:
    record = await _post(client, "stamp", "polled", {"queue_if_active_job": True})
    listed = record if "s3_root" in record else (await _listed(client))[0]
    path = f"/hotglue/demo/stamp/{listed['tenant']}/jobs/status"

    async def poll(_number: int) -> None:
        async with client.get(path, params={"job_root": listed["s3_root"]}) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()

    async def health(_number: int) -> None:
        async with client.get("/healthz") as answer:
            await answer.read()

    bare, _ = await _rate(health, POLLS, at_once=16)
    rate, spent = await _rate(poll, POLLS, at_once=16)
    return [
        _figure("status polls over HTTP", rate, "/s", rate / bare, "GET /healthz of the same server"),
        _figure("status poll, p99", _quantile(spent, 99), "ms"),
    ]


async def _listed(client: aiohttp.ClientSession) -> list[dict[str, Any]]:
    async with client.get("/hotglue/demo/stamp/polled/jobs") as answer:
        found: list[dict[str, Any]] = await answer.json()
        return found


async def _take_over(server: Server, client: aiohttp.ClientSession) -> list[Figure]:
    async with client.get("/api/v1/jobs", params={"flow": "stay", "state": "running"}) as answer:
        job = (await answer.json())["jobs"][0]
    killed = time.monotonic()
    server.kill_worker()
    while True:
        async with client.get(f"/api/v1/jobs/{job['id']}") as answer:
            if answer.status == 200 and (await answer.json())["attempt"] > 1:
                break
        await asyncio.sleep(0.05)
    spent = time.monotonic() - killed
    return [
        _figure("take-over after kill -9 of the worker", spent, "s", spent / TTL_SECONDS, "a worker's time to live")
    ]


def _bare_spawn() -> float:
    """
    Milliseconds to start a shell and wait for its end: what the machine takes for a child that does nothing.
    """
    began = time.monotonic()
    for _ in range(SPAWNS):
        subprocess.run(["sh", "-c", ":"], check=True)
    return 1e3 * (time.monotonic() - began) / SPAWNS


def _bare_commits(url: str) -> float:
    """
    Commits a second of one row over one connection: what the disk gives.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table bench_commit (body text)")
        began = time.monotonic()
        for _ in range(COMMITS):
            connection.execute("insert into bench_commit values (repeat('x', 400))")
        rate = COMMITS / (time.monotonic() - began)
        connection.execute("drop table bench_commit")
    return rate


async def _post(client: aiohttp.ClientSession, flow: str, tenant: str, body: dict[str, Any]) -> dict[str, Any]:
    async with client.post(f"/hotglue/demo/{flow}/{tenant}/jobs", json=body) as answer:
        assert answer.status in (200, 202), await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def _began(server: Server, record: dict[str, Any]) -> int:
    """
    Read when a job's tap began, in nanoseconds since 1970.
    """
    task = record["task_id"]
    uuid = "-".join((task[:8], task[8:12], task[12:16], task[16:20], task[20:]))
    while True:
        for file in (server.home / "files/jobs").glob(f"*/*/*/{uuid}/began"):
            text = file.read_text().strip()
            if text:
                return int(text)
        await asyncio.sleep(0.002)


async def _ended(client: aiohttp.ClientSession, record: dict[str, Any]) -> None:
    path = f"/hotglue/demo/stamp/{record['tenant']}/jobs/status"
    while True:
        async with client.get(path, params={"job_root": record["s3_root"]}) as answer:
            if "FAILED" in (await answer.json())["status"]:
                return
        await asyncio.sleep(0.02)


async def _rate(act: Callable[[int], Awaitable[None]], count: int, *, at_once: int) -> tuple[float, list[float]]:
    """
    Do something *count* times, so many *at_once*: how often a second, and how many milliseconds each took.
    """
    numbers = iter(range(count))
    spent: list[float] = []

    async def go_on() -> None:
        for number in numbers:
            began = time.monotonic()
            await act(number)
            spent.append((time.monotonic() - began) * 1e3)

    began = time.monotonic()
    await asyncio.gather(*(go_on() for _ in range(at_once)))
    return count / (time.monotonic() - began), spent


def _quantile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _figure(name: str, value: float, unit: str, ratio: float | None = None, yardstick: str = "") -> Figure:
    return {"name": name, "value": value, "unit": unit, "ratio": ratio, "yardstick": yardstick}


def _write_project(folder: Path) -> None:
    folder.mkdir()
    tap = {"kind": "tap", "discover": False}
    connectors = {
        "tap-stamp": {**tap, "command": ["sh", "-c", STAMP]},
        "tap-stay": {**tap, "command": ["sh", "-c", STAY]},
        "target-none": {"kind": "target", "command": ["true"]},
    }
    (folder / "headrace.yml").write_text(json.dumps({"workspaces": {"demo": {}}, "connectors": connectors}))
    for flow in ("stamp", "stay"):
        link = {"sources": {f"tap-{flow}": {}}, "targets": {"target-none": {}}}
        tenants = dict.fromkeys([*(f"t{number}" for number in range(TENANTS)), "polled"], link)
        (folder / "flows" / flow).mkdir(parents=True)
        (folder / "flows" / flow / "flow.yml").write_text(
            json.dumps({"source": f"tap-{flow}", "target": "target-none", "tenants": tenants})
        )
