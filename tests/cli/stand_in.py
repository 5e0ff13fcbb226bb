"""
A stand-in for the server: it speaks the documented shapes of /api/v1 and remembers what it was asked.

The acceptance tests drive the same commands against the real one; here it can be made to fail on request.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

ROOT = Path(__file__).parents[2]
KEY = "hr_stand_in"
JOB_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


def job(state: str = "running", **changes: Any) -> dict[str, Any]:
    """
    A job as the API shows it.
    """
    ended = state in ("completed", "failed", "cancelled")
    made: dict[str, Any] = {
        "id": JOB_ID,
        "public_id": "tVN_B",
        "workspace": "demo",
        "tenant": "acme",
        "dialect": "hotglue",
        "definition": "flights",
        "name": "flights",
        "root": "acme/flows/flights/jobs/2026/3/1/12/00/tVN_B",
        "state": state,
        "cause": None,
        "steps": [
            step("sync", "completed" if ended else "running", record_count={"flights": 336776, "airlines": 16}),
            step("etl", "pending"),
            step("export", "pending"),
        ],
        "created_at": "2026-03-01T12:00:00Z",
        "started_at": "2026-03-01T12:00:00Z",
        "finished_at": "2026-03-01T12:00:12.300Z" if ended else None,
        "attempt": 1,
        "crashes": 0,
    }
    return made | changes


def step(name: str, state: str, **output: Any) -> dict[str, Any]:
    began = state != "pending"
    return {
        "name": name,
        "kind": name,
        "state": state,
        "started_at": "2026-03-01T12:00:00Z" if began else None,
        "finished_at": "2026-03-01T12:00:04Z" if state in ("completed", "failed") else None,
        "cause": None,
        "output": output,
    }


CAUSE = {
    "stage": "sync",
    "sentence": "The tap ended with exit code 3 before it had sent everything.",
    "who": "customer",
    "instruction": "Reconnect the account.",
    "evidence": {"exit_code": 3, "last_error_line": "401 \x1b[31mUnauthorized", "peak_memory_bytes": 104857600},
}


ITEMS = {"total": 5, "completed": 1, "failed": 0, "cancelled": 0, "live": 2, "pause_requested_at": None}
BATCH = {"workspace": "demo", "project": "shop", "id": "nightly", "name": "nightly", "description": "", "held": ""}


MISTAKE = {"file": "flows/flights/flow.yml", "line": 3, "reason": "There is no tap `x`.", "instruction": "Define it."}
LISTS: dict[str, list[dict[str, Any]]] = {
    "problems": [MISTAKE],
    "nodes": [{"name": "a:1", "roles": ["worker"], "slots": 4, "alive": True}],
    "keys": [{"id": "k1", "name": "ci", "role": "admin", "hint": "hr_ab"}],
}


@dataclass
class StandIn:
    """
    Attributes:
        stages: what GET /jobs/{id} shows, one after the other; the last one stays.
        problem: status and problem details that the next run call is answered with.
        failed: deliveries, as the API shows them; one that is sent once more is gone from here.
        asked: every request as method, path, query and JSON body.
    """

    url: str = ""
    stages: list[dict[str, Any]] = field(default_factory=lambda: [job("completed")])
    lines: list[dict[str, Any]] = field(default_factory=list)
    problem: tuple[int, dict[str, Any]] | None = None
    away: int = 0
    failed: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        path = request.path.removeprefix("/api/v1")
        self.asked.append((request.method, path, dict(request.query), body))
        if request.path == "/readyz":
            return web.json_response({"status": "ready", "reasons": []})
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return _problem(401, "unauthenticated", "The API key is not known here.", "List keys with `headrace keys`.")
        return self._answer(request, path)

    def _answer(self, request: web.Request, path: str) -> web.StreamResponse:
        if path.startswith("/jobs"):
            return self._answer_job(request, path)
        match [request.method, *path.strip("/").split("/")]:
            case ["GET", "flows"]:
                flow = {"id": "flights", "workspace": "demo", "sources": ["tap-flights"], "targets": ["target-duckdb"]}
                return web.json_response({"flows": [{**flow, "tenants": ["acme"]}]})
            case ["POST", "flows", "demo", "flights", "runs"]:
                if self.problem:
                    return web.json_response(self.problem[1], status=self.problem[0])
                return web.json_response(job("waiting"), status=201)
            case ["GET", "batches"]:
                return web.json_response({"batches": [{**BATCH, "paused": False}]})
            case ["POST", "batches", "demo", "shop", "nightly", "pause" | "resume" as word]:
                return web.json_response({**BATCH, "paused": word == "pause"})
            case ["GET", "deliveries"]:
                wanted = request.query.get("state", "failed")
                return web.json_response({"deliveries": self.failed if wanted == "failed" else []})
            case ["POST", "deliveries", delivery_id, "redeliver"]:
                self.failed = [one for one in self.failed if one["id"] != delivery_id]
                return web.json_response({"done": True})
            case ["GET", ("problems" | "nodes" | "keys") as name]:
                return web.json_response({name: LISTS[name]})
            case ["POST", "keys"]:
                return web.json_response({"id": "k2", "key": "hr_new"}, status=201)
            case ["DELETE", "keys", "k1"]:
                return web.Response(status=204)
        return _problem(404, "not-found", f"There is no {path}.", "")

    def _answer_job(self, request: web.Request, path: str) -> web.StreamResponse:
        match [request.method, *path.strip("/").split("/")]:
            case ["GET", "jobs"]:
                return web.json_response({"jobs": [job("failed", cause=CAUSE)], "next": None})
            case ["GET", "jobs", job_id] if job_id == JOB_ID:
                self.looked.set()
                if self.away:
                    self.away -= 1
                    return _problem(503, "store-unavailable", "The database did not answer.", "Try again in a moment.")
                return web.json_response(self.stages.pop(0) if len(self.stages) > 1 else self.stages[0])
            case ["GET", "jobs", _, "logs"]:
                after = int(request.query.get("after", 0))
                found = [line for line in self.lines if line["number"] > after]
                return web.json_response({"lines": found, "next": found[-1]["number"] if found else None})
            case ["POST", "jobs", _, "cancel"]:
                return web.json_response(job("running"))
            case ["POST", "jobs", _, "pause" | "resume" as word]:
                held = "2026-03-01T12:00:05Z" if word == "pause" else None
                return web.json_response(job("running", steps=[], items={**ITEMS, "pause_requested_at": held}))
        return _problem(404, "not-found", f"There is no {path}.", "")


def _problem(status: int, code: str, reason: str, instruction: str) -> web.Response:
    told = {"code": code, "reason": reason, "instruction": instruction}
    return web.json_response(told, status=status, content_type="application/problem+json")


@asynccontextmanager
async def standing_in() -> AsyncIterator[StandIn]:
    server = StandIn()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Command = Callable[..., Awaitable[Said]]


async def start_headrace(*arguments: str, folder: Path, **variables: str) -> asyncio.subprocess.Process:
    """
    Start the command as a child whose output goes to pipes, in an empty environment.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "headrace.cli.main", *arguments),
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "80", **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def headrace(*arguments: str, folder: Path, **variables: str) -> Said:
    """
    Run the command to its end.
    """
    child = await start_headrace(*arguments, folder=folder, **variables)
    out, err = await asyncio.wait_for(child.communicate(), 60)
    return Said(child.returncode or 0, out.decode(), err.decode())
