"""
Intuned's published TypeScript client, in a folder of its own, run by Node against this server.

It is installed by npm when the test runs and never kept: it has no licence. INTUNED_TYPESCRIPT_CLIENT may name a folder with its sources
for machines to whose registry it was not published.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from fastapi import FastAPI
from house import ADMIN_KEY
from session_kit import PROJECT, Shop
from test_intuned_python_client import function, run, served

from headrace.core.fan_out import ItemEnd
from headrace.dialects.intuned.routes import PREFIX
from headrace.engine.item_executor import ItemExecutor
from headrace.services.item_attempts import ItemWork

CLIENT = "@intuned/client"
VERSION = "0.5.2"
SCRIPT = Path(__file__).with_name("intuned_client_script.ts")


async def bundled(folder: Path) -> Path:
    """
    Install the client and make one module of it and the script; skips where it cannot be had.
    """
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs Node and npm")
    sources = os.environ.get("INTUNED_TYPESCRIPT_CLIENT")
    packages = ["esbuild", "zod@3"] if sources else ["esbuild", f"{CLIENT}@{VERSION}"]
    code, _, stderr = await run(npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", *packages)
    if code:
        pytest.skip(f"the client cannot be installed here: {stderr.strip()[-200:]}")
    alias = []
    if sources:  # beside the packages that it needs
        shutil.copytree(Path(sources) / "src", folder / "client")
        alias = [f"--alias:{CLIENT}={folder}/client/index.ts"]
    shutil.copy(SCRIPT, folder)
    esbuild, module = folder / "node_modules/.bin/esbuild", folder / "script.mjs"
    code, _, stderr = await run(
        str(esbuild),
        str(folder / SCRIPT.name),
        "--bundle",
        "--platform=node",
        "--format=esm",
        f"--outfile={module}",
        *alias,
    )
    assert code == 0, stderr
    return module


async def test_the_typescript_client_completes_every_operation(
    shop: Shop, executor: ItemExecutor, app: FastAPI, tmp_path: Path
) -> None:
    """
    All 22; it takes every answer, closed words included, and raises its typed errors for 400, 401 and 404.
    """
    module = await bundled(tmp_path / "client")

    async def called(work: ItemWork) -> ItemEnd:
        return await (executor(work) if work.fan_out.item.project == PROJECT else function(work))

    async with served(app) as origin, shop.api.kit.workers(called):
        code, stdout, stderr = await run(str(shutil.which("node")), str(module), f"{origin}{PREFIX}", ADMIN_KEY)

    assert code == 0, stderr
    seen = json.loads(stdout)
    assert seen["create"] == {"id": "client-job", "message": "created"}
    assert seen["all"] == [["client-job", "ACTIVE", "v1", "webhook"], ["bucket-job", "ACTIVE", None, "s3"]]
    assert seen["one"] == ["client-job", "http://user:********@127.0.0.1:3128", "webhook", "scheduled"]
    assert seen["update"] == {"id": "client-job", "message": "updated job successfully"}
    assert (seen["pause"], seen["resume"]) == ({"message": "Paused"}, {"message": "Resumed"})
    assert seen["jobRun"] == ["SUCCESS", 2, "jsonl"]
    assert seen["runs"] == [1, 1]
    assert seen["terminate"] == {"message": "Job run terminated"}
    assert seen["good"] == ["pending", "completed", {"name": "good"}, None]
    assert seen["bad"] == ["pending", "failed", None, "unexpected"]
    assert "bad-request" in seen["triggerPaused"]
    assert all("not-found" in seen[name] for name in ("unknownJob", "afterDelete"))
    assert "unauthorized" in seen["wrongKey"]
    assert (seen["sessionMade"], seen["sessionUpdated"]) == (["started", "done"], ["started", "done"])
    assert seen["sessionValid"] == ["pending", "done"]
    assert seen["sessions"] == [seen["session"]] == [{"id": "ada", "type": "CREDENTIALS", "status": "READY"}]
    assert seen["sessionsLeft"] == []
