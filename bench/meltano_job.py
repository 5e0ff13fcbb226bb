"""
A Meltano project as jobs of ours, against `meltano run` of the same project with the same environments, interleaved.

Ours are two. The pipeline runs Meltano too, so what is measured is what we add: the wire, the queue, a copy of the project, state in and
out, the log. The streaming job starts the same tap and target itself, without Meltano. The yardstick is Meltano in a project that it has run
in before, where it has the tap's catalog from then; beside it stands Meltano in a fresh copy, as in a container or a CI job, which is
what each job of ours gets. CPU is that of the programs, without the server's own.
Needs the package index for the first jobs; the environments are built before anything is measured.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp

from bench.http_api import KEY, Server

ROUNDS = 5
RECORDS = 5_000
PAIR = ["tap-jsonl", "target-jsonl"]
PACKAGES = ["tap-jsonl==0.3.1", "target-jsonl==0.1.4"]
Figure = dict[str, Any]


@dataclass
class Spent:
    """Seconds of each round, by the clock and of CPU."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def note(self, wall: float, cpu: float) -> None:
        self.wall.append(wall)
        self.cpu.append(cpu)


def run() -> list[Figure]:
    folder = Path(tempfile.mkdtemp(prefix="headrace-bench-", dir="/tmp"))
    folder.chmod(0o755)
    server = Server(folder)
    try:
        _write_meltano(folder / "project")
        server.start()
        return asyncio.run(_measure(server, folder))
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _measure(server: Server, folder: Path) -> list[Figure]:
    base = f"{server.url}/matatika/api"
    warm, fresh, ours, streamed = Spent(), Spent(), Spent(), Spent()
    waits: list[float] = []
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}", "x-api-key": KEY}) as client:
        pipeline = await _pipeline(client, base)
        await _job(client, base, pipeline)  # builds what it needs
        await _streaming_job(client, server.url)
        bare = _bare_project(folder)
        bare(False)
        for _ in range(ROUNDS):
            warm.note(*await asyncio.to_thread(bare, False))
            wall, job = await _job(client, base, pipeline)
            ours.note(wall, await _cpu(client, server.url, UUID(job["id"])))
            waits.append(_seconds(job["created"], job["startTime"]))
            fresh.note(*await asyncio.to_thread(bare, True))
            wall, record = await _streaming_job(client, server.url)
            streamed.note(wall, await _cpu(client, server.url, UUID(record["task_id"])))
    return [
        *_figures("meltano run, in a project it knows", warm, warm),
        *_figures("meltano run, in a fresh copy of the project", fresh, warm),
        *_figures("the same as our pipeline's job, asked to ended", ours, warm),
        {"name": "of it: asked to started", "value": 1000 * statistics.median(waits), "unit": "ms"},
        *_figures("tap | target as our streaming job, asked to ended", streamed, warm),
    ]


def _figures(name: str, spent: Spent, yardstick: Spent) -> list[Figure]:
    load = os.getloadavg()[0]
    note = f"{RECORDS:,} records, {ROUNDS} rounds, load {load:.1f}"
    found = []
    for kind in ("wall", "cpu"):
        value, of = (statistics.median(getattr(each, kind)) for each in (spent, yardstick))
        ratio = {} if spent is yardstick else {"ratio": value / of, "yardstick": "meltano run, its project known"}
        found.append({"name": f"{name}: {kind}", "value": value, "unit": "s", **ratio, "note": note})
    return found


