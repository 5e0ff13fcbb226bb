"""
Matatika's published command line, in an environment of its own, against this server.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from house import ADMIN_KEY
from matatika_mill import Mill

from headrace.runners.environments import Environments

CLIENT = ("matatika==1.17.1", "setuptools<81")

DATASET = """
version: datasets/v0.2
title: Daily sales
questions: How much did we sell?
rawData: '[{"day": "mon", "sum": 3}, {"day": "tue", "sum": 4}]'
"""


@asynccontextmanager
async def served(mill: Mill) -> AsyncIterator[str]:
    """
    Serve the wire on loopback; gives the base address that the client is configured with.
    """
    server = uvicorn.Server(uvicorn.Config(mill.app(), host="127.0.0.1", port=0, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(30):
        while not server.started:  # noqa: ASYNC110 - uvicorn offers nothing to wait on
            await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/matatika/api"
    server.should_exit = True
    await serving


def _without_marks(said: str) -> str:
    """
    Give what the client printed between the lines that it marks data with.
    """
    return "\n".join(line for line in said.splitlines() if line and not line.startswith("***"))


async def test_the_command_line_does_all_it_can(mill: Mill, environments: Path, tmp_path: Path) -> None:
    """
    Section 8.1: profile, workspaces, datasets listed, published twice, got, fetched as JSON and CSV, deleted; a 404 prints our message.
    """
    client = (await Environments(environments).ensure(CLIENT)).executable("matatika")
    file = tmp_path / "sales.yaml"
    file.write_text(DATASET)
    workspace = str(mill.house.workspace.id)

    async with served(mill) as url:

        async def ask(*words: str) -> tuple[int, str]:
            process = await asyncio.create_subprocess_exec(
                str(client), "-a", ADMIN_KEY, "-e", url, "-c", str(tmp_path), *words,
                env={"PATH": os.defpath, "HOME": str(tmp_path)},
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            said, _ = await process.communicate(b"y\n")
            return process.returncode or 0, said.decode()

        profile = await ask("profile")
        workspaces = await ask("list", "workspaces")
        published = await ask("publish", str(file), "-w", workspace, "-alias", "sales")
        again = await ask("publish", str(file), "-w", workspace, "-alias", "sales")
        datasets = await ask("list", "datasets", "-w", workspace)
        got = await ask("get", "dataset", "sales", "-w", workspace)
        fetched = await ask("fetch", "sales", "-w", workspace)
        table = await ask("fetch", "sales", "-w", workspace, "--as", "csv")
        listed = (await mill.client.get(f"{mill.workspace}/datasets")).json()["_embedded"]["datasets"]
        dataset = listed[0]["id"]
        missing = await ask("get", "dataset", "nothing", "-w", workspace)
        deleted = await ask("delete", "datasets", dataset)

    answers = (profile, workspaces, published, again, datasets, got, fetched, table, deleted)
    assert [code for code, _ in answers] == [0] * 9, answers
    assert "admin" in profile[1]
    assert workspace in workspaces[1]
    assert "NEW" in published[1]
    assert "UPDATED" in again[1]
    assert "Daily sales" in datasets[1]
    assert dataset in got[1]
    assert json.loads(_without_marks(fetched[1])) == [{"day": "mon", "sum": 3}, {"day": "tue", "sum": 4}]
    assert _without_marks(table[1]) == "day,sum\nmon,3\ntue,4"
    assert missing == (1, "Entity not found: nothing\n")
    assert (await mill.client.get(f"datasets/{dataset}")).status_code == 404
