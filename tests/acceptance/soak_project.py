"""
What a soak runs: a flow of each kind, a pipeline and a batch, all of which notice when they are not alone; and the receiver of it all.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2

from acceptance.projects import FAKES, ProjectFolder
from acceptance.running_server import KEY, eventually
from acceptance.soak_clients import DEPTH, PAYLOADS, RUNS_AT_ONCE

TENANTS = {"piped": ("ada", "bob"), "streamed": ("cyd",)}
LONG_SECONDS = 12  # of some jobs of each kind: longer than it takes to be taken over
EXCLUSIVE = ["python", str(FAKES / "exclusive.py")]

WORK = """
import asyncio, fcntl, os
from headrace_automation import NonRetryableError, extend_payload, run_info

def slot(folder):
    # One of as many locks as calls may be under way at once; the kernel lets go of it however this process ends.
    for number in range({at_once}):
        lock = os.open(f"{{folder}}/{{run_info().job_run_id}}.slot-{{number}}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            os.close(lock)
    with open(f"{{folder}}/violations", "a") as lines:
        lines.write(f"{{run_info().job_run_id}}: more than {at_once} calls at once\\n")

async def automation(params):
    held = slot(params["witness"])
    print("item", params)
    await asyncio.sleep(0.15)
    {body}
"""
BODIES = {
    "work": """
    if params["n"] == 3 and run_info().job_run_id[-1] in "0123":
        await asyncio.sleep({long})
    n, first = params["n"], f"{params['witness']}/{run_info().job_run_id}.tried-{params['n']}"
    if n % 4 == 1 and not os.path.exists(first):
        open(first, "w").close()
        raise ValueError("broken the first time")
    if n % 6 == 5:
        raise NonRetryableError("hopeless")
    if n % 4 == 0:
        extend_payload({"api": "leaf", "parameters": {"path": str(n), "depth": 1, "witness": params["witness"]}})
    return n
""",
    "leaf": f"""
    if params["depth"] < {DEPTH}:
        extend_payload([
            {{"api": "leaf", "parameters": {{**params, "path": params["path"] + side, "depth": params["depth"] + 1}}}} for side in "lr"
        ])
    return params["path"]
""",
}  # fmt: skip

SCRIPT = """
exec 9>>"{witness}/$PIPELINE_ID.lock"
flock -n 9 || {{ echo "$PIPELINE_ID: pipeline of $JOB_ID" >> "{witness}/violations"; flock 9; }}
pwd -P; touch mine
case "$JOB_ID" in [6-9]*) sleep {long};; esac
for number in 1 2 3 4 5 6 7 8; do echo "line $number"; sleep 0.15; done
case "$JOB_ID" in [0-5]*) test -e "{witness}/$JOB_ID.tried" || {{ touch "{witness}/$JOB_ID.tried"; exit 3; }};; esac
echo "$JOB_ID" >> "{witness}/$PIPELINE_ID.done"
"""


@dataclass
class Receiver:
    """
    What was delivered: by the delivery's id, the digests of what came under it; and what was taken, in order.

    Every 23rd call is refused, but no delivery twice; every 29th is taken, and its answer never arrives.
    """

    url: str = ""
    asked: int = 0
    bodies: dict[str, set[str]] = field(default_factory=dict)
    taken: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _refused: set[str] = field(default_factory=set)
    _alone: threading.Lock = field(default_factory=threading.Lock)

    def take(self, delivery: str, body: bytes) -> int | None:
        with self._alone:
            self.asked += 1
            self.bodies.setdefault(delivery, set()).add(hashlib.sha256(body).hexdigest())
            if self.asked % 23 == 0 and delivery not in self._refused:
                self._refused.add(delivery)
                return 503
            self.taken.append((delivery, json.loads(body)))
            if self.asked % 29 == 0 and delivery not in self._refused:
                self._refused.add(delivery)
                return None
            return 204


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = receiver.take(self.headers["webhook-id"], body)
            if status is not None:
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:  # the sender was killed
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """
            Say nothing.
            """

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        receiver.url = f"http://127.0.0.1:{listening.server_port}/hook"
        try:
            yield receiver
        finally:
            listening.shutdown()
            thread.join()


def soak_project(folder: Path, witness: Path, hook: str) -> Path:
    """
    Write the project's folder.
    """
    workspace = {
        "webhooks": [{"url": hook, "events": ["job-lifecycle"]}],
        "environment": {"WITNESS": str(witness), "LONG_SECONDS": str(LONG_SECONDS)},
    }
    project = ProjectFolder(
        folder,
        workspaces={"demo": workspace},
        connectors={
            "tap-exclusive": {"kind": "tap", "command": [*EXCLUSIVE, "tap"], "discover": False},
            "target-exclusive": {"kind": "target", "command": [*EXCLUSIVE, "target"]},
        },
    )
    slow = ({"pause_seconds": 0.02}, {"pause_seconds": 0.005})
    ends: dict[str, Any] = {"source": "tap-exclusive", "target": "target-exclusive", "files": {"format": "csv"}}
    project.flow("piped", dict.fromkeys(TENANTS["piped"], slow), script="exclusive.py", **ends)
    project.flow("streamed", dict.fromkeys(TENANTS["streamed"], slow), **ends)
    automations = project.folder / "automations" / "soak"
    (automations / "api").mkdir(parents=True)
    for name, body in BODIES.items():
        told = WORK.format(at_once=RUNS_AT_ONCE, body=body.strip().replace("{long}", str(LONG_SECONDS)))
        (automations / "api" / f"{name}.py").write_text(told)
    (automations / "Intuned.json").write_text(json.dumps({"replication": {"maxConcurrentRequests": 6}}))
    for flow, tenants in TENANTS.items():
        for tenant in tenants:
            (witness / f"{flow}-{tenant}.rows").write_text("0")
    return project.folder


def define_pipeline(url: str, pipeline: str, witness: Path) -> None:
    """
    Define a pipeline over Matatika's wire, and wait until it may run.
    """
    with httpx2.Client(
        base_url=f"{url}/matatika/api", headers={"authorization": f"Bearer {KEY}"}, timeout=30
    ) as client:
        workspace = client.get("/workspaces").json()["_embedded"]["workspaces"][0]["id"]
        script = SCRIPT.format(witness=witness, long=LONG_SECONDS)
        body = {"label": pipeline, "dataComponents": [], "script": script, "timeout": 120, "maxRetries": 3}
        made = client.put(f"/workspaces/{workspace}/pipelines/{pipeline}", json=body)
        assert made.status_code == 201, made.text
        eventually(
            lambda: client.get(f"/pipelines/{pipeline}").json()["status"] == "READY", seconds=60, what="it is ready"
        )


def define_batch(url: str, batch: str, witness: Path, sink: str) -> None:
    """
    Define a job over Intuned's wire.
    """
    payload = [{"apiName": "work", "parameters": {"n": n, "witness": str(witness)}} for n in range(PAYLOADS)]
    configuration = {"maxConcurrentRequests": RUNS_AT_ONCE, "retry": {"maximumAttempts": 5}}
    body = {
        "id": batch,
        "payload": payload,
        "configuration": configuration,
        "sink": {"type": "webhook", "url": sink},
    }
    path = f"{url}/intuned/api/v1/workspace/demo/projects/soak/jobs"
    made = httpx2.post(path, json=body, headers={"x-api-key": KEY}, timeout=30)
    assert made.status_code == 201, made.text
