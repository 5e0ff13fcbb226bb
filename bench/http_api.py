"""
The server from outside: submits, polls, the way to the first child process, and a take-over.

One `headrace up` with its embedded database, durable as in production, on the loopback; the client is another process of the same
machine and takes its share of it: see `callers`. Yardsticks of the same run: bare commits of one row for submits, `GET /healthz` for polls.
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
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import psutil
import psycopg

from bench.callers import call, request

Figure = dict[str, Any]

KEY = "bench-key"
TENANTS = 64
IDLE_RUNS = 40
SUBMITS = 3000
POLLS = 6000
WARM_UPS = 400
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
            time.sleep(0.05)  # another process writes it; there is nothing to wait on

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

    def cpu_seconds(self, role: str = "") -> float:
        """
        Tell what the whole tree has used so far, or one role of it.
        """
        if role:
            return float(sum(self._role(role).cpu_times()[:2]))
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
            *await _submits(server, client, commits),
            *await _polls(server, client),
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


async def _submits(server: Server, client: aiohttp.ClientSession, commits: float) -> list[Figure]:
    for tenant in range(2):  # both slots are taken, so that what is measured is the submit
        await _post(client, "stay", f"t{tenant}", {})
    body = {"queue_if_active_job": True}
    runs = [request("POST", f"/hotglue/demo/stamp/t{at}/jobs", key=KEY, body=body) for at in range(TENANTS)]
    await call(server.port, _repeated(runs, WARM_UPS), at_once=32)

    before = server.cpu_seconds("serve")
    called = await call(server.port, _repeated(runs, SUBMITS), at_once=32)
    cpu_ms = 1e3 * (server.cpu_seconds("serve") - before) / SUBMITS
    return [
        _figure(
            "durable submits over HTTP", called.rate, "/s", called.rate / commits, "bare commits of one connection"
        ),
        _figure("submit under load, p99", _quantile(called.spent, 99), "ms"),
        _figure("submit: CPU of the API process", cpu_ms, "ms", cpu_ms / called.own_ms, "the callers' own"),
    ]


async def _polls(server: Server, client: aiohttp.ClientSession) -> list[Figure]:
    record = await _post(client, "stamp", "polled", {"queue_if_active_job": True})
    listed = record if "s3_root" in record else (await _listed(client))[0]
    root = quote(listed["s3_root"], safe="")
    poll = request("GET", f"/hotglue/demo/stamp/{listed['tenant']}/jobs/status?job_root={root}", key=KEY)
    health = request("GET", "/healthz", key=KEY)
    for each in (health, poll):
        await call(server.port, _repeated([each], WARM_UPS), at_once=16)

    bare = await call(server.port, _repeated([health], POLLS), at_once=16)
    before = server.cpu_seconds("serve")
    called = await call(server.port, _repeated([poll], POLLS), at_once=16)
    cpu_ms = 1e3 * (server.cpu_seconds("serve") - before) / POLLS
    return [
        _figure(
            "status polls over HTTP", called.rate, "/s", called.rate / bare.rate, "GET /healthz of the same server"
        ),
        _figure("status poll, p99", _quantile(called.spent, 99), "ms"),
        _figure("status poll: CPU of the API process", cpu_ms, "ms", cpu_ms / called.own_ms, "the callers' own"),
    ]


def _repeated(requests: Sequence[bytes], count: int) -> Iterator[bytes]:
    return islice(cycle(requests), count)


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
        link: dict[str, Any] = {"sources": {f"tap-{flow}": {}}, "targets": {"target-none": {}}}
        tenants = dict.fromkeys([*(f"t{number}" for number in range(TENANTS)), "polled"], link)
        (folder / "flows" / flow).mkdir(parents=True)
        (folder / "flows" / flow / "flow.yml").write_text(
            json.dumps({"source": f"tap-{flow}", "target": "target-none", "tenants": tenants})
        )
