"""
Intuned's published Python client, in an environment of its own, against this server.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from house import ADMIN_KEY
from item_kit import BROKEN, done
from session_kit import PROJECT as SHOP
from session_kit import Shop

from headrace.core.fan_out import ItemEnd
from headrace.dialects.intuned.routes import PREFIX
from headrace.engine.item_executor import ItemExecutor
from headrace.services.item_attempts import ItemWork

CLIENT = "intuned-client==1.1.1"


async def run(*argv: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    stdout, stderr = await process.communicate()
    return process.returncode or 0, stdout.decode(), stderr.decode()


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """
    Serve on loopback; gives the origin.
    """
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(30):
        while not server.started:  # noqa: ASYNC110 - uvicorn offers nothing to wait on
            await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving


async def function(work: ItemWork) -> ItemEnd:
    return ItemEnd(outcome=BROKEN) if work.item.name == "bad" else done({"name": work.item.name})


async def test_the_python_client_completes_every_operation(
    api: Any, app: FastAPI, tmp_path: Path, shop: Shop, executor: ItemExecutor
) -> None:
    """
    It takes every answer, and raises its own errors for 400, 401 and 404.
    """
    python = str(tmp_path / "client" / "bin" / "python")
    uv = str(Path(sys.executable).with_name("uv"))
    await run(uv, "venv", "-q", "--python", sys.executable, str(tmp_path / "client"))
    code, _, stderr = await run(uv, "pip", "install", "-q", "--python", python, CLIENT)
    if code:
        pytest.skip(f"the client cannot be installed here: {stderr.strip()[-200:]}")

    async def either(work: ItemWork) -> ItemEnd:
        return await (executor if work.job.tenant == SHOP else function)(work)

    async with served(app) as origin, api.kit.workers(either):
        script = str(Path(__file__).with_name("intuned_client_script.py"))
        code, stdout, stderr = await run(python, script, f"{origin}{PREFIX}", ADMIN_KEY)

    assert code == 0, stderr
    seen = json.loads(stdout)
    assert seen["create"] == {"id": "client-job", "message": "created"}
    assert seen["update"]["message"] == "updated job successfully"
    assert (seen["pause"], seen["resume"]) == ({"message": "Paused"}, {"message": "Resumed"})
    run_record = seen["job_run"]["jobRun"]
    assert (run_record["status"], run_record["successful_runs"], run_record["failed_runs"]) == ("SUCCESS", 1, 1)
    assert seen["job_run"]["results"]["format"] == "jsonl"
    assert seen["terminate"]["message"] == "Job run terminated"
    assert (seen["good"]["status"], seen["good"]["result"]) == ("completed", {"name": "good"})
    assert (seen["bad"]["status"], seen["bad"]["error"]["code"]) == ("failed", "unexpected")
    assert (seen["get"], seen["runs"], seen["list"], seen["sessions"]) == ("client-job", 1, True, True)
    done = {"status": "done", "authSessionId": "ada"}
    assert (seen["session_create"], seen["session_update"], seen["session_validate"]) == (done, done, done)
    assert (seen["session_failed"]["status"], seen["session_failed"]["error"]["code"]) == (
        "failed",
        "create-attempts-failed",
    )
    assert [(each["id"], each["type"], each["status"]) for each in seen["session_list"]] == [
        ("ada", "CREDENTIALS", "READY"),
        ("eve", "CREDENTIALS", "EXPIRED"),
    ]
    assert (seen["session_get"]["status"], seen["session_run"]["status"]) == ("READY", "completed")
    assert seen["session_canceled"]["status"] == "canceled"
    assert seen["session_canceled"]["reason"]["type"] == "auth-session-validate-dependency-failed"
    assert seen["session_deleted"] == "not found"
    assert (seen["trigger_paused"], seen["after_delete"], seen["wrong_key"]) == ("refused", "not found", "refused")
