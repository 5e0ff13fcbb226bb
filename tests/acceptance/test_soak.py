"""
All three kinds of job at once, for minutes, while everything that can die is killed: whatever was promised holds at the end.

`HEADRACE_SOAK_SECONDS` says for how long jobs are submitted, `HEADRACE_SOAK_SEED` which mishaps there are, in which order.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from acceptance.running_server import eventually
from acceptance.soak_clients import BatchClient, Client, FlowClient, Ledger, PipelineClient
from acceptance.soak_findings import Findings, tracebacks
from acceptance.soak_project import TENANTS, define_batch, define_pipeline, receiving, soak_project
from acceptance.soak_server import Roles

SECONDS = float(os.environ.get("HEADRACE_SOAK_SECONDS", "180"))
SEED = int(os.environ.get("HEADRACE_SOAK_SEED", "1"))
PIPELINES = ("0b5f1c0a-8a2c-4d6e-9a00-000000000001", "0b5f1c0a-8a2c-4d6e-9a00-000000000002")
BATCHES = ("many", "more")
ENDS, CALM_SECONDS = 4, 6.0  # how many jobs end between two mishaps, and how long that may take
DELIVERED_SECONDS = 120.0
SWEPT_SECONDS = 90.0

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(SECONDS + 900)]


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="headrace-soak-", dir="/tmp"))
    folder.chmod(0o755)
    (folder / "witness").mkdir()
    yield folder
    if not os.environ.get("HEADRACE_KEEP"):
        shutil.rmtree(folder)


def clients_of(roles: Roles, witness: Path, ledger: Ledger) -> list[Client]:
    flows = [
        FlowClient(flow, tenant, witness, roles.url, ledger, SEED)
        for flow, tenants in TENANTS.items()
        for tenant in tenants
    ]
    pipelines = [PipelineClient(pipeline, roles.url, ledger, SEED) for pipeline in PIPELINES]
    return [*flows, *pipelines, *(BatchClient(batch, roles.url, ledger, SEED) for batch in BATCHES)]


def soak(roles: Roles, clients: list[Client], ledger: Ledger) -> None:
    """
    Strike again and again while the clients go on; then let them see their last jobs to the end.
    """
    for client in clients:
        client.start()
    over_at = time.monotonic() + SECONDS
    while time.monotonic() < over_at:
        ledger.until_ended(ENDS, seconds=CALM_SECONDS)
        roles.strike()
    ledger.stop.set()

    def all_ended() -> bool:
        roles.keep()
        return not any(client.is_alive() for client in clients)

    eventually(all_ended, seconds=300, what=f"all jobs have ended, after {roles.struck}")


def nothing_owed(roles: Roles) -> bool:
    """
    Whether jobs that nobody was told of have ended, too, and all is delivered.
    """
    with psycopg.connect(roles.database_url) as database:
        query = """
            select (select count(*) from job where state not in ('completed', 'failed', 'cancelled'))
                 + (select count(*) from delivery where state = 'pending')"""
        return database.execute(query).fetchone() == (0,)


def left_on_disk(roles: Roles) -> list[Path]:
    """
    List the places, links and temporary files of jobs that are still there.
    """
    places = [place for place in roles.home.glob("meltano/*") if place.name != "lock"]
    links = [link for link in Path("/home/hotglue").glob("*") if link.is_symlink() and _leads_into(link, roles.folder)]
    return [*places, *links, *roles.home.glob("scratch/*"), *roles.temporary.glob("*")]


def _leads_into(link: Path, folder: Path) -> bool:
    return link.readlink().is_relative_to(folder)


def test_what_was_promised_holds_whatever_dies(folder: Path) -> None:
    """
    Workers, servers, children, the database and all of them at once are killed, stopped and put to sleep, jobs are cancelled and paused.

    Every acknowledged job ends once and as its client was told; rows are synced once and reach their target; no outcome is delivered in two
    ways; never are two of one key at work at once; states move forward alone; nothing is left over.
    """
    witness, ledger = folder / "witness", Ledger()
    with receiving() as hooks, asyncio.Runner() as runner:
        project = soak_project(folder / "project", witness, hooks.url)
        roles = Roles(folder, project, runner, random.Random(SEED))
        try:
            roles.start()
            for pipeline in PIPELINES:
                define_pipeline(roles.url, pipeline, witness)
            for batch in BATCHES:
                define_batch(roles.url, batch, witness, hooks.url)
            soak(roles, clients_of(roles, witness, ledger), ledger)
            eventually(lambda: nothing_owed(roles), seconds=DELIVERED_SECONDS, what="all is delivered")
            roles.restart_workers()
            roles.until_ready()
            found = Findings(roles.database_url, roles.url, roles.home, witness, ledger, hooks)
            wrong = found.all(children_killed=roles.children_killed)
            assert wrong == [], roles.struck
            eventually(lambda: not left_on_disk(roles), seconds=SWEPT_SECONDS, what="nothing is left on the disk")
            roles.watch()
            codes = roles.end()
            eventually(lambda: not roles.left(), seconds=10, what="no process is left")
        finally:
            roles.close()
    print(f"seed {SEED}: {len(ledger.jobs)} jobs, {len(hooks.bodies)} deliveries, {roles.struck}")

    assert tracebacks(roles.logs) == []
    assert codes == [0, 0, 0]
    assert {job.wire for job in ledger.jobs if job.told} == {"hotglue", "matatika", "intuned"}
