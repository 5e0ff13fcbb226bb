"""
A Meltano project as our job, against `meltano run` of the same project with the same environments, interleaved.

Ours runs Meltano too, so what is measured is what we add: the wire, the queue, a copy of the project, state in and out, the log.
Needs the package index for the first job; the environments are built before anything is measured.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from bench.http_api import KEY, Server

ROUNDS = 5
RECORDS = 5_000
PAIR = ["tap-jsonl", "target-jsonl"]
Figure = dict[str, Any]


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
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as client:
        pipeline = await _pipeline(client, base)
        await _job(client, base, pipeline)  # builds what it needs
        bare = _bare_project(folder)
        ours, theirs = [], []
        for _ in range(ROUNDS):
            started_at = time.perf_counter()
            await asyncio.to_thread(bare)
            theirs.append(time.perf_counter() - started_at)
            ours.append(await _job(client, base, pipeline))
    mine, yardstick = statistics.median(ours), statistics.median(theirs)
    note = f"{RECORDS:,} records, {ROUNDS} rounds"
    return [
        {"name": "meltano run by itself", "value": yardstick, "unit": "s", "note": note},
        {
            "name": "the same as our job, asked to ended",
            "value": mine,
            "unit": "s",
            "ratio": mine / yardstick,
            "yardstick": "meltano run",
            "note": note,
        },
    ]


async def _pipeline(client: aiohttp.ClientSession, base: str) -> str:
    while True:
        async with client.get(f"{base}/workspaces/default/pipelines") as answer:
            found = (await answer.json(content_type=None)).get("_embedded", {}).get("pipelines", [])
        if found:
            return str(found[0]["id"])
        await asyncio.sleep(0.2)


async def _job(client: aiohttp.ClientSession, base: str, pipeline: str) -> float:
    started_at = time.perf_counter()
    async with client.post(f"{base}/pipelines/{pipeline}/jobs") as answer:
        job = await answer.json(content_type=None)
    while job["status"] in ("QUEUED", "RUNNING"):
        await asyncio.sleep(0.02)
        async with client.get(f"{base}/jobs/{job['id']}") as answer:
            job = await answer.json(content_type=None)
    assert job["status"] == "COMPLETE", job
    return time.perf_counter() - started_at


def _bare_project(folder: Path) -> Any:
    """
    Give what runs the project by hand, its plugins linked to the environments that the server has built.
    """
    project = folder / "bare"
    shutil.copytree(folder / "project", project)
    environments = [path for path in (folder / "home" / "environments").iterdir() if (path / "bin").is_dir()]
    programs = {name: path for path in environments for name in ("meltano", *PAIR) if (path / "bin" / name).exists()}
    for kind, name in zip(("extractors", "loaders"), PAIR, strict=True):
        venv = project / ".meltano" / kind / name / "venv"
        venv.parent.mkdir(parents=True)
        venv.symlink_to(programs[name])
    argv = [str(programs["meltano"] / "bin" / "meltano"), "run", "--no-install", "--force", *PAIR]
    environment = {"PATH": os.defpath, "HOME": str(folder), "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "0"}

    def once() -> None:
        subprocess.run(argv, cwd=project, env=environment, check=True, capture_output=True)

    return once


def _write_meltano(project: Path) -> None:
    project.mkdir(parents=True, exist_ok=True)
    (project / "headrace.yml").write_text("workspaces:\n  default:\n")
    (project / "out").mkdir()
    (project / "out" / "keep").touch()
    lines = (json.dumps({"id": number, "name": f"record {number}"}) for number in range(RECORDS))
    (project / "data.jsonl").write_text("\n".join(lines) + "\n")
    tap = {
        "name": PAIR[0],
        "namespace": "tap_jsonl",
        "pip_url": "tap-jsonl==0.3.1",
        "executable": PAIR[0],
        "capabilities": ["catalog", "discover"],
        "settings": [{"name": "path"}, {"name": "stream_name"}, {"name": "primary_keys", "kind": "array"}],
        "config": {"path": "data.jsonl", "stream_name": "flights", "primary_keys": ["id"]},
    }
    target = {
        "name": PAIR[1],
        "namespace": "target_jsonl",
        "pip_url": "target-jsonl==0.1.4",
        "executable": PAIR[1],
        "settings": [{"name": "destination_path"}, {"name": "do_timestamp_file", "kind": "boolean"}],
        "config": {"destination_path": "out", "do_timestamp_file": False},
    }
    document = {
        "default_environment": "dev",
        "environments": [{"name": "dev"}],
        "plugins": {"extractors": [tap], "loaders": [target]},
        "jobs": [{"name": "load", "tasks": [" ".join(PAIR)]}],
    }
    (project / "meltano.yml").write_text(json.dumps(document))
