"""
A whole server for tests: `headrace up` as users start it, on a home and a project folder, and a client that polls as clients do.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import httpx2
import psutil
import psycopg
from grounds import new_ground

KEY = "acceptance-key"
READY_SECONDS = 120.0
FINAL = ("_FAILED", "JOB_COMPLETED")

T = TypeVar("T")


def eventually(look: Callable[[], T | None], *, seconds: float, what: str) -> T:
    """
    Look again and again until there is something to see.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.05)  # the other side is another process; there is nothing to wait on


class RunningServer:
    """
    One `headrace up` and its client.
    """

    def __init__(self, home: Path, project: Path, **environment: str) -> None:
        self.home = home
        self.project = project
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._tree: list[psutil.Process] = []
        self.port = free_port()
        self.client = self._new_client()

    def _new_client(self) -> httpx2.Client:
        return httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", headers={"x-api-key": KEY}, timeout=30.0)

    def reconnect(self) -> None:
        """
        Use new connections from here on.
        """
        self.client.close()
        self.client = self._new_client()

    def start(self) -> RunningServer:
        """
        Start it and wait until `GET /readyz` answers 200.

        Its database stands in a ground of the tests: in a home that is closed to the database's user it would leave the home for good.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(self.home / "postgres"):
            (self.home / "postgres").symlink_to(new_ground())
        with (self.home / "server.log").open("ab") as log:
            self._process = self._launch(log)
        eventually(self._is_ready, seconds=READY_SECONDS, what=f"server ready, see {self.home / 'server.log'}")
        return self

    def _launch(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "headrace.cli.main", "up", "--with-parent"],
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")},
                "HEADRACE_HOME": str(self.home),
                "HEADRACE_PROJECT": str(self.project),
                "HEADRACE_PORT": str(self.port),
                "HEADRACE_ADMIN_KEY": KEY,
                **self._environment,
            },
            stdin=subprocess.PIPE,  # it ends with this process, however that ends
            stdout=subprocess.DEVNULL,
            stderr=log,
        )

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.home / "server.log").read_text()[-4000:]
        try:
            return self.client.get("/readyz").status_code == httpx2.codes.OK
        except httpx2.TransportError:
            return False

    def last_words(self) -> str:
        """
        Give the end of its log, each line cut.
        """
        lines = (self.home / "server.log").read_text("utf-8", errors="replace").splitlines()
        return "\n".join(line[:400] for line in lines[-30:])

    def stop(self) -> int:
        """
        Ask it to end, as an operator does; gives the exit code.
        """
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(60)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process = None

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()
        elif self._process is not None:
            self._let_go()
        self.client.close()

    def kill_everything(self) -> None:
        """
        Kill the supervisor with SIGKILL, and see to it that its whole tree is gone.
        """
        assert self._process is not None
        tree = self.processes()
        self._process.kill()
        self._process.wait()
        self._let_go()
        eventually(lambda: not alive(tree), seconds=20, what="no process left over")

    def kill_worker(self) -> None:
        """
        Kill the worker with SIGKILL.
        """
        self.role("worker").kill()

    def role(self, name: str) -> psutil.Process:
        """
        Find the process of a role.
        """
        return next(process for process in self.processes() if process.cmdline()[-2:] == ["headrace.app", name])

    def processes(self) -> list[psutil.Process]:
        """
        List the supervisor and everything below it.
        """
        assert self._process is not None
        root = psutil.Process(self._process.pid)
        return [root, *root.children(recursive=True)]

    def execute(self, statement: str, *values: object) -> None:
        """
        Change its database behind its back, for what would take too long to come by itself.
        """
        with psycopg.connect(self.role("serve").environ()["HEADRACE_DATABASE_URL"], autocommit=True) as database:
            database.execute(statement, values)

    def submit(
        self, flow: str, tenant: str, body: dict[str, Any] | None = None, *, environment: str = "demo"
    ) -> httpx2.Response:
        """
        Call hotglue's run endpoint.
        """
        return self.client.post(f"/hotglue/{environment}/{flow}/{tenant}/jobs", json=body or {})

    def status(self, job: dict[str, Any]) -> dict[str, Any]:
        """
        Call hotglue's status endpoint.
        """
        answer = self.client.get(
            f"/hotglue/{job['env_id']}/{job['flow_id']}/{job['tenant']}/jobs/status",
            params={"job_root": job["s3_root"]},
        )
        assert answer.status_code == httpx2.codes.OK, answer.text
        record: dict[str, Any] = answer.json()
        return record

    def run(
        self,
        flow: str,
        tenant: str,
        body: dict[str, Any] | None = None,
        *,
        environment: str = "demo",
        seconds: float = 120.0,
    ) -> dict[str, Any]:
        """
        Run a flow and poll until its job has ended; gives the last record.
        """
        answer = self.submit(flow, tenant, body, environment=environment)
        assert answer.status_code == httpx2.codes.OK, answer.text
        return self.wait(answer.json(), seconds=seconds)

    def wait(self, job: dict[str, Any], *, seconds: float = 120.0) -> dict[str, Any]:
        """
        Poll until a job has ended, as hotglue's own widget does.
        """

        def ended() -> dict[str, Any] | None:
            record = self.status(job)
            return record if any(word in record["status"] for word in FINAL) else None

        return eventually(ended, seconds=seconds, what=f"{job['job_name']} has ended")

    def wait_for(self, job: dict[str, Any], seen: Callable[[dict[str, Any]], bool], *, seconds: float = 120.0) -> None:
        """
        Poll until a job's record shows something.
        """
        eventually(lambda: seen(self.status(job)), seconds=seconds, what=f"{job['job_name']} shows it")

    def kill(self, job: dict[str, Any]) -> None:
        """
        Call the kill endpoint; the job may have ended meanwhile.
        """
        self.client.post(
            f"/hotglue/{job['env_id']}/{job['flow_id']}/{job['tenant']}/jobs/kill", params={"job_root": job["s3_root"]}
        )

    def logs(self, job: dict[str, Any]) -> str:
        answer = self.client.get(
            f"/hotglue/{job['env_id']}/{job['flow_id']}/{job['tenant']}/jobs/logs", params={"job_root": job["s3_root"]}
        )
        return answer.text

    def folder(self, job: dict[str, Any]) -> Path:
        """
        Find the job's folder in the file store.
        """
        return next((self.home / "files" / "jobs").glob(f"*/*/*/{_as_uuid(job['task_id'])}"))


def _as_uuid(text: str) -> str:
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """
    List those that still run; a zombie does not.
    """
    return [p for p in processes if p.is_running() and _status(p) != psutil.STATUS_ZOMBIE]


def _status(process: psutil.Process) -> str:
    try:
        return process.status()
    except psutil.NoSuchProcess:
        return psutil.STATUS_ZOMBIE


@contextmanager
def running(home: Path, project: Path, **environment: str) -> Iterator[RunningServer]:
    """
    Run a server for the length of a block.
    """
    server = RunningServer(home, project, **environment)
    try:
        yield server.start()
    finally:
        server.close()
