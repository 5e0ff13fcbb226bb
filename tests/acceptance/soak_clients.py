"""
Clients of all three wires that go on asking, whatever becomes of the server, and note what they were told.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2

from acceptance.running_server import KEY

ENDED_SECONDS = 240.0  # for one job, through every mishap that it may meet
ROWS_OF_A_JOB = 40
PAYLOADS, DEPTH = 12, 3
RUNS_AT_ONCE = 3


@dataclass
class Acknowledged:
    """
    One job that a wire said it has.

    Attributes:
        job_id: in the core.
        told: the last word of its wire about it.
        steered: what was asked of it besides, such as `cancel`.
        logs: where its wire shows its log.
        outcomes: of a batch, what its results say of each run.
    """

    wire: str
    job_id: UUID
    told: dict[str, Any] = field(default_factory=dict)
    steered: set[str] = field(default_factory=set)
    logs: str = ""
    outcomes: dict[str, str] = field(default_factory=dict)


@dataclass
class Ledger:
    """
    What all clients were told; each appends.
    """

    jobs: list[Acknowledged] = field(default_factory=list)
    ended: int = 0
    wrong: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    _moved: threading.Condition = field(default_factory=threading.Condition)

    def acknowledge(self, job: Acknowledged) -> Acknowledged:
        self.jobs.append(job)
        return job

    def has_ended(self) -> None:
        with self._moved:
            self.ended += 1
            self._moved.notify_all()

    def until_ended(self, more: int, *, seconds: float) -> None:
        """
        Wait until so many more jobs have ended, or so long.
        """
        with self._moved:
            wanted = self.ended + more
            self._moved.wait_for(lambda: self.ended >= wanted, timeout=seconds)


class Client(threading.Thread):
    """
    Submits one job after another until the ledger says stop, and sees each to its end.
    """

    def __init__(self, name: str, url: str, ledger: Ledger, seed: int) -> None:
        super().__init__(name=name, daemon=True)
        self.ledger = ledger
        self.chance = random.Random(f"{seed} {name}")
        self.http = httpx2.Client(
            base_url=url, headers={"x-api-key": KEY, "authorization": f"Bearer {KEY}"}, timeout=20.0
        )

    def run(self) -> None:
        try:
            while not self.ledger.stop.is_set():
                job = self.submit()
                if job is None:
                    self.wait(0.3)
                    continue
                self.steer(job)
                self.see_to_its_end(job)
                self.ledger.has_ended()
        except Exception as error:  # noqa: BLE001 - the edge of the thread: the test tells it
            self.ledger.wrong.append(f"{self.name}: {error!r}")
        finally:
            self.http.close()

    def submit(self) -> Acknowledged | None:
        """
        Ask for one job; None when it was not acknowledged.
        """
        raise NotImplementedError

    def steer(self, job: Acknowledged) -> None:
        """
        Ask for a cancel or a pause, some of the time.
        """
        raise NotImplementedError

    def look(self, job: Acknowledged) -> dict[str, Any] | None:
        """
        Ask how the job is; None while nobody answers.
        """
        raise NotImplementedError

    def is_final(self, told: dict[str, Any]) -> bool:
        raise NotImplementedError

    def see_to_its_end(self, job: Acknowledged) -> None:
        def ended() -> bool:
            told = self.look(job)
            if told is not None:
                job.told = told
            return told is not None and self.is_final(told)

        self.until(ended, f"the end of {job.wire} {job.job_id}")

    def until(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + ENDED_SECONDS
        while not is_so():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {ENDED_SECONDS:g} s")
            self.wait(0.15)

    def wait(self, seconds: float) -> None:
        threading.Event().wait(seconds)

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response | None:
        """
        Make one call; None when it met a server that was away.
        """
        try:
            reply = self.http.request(method, path, **options)
        except httpx2.TransportError:
            return None
        return reply if reply.status_code < 500 else None

    def insist(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """
        Make one call that bears being repeated until it is answered.
        """
        found: list[httpx2.Response] = []

        def answered() -> bool:
            reply = self.ask(method, path, **options)
            found.extend([reply] if reply is not None else [])
            return reply is not None

        self.until(answered, f"an answer to {method} {path}")
        return found[0]


class FlowClient(Client):
    """
    Runs hotglue's flow for one tenant, whose source has more rows each time.
    """

    def __init__(self, flow: str, tenant: str, witness: Path, url: str, ledger: Ledger, seed: int) -> None:
        super().__init__(f"{flow}-{tenant}", url, ledger, seed)
        self.flow, self.tenant = flow, tenant
        self.body = {"streaming_job": True} if flow == "streamed" else {}
        self.rows = ROWS_OF_A_JOB
        self.rows_file = witness / f"{flow}-{tenant}.rows"
        self.bookmark = 0

    def submit(self) -> Acknowledged | None:
        self.rows_file.write_text(str(self.rows))
        reply = self.ask("POST", f"/hotglue/demo/{self.flow}/{self.tenant}/jobs", json=self.body)
        if reply is None or not reply.is_success:
            return None
        told = reply.json()
        path = f"/hotglue/demo/{self.flow}/{self.tenant}/jobs/logs?job_root={told['s3_root']}"
        return self.ledger.acknowledge(Acknowledged("hotglue", UUID(told["task_id"]), told, logs=path))

    def steer(self, job: Acknowledged) -> None:
        if self.chance.random() < 0.12:
            self.wait(self.chance.uniform(0.0, 2.0))
            job.steered.add("cancel")
            path = f"/hotglue/demo/{self.flow}/{self.tenant}/jobs/kill"
            self.ask("POST", path, params={"job_root": job.told["s3_root"]})

    def look(self, job: Acknowledged) -> dict[str, Any] | None:
        path = f"/hotglue/demo/{self.flow}/{self.tenant}/jobs/status"
        reply = self.ask("GET", path, params={"job_root": job.told["s3_root"]})
        return None if reply is None else dict(reply.json())

    def is_final(self, told: dict[str, Any]) -> bool:
        status: str = told["status"]
        return status == "JOB_COMPLETED" or status.endswith("_FAILED")

    def see_to_its_end(self, job: Acknowledged) -> None:
        """
        The tenant's state never goes back, and moves with jobs that complete.
        """
        super().see_to_its_end(job)
        reply = self.insist("GET", f"/api/v1/flows/demo/{self.flow}/tenants/{self.tenant}/state")
        (source,) = reply.json()["states"]
        now = (source["state"] or {}).get("last", 0)
        if now < self.bookmark or (job.told["status"] == "JOB_COMPLETED" and now != self.rows):
            self.ledger.wrong.append(
                f"{self.name}: state went from {self.bookmark} to {now} of {self.rows} with {job.told['status']}"
            )
        self.bookmark = now
        self.rows += ROWS_OF_A_JOB


class PipelineClient(Client):
    """
    Runs one of Matatika's pipelines.
    """

    def __init__(self, pipeline: str, url: str, ledger: Ledger, seed: int) -> None:
        super().__init__(f"pipeline-{pipeline}", url, ledger, seed)
        self.pipeline = pipeline

    def submit(self) -> Acknowledged | None:
        reply = self.ask("POST", f"/matatika/api/pipelines/{self.pipeline}/jobs")
        if reply is None or not reply.is_success:
            return None
        told = reply.json()
        path = f"/matatika/api/jobs/{told['id']}/logs"
        return self.ledger.acknowledge(Acknowledged("matatika", UUID(told["id"]), told, logs=path))

    def steer(self, job: Acknowledged) -> None:
        if self.chance.random() < 0.12:
            self.wait(self.chance.uniform(0.0, 2.0))
            job.steered.add("cancel")
            self.ask("PUT", f"/matatika/api/jobs/{job.job_id}/stopped")

    def look(self, job: Acknowledged) -> dict[str, Any] | None:
        reply = self.ask("GET", f"/matatika/api/jobs/{job.job_id}")
        return None if reply is None else dict(reply.json())

    def is_final(self, told: dict[str, Any]) -> bool:
        return told["status"] in ("COMPLETE", "ERROR", "STOPPED")


class BatchClient(Client):
    """
    Triggers one of Intuned's jobs, pauses and resumes it, or ends it.
    """

    def __init__(self, batch: str, url: str, ledger: Ledger, seed: int) -> None:
        super().__init__(batch, url, ledger, seed)
        self.base = f"/intuned/api/v1/workspace/demo/projects/soak/jobs/{batch}"

    def submit(self) -> Acknowledged | None:
        reply = self.ask("POST", f"{self.base}/trigger")
        if reply is None or not reply.is_success:
            return None
        run = reply.json()["jobRunId"]
        return self.ledger.acknowledge(Acknowledged("intuned", UUID(run), {"id": run}))

    def steer(self, job: Acknowledged) -> None:
        luck = self.chance.random()
        if luck < 0.3:
            self.wait(self.chance.uniform(0.0, 2.0))
        if luck < 0.1:
            job.steered.add("cancel")
            self.ask("POST", f"{self.base}/runs/{job.told['id']}/terminate")
        elif luck < 0.3:
            job.steered.add("pause")
            self.insist("POST", f"{self.base}/pause")
            self.until(lambda: self._rests(job), f"the rest of {job.job_id}")
            self.insist("POST", f"{self.base}/resume")

    def _rests(self, job: Acknowledged) -> bool:
        told = self.look(job)
        return told is not None and (told["status"] == "PAUSED" or self.is_final(told))

    def look(self, job: Acknowledged) -> dict[str, Any] | None:
        reply = self.ask("GET", f"{self.base}/runs/{job.told['id']}")
        return None if reply is None else {**reply.json()["jobRun"], "results": reply.json().get("results")}

    def is_final(self, told: dict[str, Any]) -> bool:
        return told["end_time"] is not None

    def see_to_its_end(self, job: Acknowledged) -> None:
        super().see_to_its_end(job)
        if job.told["status"] == "CANCELED":  # another run was active: an earlier trigger whose answer was lost
            return
        reply = self.insist("GET", job.told["results"]["signed_url"])
        lines = [json.loads(line)["apiInfo"] for line in reply.text.splitlines()]
        job.outcomes = {line["runId"]: line["status"] for line in lines}
        if len(lines) != len(job.outcomes) or len(lines) != job.told["payloads"]:
            self.ledger.wrong.append(f"{job.job_id}: {len(lines)} lines, {job.told['payloads']} payloads")
        leaves = [line["parameters"]["path"] for line in lines if line["name"] == "leaf"]
        if len(leaves) != len(set(leaves)):
            self.ledger.wrong.append(f"{job.job_id}: an item was added twice, {sorted(leaves)}")
        for line in lines:
            wanted = _added_by(line) if line["status"] == "completed" else []
            missing = set(wanted) - set(leaves)
            if missing:
                self.ledger.wrong.append(f"{job.job_id}: {line['runId']} succeeded, and {missing} were not added")


def _added_by(line: dict[str, Any]) -> list[str]:
    """
    Name the leaves that a run which succeeded has asked for.
    """
    given = line["parameters"]
    if line["name"] == "work":
        return [str(given["n"])] if given["n"] % 4 == 0 else []
    return [given["path"] + side for side in "lr"] if given["depth"] < DEPTH else []