def _seconds(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


async def _cpu(client: aiohttp.ClientSession, url: str, job_id: UUID) -> float:
    """
    Give what the programs of a job used.
    """
    async with client.get(f"{url}/api/v1/jobs/{job_id}") as answer:
        job = await answer.json()
    return sum(float(step["output"].get("usage", {}).get("cpu_seconds", 0)) for step in job["steps"])


async def _pipeline(client: aiohttp.ClientSession, base: str) -> str:
    while True:
        async with client.get(f"{base}/workspaces/default/pipelines") as answer:
            found = (await answer.json(content_type=None)).get("_embedded", {}).get("pipelines", [])
        if found:
            return str(found[0]["id"])
        await asyncio.sleep(0.2)


async def _job(client: aiohttp.ClientSession, base: str, pipeline: str) -> tuple[float, dict[str, Any]]:
    started_at = time.perf_counter()
    async with client.post(f"{base}/pipelines/{pipeline}/jobs") as answer:
        job = await answer.json(content_type=None)
    while job["status"] in ("QUEUED", "RUNNING"):
        await asyncio.sleep(0.02)
        async with client.get(f"{base}/jobs/{job['id']}") as answer:
            job = await answer.json(content_type=None)
    assert job["status"] == "COMPLETE", job
    return time.perf_counter() - started_at, job


async def _streaming_job(client: aiohttp.ClientSession, url: str) -> tuple[float, dict[str, Any]]:
    path = f"{url}/hotglue/default/direct/acme/jobs"
    started_at = time.perf_counter()
    async with client.post(path, json={"streaming_job": True}) as answer:
        record = {"status": "", **await answer.json()}
    while not record["status"].endswith(("COMPLETED", "FAILED")):
        await asyncio.sleep(0.02)
        async with client.get(f"{path}/status", params={"job_root": record["s3_root"]}) as answer:
            record = {**record, **await answer.json()}
    assert record["status"] == "JOB_COMPLETED", record
    return time.perf_counter() - started_at, record


def _bare_project(folder: Path) -> Callable[[bool], tuple[float, float]]:
    """
    Give what runs the project by hand, its plugins linked to the environments that the server has built.

    It takes whether to begin with a fresh copy, and gives seconds by the clock and of CPU.
    """
    environments = [path for path in (folder / "home" / "environments").iterdir() if (path / "bin").is_dir()]
    programs = {name: path for path in environments for name in ("meltano", *PAIR) if (path / "bin" / name).exists()}
    argv = [str(programs["meltano"] / "bin" / "meltano"), "run", "--no-install", "--force", *PAIR]
    environment = {"PATH": os.defpath, "HOME": str(folder), "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "0"}

    def copy(project: Path) -> None:
        shutil.copytree(folder / "project", project)
        for kind, name in zip(("extractors", "loaders"), PAIR, strict=True):
            venv = project / ".meltano" / kind / name / "venv"
            venv.parent.mkdir(parents=True)
            venv.symlink_to(programs[name])

    def once(fresh: bool) -> tuple[float, float]:
        before, started_at = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        project = folder / ("fresh" if fresh else "bare")
        if fresh:
            shutil.rmtree(project, ignore_errors=True)
        if not project.exists():
            copy(project)
        subprocess.run(argv, cwd=project, env=environment, check=True, capture_output=True)
        wall, after = time.perf_counter() - started_at, resource.getrusage(resource.RUSAGE_CHILDREN)
        return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return once


def _write_meltano(project: Path) -> None:
    project.mkdir(parents=True, exist_ok=True)
    connectors = {
        name: {"kind": name.split("-")[0], "install": [line]} for name, line in zip(PAIR, PACKAGES, strict=True)
    }
    workspaces = {"workspaces": {"default": {}}, "connectors": connectors}
    (project / "headrace.yml").write_text(json.dumps(workspaces))
    source = {"config": {"path": str(project / "data.jsonl"), "stream_name": "flights", "primary_keys": ["id"]}}
    target = {"config": {"destination_path": ".", "do_timestamp_file": False}}
    links = {"sources": {PAIR[0]: source}, "targets": {PAIR[1]: target}}
    (project / "flows" / "direct").mkdir(parents=True)
    flow = {"source": PAIR[0], "target": PAIR[1], "tenants": {"acme": links}}
    (project / "flows" / "direct" / "flow.yml").write_text(json.dumps(flow))
    (project / "out").mkdir()
    (project / "out" / "keep").touch()
    lines = (json.dumps({"id": number, "name": f"record {number}"}) for number in range(RECORDS))
    (project / "data.jsonl").write_text("\n".join(lines) + "\n")
    tap = {
        "name": PAIR[0],
        "namespace": "tap_jsonl",
        "pip_url": PACKAGES[0],
        "executable": PAIR[0],
        "capabilities": ["catalog", "discover"],
        "settings": [{"name": "path"}, {"name": "stream_name"}, {"name": "primary_keys", "kind": "array"}],
        "config": {"path": "data.jsonl", "stream_name": "flights", "primary_keys": ["id"]},
    }
    loader = {
        "name": PAIR[1],
        "namespace": "target_jsonl",
        "pip_url": PACKAGES[1],
        "executable": PAIR[1],
        "settings": [{"name": "destination_path"}, {"name": "do_timestamp_file", "kind": "boolean"}],
        "config": {"destination_path": "out", "do_timestamp_file": False},
    }
    document = {
        "default_environment": "dev",
        "environments": [{"name": "dev"}],
        "plugins": {"extractors": [tap], "loaders": [loader]},
        "jobs": [{"name": "load", "tasks": [" ".join(PAIR)]}],
    }
    (project / "meltano.yml").write_text(json.dumps(document))
