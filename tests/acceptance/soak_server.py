"""
The roles of a server as an operator of several machines starts them, on one database, and what can be done to them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psutil
from grounds import new_ground

from acceptance.running_server import KEY, READY_SECONDS, alive, eventually, free_port
from headrace.store.embedded import EmbeddedPostgres
from headrace.up import PARENT_FD

TTL_SECONDS = 8.0
ROLES = ("serve", "worker-1", "worker-2")
ENDED_SECONDS = 10.0


@dataclass
class Roles:
    """
    `headrace serve` and two `headrace worker` on an embedded database that this process owns.

    The test is their supervisor: `keep` starts again what has ended. Everything is called from the main thread, whose end the database
    would not outlive.
    """

    folder: Path
    project: Path
    runner: asyncio.Runner
    chance: random.Random
    struck: list[str] = field(default_factory=list)
    children_killed: int = 0
    seen: set[psutil.Process] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.home = self.folder / "home"
        self.temporary = self.folder / "tmp"
        self.logs = self.folder / "logs"
        for made in (self.home, self.temporary, self.logs):
            made.mkdir()
        self._lifeline, self._our_end = os.pipe()  # they end with this process, however that ends
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._postgres = EmbeddedPostgres(
            new_ground() / "postgres",
            user="nobody" if os.getuid() == 0 else None,
            system_dir=new_ground(in_memory=False),
        )
        self.database_url = ""

    def start(self) -> None:
        self.database_url = self.runner.run(self._postgres.start())
        self.keep()
        self.until_ready()

    def keep(self) -> None:
        """
        Start each role that does not run.
        """
        for role in ROLES:
            if role not in self._running or self._running[role].poll() is not None:
                self._running[role] = self._start(role)

    def _start(self, role: str) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        with (self.logs / f"{role}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "headrace.cli.main", role.partition("-")[0]],
                env={
                    **environment,
                    "TMPDIR": str(self.temporary),
                    "HEADRACE_HOME": str(self.home),
                    "HEADRACE_PROJECT": str(self.project),
                    "HEADRACE_PORT": str(self.port),
                    "HEADRACE_PUBLIC_URL": self.url,
                    "HEADRACE_ADMIN_KEY": KEY,
                    "HEADRACE_DATABASE_URL": self.database_url,
                    "HEADRACE_WORKER_TTL_SECONDS": str(TTL_SECONDS),
                    "HEADRACE_WORKER_BEAT_SECONDS": "0.5",
                    "HEADRACE_DRAIN_SECONDS": "0.5",
                    "HEADRACE_GRACE_SECONDS": "2",
                    "HEADRACE_MAX_CRASHES": "100",
                    "HEADRACE_WEBHOOK_PRIVATE_NETWORKS": "true",
                    "HEADRACE_WEBHOOK_TIMEOUT_SECONDS": "4",
                    "HEADRACE_LOG_FORMAT": "json",
                    PARENT_FD: str(self._lifeline),
                },
                pass_fds=[self._lifeline],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def until_ready(self) -> None:
        def answers() -> bool:
            try:
                return httpx2.get(f"{self.url}/readyz", timeout=5).status_code == httpx2.codes.OK
            except httpx2.TransportError:
                return False

        eventually(answers, seconds=READY_SECONDS, what=f"the server is ready, see {self.logs}")

    def a_worker(self) -> subprocess.Popen[bytes]:
        return self._running[self.chance.choice(ROLES[1:])]

    def children_of(self, process: subprocess.Popen[bytes]) -> list[psutil.Process]:
        try:
            children = psutil.Process(process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        self.seen |= set(children)
        return children

    def kill_worker(self) -> None:
        worker = self.a_worker()
        children = self.children_of(worker)
        worker.kill()
        worker.wait()
        gone(children)

    def kill_serve(self) -> None:
        self._running["serve"].kill()
        self._running["serve"].wait()

    def stop_worker(self) -> None:
        """
        Ask a worker to end, as a deploy does: it hands its jobs back.
        """
        worker = self.a_worker()
        children = self.children_of(worker)
        worker.terminate()
        worker.wait(60)
        gone(children)

    def kill_child(self) -> None:
        """
        Kill one process below a worker, a supervisor of children among them.
        """
        children = self.children_of(self.a_worker())
        if children:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.chance.choice(children).kill()
            self.children_killed += 1

    def kill_everything(self) -> None:
        """
        Kill every role and the database, as a machine that loses its power.
        """
        children = [child for process in self._running.values() for child in self.children_of(process)]
        self.kill_database()
        for process in self._running.values():
            process.kill()
            process.wait()
        gone(children)
        self.start_database()

    def restart_database(self) -> None:
        """
        Stop the database for some seconds, some of the time longer than a worker may be out of touch.
        """
        self.kill_database(signal.SIGINT)
        pause(self.chance.choice((1.0, 3.0, 1.5 * TTL_SECONDS)))
        self.start_database()

    def kill_database(self, how: signal.Signals = signal.SIGKILL) -> None:
        pid = self._postgres.pid
        assert pid is not None
        os.kill(pid, how)
        self.runner.run(self._postgres.watch())

    def start_database(self) -> None:
        assert self.runner.run(self._postgres.start()) == self.database_url

    def sleep_worker(self) -> None:
        """
        Stop the busier worker until the other has taken over its jobs, and let it go on then.
        """
        worker = max((self._running[role] for role in ROLES[1:]), key=lambda worker: len(self.children_of(worker)))
        worker.send_signal(signal.SIGSTOP)
        pause(TTL_SECONDS + 4.0)
        worker.send_signal(signal.SIGCONT)

    def strike(self) -> None:
        """
        Do one thing, by chance, and see to it that everything runs again.
        """
        mishaps: dict[Callable[[], None], int] = {
            self.kill_worker: 5,
            self.kill_child: 6,
            self.kill_serve: 3,
            self.stop_worker: 2,
            self.sleep_worker: 3,
            self.restart_database: 2,
            self.kill_everything: 2,
        }
        (mishap,) = self.chance.choices(list(mishaps), list(mishaps.values()))
        self.struck.append(mishap.__name__)
        self.watch()
        mishap()
        self.keep()

    def end(self) -> list[int]:
        """
        Ask every role to end; gives the exit codes.
        """
        for role in reversed(ROLES):
            if self._running[role].poll() is None:
                self._running[role].terminate()
        return [self._running[role].wait(60) for role in ROLES]

    def restart_workers(self) -> None:
        for role in ROLES[1:]:
            self._running[role].terminate()
            self._running[role].wait(60)
        self.keep()

    def close(self) -> None:
        """
        Leave nothing running.
        """
        for process in self._running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
        self.runner.run(self._postgres.stop())
        os.close(self._our_end)
        os.close(self._lifeline)

    def watch(self) -> None:
        """
        Take note of every process below a role, to see later that it is gone.
        """
        for process in self._running.values():
            self.children_of(process)

    def left(self) -> list[psutil.Process]:
        """
        List what still runs of all that was ever seen below a role, or was started with this server's folder in its environment.
        """
        roles = {process.pid for process in self._running.values()}
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid not in roles and any(str(self.folder) in value for value in process.environ().values()):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return alive([process for process in {*found, *self.seen} if process.pid != os.getpid()])


def gone(children: list[psutil.Process]) -> None:
    eventually(lambda: not alive(children), seconds=ENDED_SECONDS, what="no child outlives its worker")


def pause(seconds: float) -> None:
    """
    Let time pass, where that is the mishap.
    """
    threading.Event().wait(seconds)
