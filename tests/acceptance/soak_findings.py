"""
What must hold after a soak, whatever was done to the server: of each promise, the sentences that say where it was broken.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import psycopg
from psycopg.rows import dict_row

from acceptance.running_server import KEY
from acceptance.soak_clients import Acknowledged, Ledger
from acceptance.soak_project import TENANTS, Receiver

STATE_OF = {
    "hotglue": {"JOB_COMPLETED": "completed"},
    "matatika": {"COMPLETE": "completed", "STOPPED": "cancelled", "ERROR": "failed"},
    "intuned": {"SUCCESS": "completed", "TERMINATED": "cancelled", "CANCELED": "cancelled"},
}
KILLED = ("SIGKILL", "killed")

LEFT_OVERS = {
    "jobs that have not ended": "select id::text from job where state not in ('completed', 'failed', 'cancelled')",
    "steps that have not ended": """
        select step.job_id || '/' || step.ordinal || ' ' || step.state from step
        where state not in ('completed', 'failed', 'cancelled', 'skipped')""",
    "tickets": "select args::text from procrastinate_jobs",
    "lanes": "select key from lane where active > 0",
    "open fan-outs": "select job_id::text from fan_out where open",
    "tries that have no end": """
        select job_id || '#' || number from attempt where finished_at is null
        union all select job_id || '/' || ordinal || '#' || number from step_attempt where finished_at is null""",
    "counts of fan-outs that are not those of their items": """
        select job_id::text from fan_out where (total, completed, failed, cancelled) <> (
            select count(*), count(*) filter (where state = 'completed'), count(*) filter (where state = 'failed'),
                   count(*) filter (where state = 'cancelled') from step where step.job_id = fan_out.job_id)""",
    "jobs that ended otherwise than once": """
        select job_id::text from event where kind in ('job-completed', 'job-failed', 'job-cancelled')
        group by job_id having count(*) <> 1""",
    "items that ended otherwise than once": """
        select job_id || '/' || (data ->> 'ordinal') from event
        where kind in ('step-completed', 'step-failed', 'step-cancelled') and data ? 'item'
        group by job_id, data ->> 'ordinal' having count(*) <> 1""",
    "events after the end of their job": """
        select event.job_id || ' ' || event.kind from event
        join event ended on ended.job_id = event.job_id and ended.kind in ('job-completed', 'job-failed', 'job-cancelled')
        where event.id > ended.id""",
    "states of sources that no completed job has made": """
        select connection.id::text from connection left join job on job.id = bookmark_job_id
        where bookmark is not null and job.state is distinct from 'completed'""",
}


class Findings:
    """
    Looks at everything that a soak has left.
    """

    def __init__(self, database_url: str, url: str, home: Path, witness: Path, ledger: Ledger, hooks: Receiver) -> None:
        self.url = url
        self.home = home
        self.witness = witness
        self.ledger = ledger
        self.hooks = hooks
        with psycopg.connect(database_url, row_factory=dict_row) as database:
            self.jobs = {row["id"]: row for row in database.execute("select * from job")}
            self.left = {name: _first_of(database, query) for name, query in LEFT_OVERS.items()}
            self.deliveries = list(database.execute("select * from delivery"))
            self.items = {
                row["item_id"]: row["state"]
                for row in database.execute("select item_id, state from step where item_id is not null")
            }

    def all(self, *, children_killed: int) -> list[str]:
        return [
            *self.ledger.wrong,
            *self.left_over(),
            *self.acknowledged(children_killed),
            *self.delivered(),
            *self.alone(),
            *self.rows(),
            *self.pipelines(),
            *self.readable(),
        ]

    def left_over(self) -> Iterator[str]:
        """
        No ticket, lock or admitted step is left, and nothing ended twice.
        """
        for name, found in self.left.items():
            if found:
                yield f"{name}: {found}"

    def acknowledged(self, children_killed: int) -> Iterator[str]:
        """
        Every acknowledged job ended as its client was told; none failed but for a child of it that was killed.
        """
        killed = 0
        for job in self.ledger.jobs:
            row = self.jobs.get(job.job_id)
            if row is None:
                yield f"{job.wire} {job.job_id} was acknowledged and is lost"
                continue
            told = job.told["status"]
            state = STATE_OF[job.wire].get(told) or ("failed" if row["state"] == "failed" else "cancelled")
            if row["state"] != state:
                yield f"{job.wire} {job.job_id} was told as {told} and is {row['state']}"
            if row["state"] == "cancelled" and "cancel" not in job.steered and told != "CANCELED":
                yield f"{job.wire} {job.job_id} was cancelled, which nobody asked for"
            if row["state"] == "failed":
                killed += 1
                if not any(word in str(row["cause"]) for word in KILLED):
                    yield f"{job.wire} {job.job_id} failed: {row['cause']}"
        if killed > children_killed:
            yield f"{killed} jobs failed of {children_killed} killed children"

    def delivered(self) -> Iterator[str]:
        """
        Every final outcome was delivered under one id, with one body; never two outcomes of one thing.
        """
        owed = [row for row in self.deliveries if row["state"] != "delivered"]
        if owed:
            yield f"{len(owed)} deliveries did not arrive, such as {owed[0]['topic']} {owed[0]['last_error']}"
        for delivery, bodies in self.hooks.bodies.items():
            if len(bodies) > 1:
                yield f"delivery {delivery} had {len(bodies)} bodies"
        yield from self._in_order()
        yield from self._as_it_was()

    def _as_it_was(self) -> Iterator[str]:
        """
        Jobs of flows and items of batches were delivered as what they are, and are shown so in results.
        """
        outcomes, ids = defaultdict(set), defaultdict(set)
        for delivery, body in self.hooks.taken:
            if found := _outcome_in(body):
                outcomes[found[0]].add(found[1])
                ids[found[0]].add(delivery)
        ends = {item: {state} if state in ("completed", "failed") else set() for item, state in self.items.items()}
        for item, end in ends.items():
            if outcomes[item] != end or len(ids[item]) != len(end):
                yield f"item {item} is {self.items[item]} and was delivered as {outcomes[item]} under {ids[item]}"
        for row in self.jobs.values():
            told = outcomes[row["public_id"]]
            well = row["state"] == "completed"
            if row["dialect"] == "hotglue" and (len(told) != 1 or (told == {"JOB_COMPLETED"}) != well):
                yield f"hotglue {row['id']} is {row['state']} and was delivered as {told}"
        for job in self.ledger.jobs:
            different = {item for item, word in job.outcomes.items() if _core(word) != self.items[item]}
            if different:
                yield f"{job.job_id}: its results say otherwise of {sorted(different)}"

    def _in_order(self) -> Iterator[str]:
        """
        Of one job of a flow, each payload came after the one before it.
        """
        place = {str(row["id"]): (row["job_id"], row["seq"]) for row in self.deliveries if row["topic"]}
        last: dict[Any, int] = {}
        for delivery, body in self.hooks.taken:
            job_id, seq = place.get(delivery, (None, 0))
            if job_id is None or "apiInfo" in body:
                continue
            if seq < last.get(job_id, 0):
                yield f"hotglue {job_id}: delivery {delivery} came after a later one"
            last[job_id] = max(seq, last.get(job_id, 0))

    def alone(self) -> Iterator[str]:
        """
        Never were two of one key at work at once, nor more calls of a batch than it may have.
        """
        violations = self.witness / "violations"
        if violations.exists():
            lines = violations.read_text().splitlines()
            yield f"{len(lines)} were not alone: {lines[:5]}"

    def rows(self) -> Iterator[str]:
        """
        Of the jobs that completed each row stands once in what they synced, and reached the target; each is noted once by its script.
        """
        for flow, tenants in TENANTS.items():
            for tenant in tenants:
                yield from self._rows_of(flow, tenant)

    def _rows_of(self, flow: str, tenant: str) -> Iterator[str]:
        name = f"{flow}-{tenant}"
        jobs = [row for row in self.jobs.values() if (row["definition"], row["tenant_id"]) == (flow, tenant)]
        completed = {row["public_id"] for row in jobs if row["state"] == "completed"}
        read = max((row["bookmark"] for row in self._bookmarks(flow, tenant)), default=0)
        delivered = [line.split() for line in _lines(self.witness / f"{name}.delivered")]
        arrived = {int(row) for job, row in delivered if job in completed}
        if arrived != set(range(1, read + 1)):
            yield f"{name}: of {read} rows these did not reach the target: {sorted(set(range(1, read + 1)) - arrived)[:9]}"
        if flow == "streamed":
            return
        synced: Counter[int] = Counter()
        for row in jobs:
            if row["public_id"] in completed:
                for file in self.home.glob(f"files/jobs/*/*/*/{row['id']}/sync-output/*.csv"):
                    synced.update(int(line.split(",")[0]) for line in _lines(file)[1:])
        if synced != Counter(range(1, read + 1)):
            twice = [row for row, times in synced.items() if times > 1]
            yield f"{name}: {len(synced)} of {read} rows were synced, {len(twice)} of them twice"
        noted = Counter(line for file in self.home.glob(f"files/snapshots/*/*/{name}.jobs") for line in _lines(file))
        if completed - set(noted) or any(times > 1 for times in noted.values()):
            yield f"{name}: its snapshot lacks {completed - set(noted)}, and has twice {noted.most_common(1)}"

    def _bookmarks(self, flow: str, tenant: str) -> list[dict[str, int]]:
        reply = _get(f"{self.url}/api/v1/flows/demo/{flow}/tenants/{tenant}/state")
        return [{"bookmark": source["state"]["last"]} for source in reply.json()["states"] if source["state"]]

    def pipelines(self) -> Iterator[str]:
        """
        A pipeline's job that completed has run to its end, and its log has every line once, in order, of the last try.
        """
        done = Counter(line for file in self.witness.glob("*.done") for line in _lines(file))
        for job in self.ledger.jobs:
            if job.wire == "matatika" and job.told["status"] == "COMPLETE":
                if not done[str(job.job_id)]:
                    yield f"matatika {job.job_id} completed without its command"
                log = _get(self.url + job.logs, accept="application/x-ndjson")
                lines = [json.loads(line) for line in log.text.splitlines()]
                if [line["sequence"] for line in lines] != list(range(len(lines))):
                    yield f"matatika {job.job_id}: the lines of its log are not in sequence"
                if [line["message"] for line in lines][-8:] != [f"line {number}" for number in range(1, 9)]:
                    yield f"matatika {job.job_id}: its log ends with {lines[-1]['message']!r}"

    def readable(self) -> Iterator[str]:
        """
        The history lists every job; each can be looked at, with its events and its log.
        """
        listed = set(_history(self.url))
        for job in self.ledger.jobs:
            if job.job_id not in listed:
                yield f"{job.wire} {job.job_id} is not in the history"
            for path in (f"/api/v1/jobs/{job.job_id}", f"/api/v1/jobs/{job.job_id}/events", *_logs(job)):
                reply = _get(self.url + path)
                if not reply.is_success:
                    yield f"{path}: {reply.status_code}"


def tracebacks(logs: Path) -> list[str]:
    """
    Find what the processes' logs tell of defects: tracebacks, with the line after each that names the error.
    """
    return [
        f"{file.name}: {line[:3000]}"
        for file in sorted(logs.glob("*.log"))
        for line in file.read_text("utf-8", errors="replace").splitlines()
        if "Traceback" in line
    ]


def _outcome_in(body: dict[str, Any]) -> tuple[str, str] | None:
    """
    Give whose end a payload tells, and which.
    """
    if "apiInfo" in body:
        return body["apiInfo"]["runId"], body["apiInfo"]["result"]["status"]
    if body["status"] == "JOB_COMPLETED" or body["status"].endswith("_FAILED"):
        return body["job_id"], body["status"]
    return None


def _core(told: str) -> str:
    return {"canceled": "cancelled"}.get(told, told)


def _logs(job: Acknowledged) -> list[str]:
    return [job.logs] if job.logs else []


def _history(url: str) -> Iterator[UUID]:
    before: int | None = None
    while True:
        page = _get(f"{url}/api/v1/jobs?limit=200" + (f"&before={before}" if before else "")).json()
        yield from (UUID(job["id"]) for job in page["jobs"])
        before = page["next"]
        if before is None:
            return


def _get(url: str, *, accept: str = "*/*") -> httpx2.Response:
    headers = {"x-api-key": KEY, "authorization": f"Bearer {KEY}", "accept": accept}
    return httpx2.get(url, headers=headers, timeout=30)


def _first_of(database: psycopg.Connection[dict[str, Any]], query: str) -> list[str]:
    return [next(iter(row.values())) for row in database.execute(query).fetchmany(5)]


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
