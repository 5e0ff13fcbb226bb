"""
Who says how a run is made: its item, its job, its project, or nobody; see docs/reference/intuned.md.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import msgspec
import pytest

from headrace.core.batch import AutomationProject, Batch
from headrace.core.job import NewJob
from headrace.core.plan import FanOut, Limits
from headrace.dialects.intuned.bodies import decode_job, decode_run
from headrace.dialects.intuned.compile import Asked, compile_batch, compile_run

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SINK = {"type": "webhook", "url": "https://project.example/", "headers": {"a": "project"}}
SILENT = AutomationProject(name="demo", folder=PurePosixPath("demo"))
SPEAKING = replace(SILENT, max_concurrent=5, proxy="http://project:1", sink=SINK, max_attempts=7, timeout_seconds=33)
BATCH = Batch(
    id=UUID(int=1), workspace_id=UUID(int=2), project="demo", name="crawl", definition=b"", secrets={}, paused=False, reason=None,
    source="API", created_at=NOON, updated_at=NOON, last_run_at=None,
)  # fmt: skip


def asked() -> Asked:
    numbers = count()
    return Asked(
        id=UUID(int=3), run_id=lambda: f"run-{next(numbers)}", workspace_id=UUID(int=2), workspace="demo", by="test",
        limits=Limits(), variables={},
    )  # fmt: skip


def job(project: AutomationProject, *, item: dict[str, Any] | None = None, **fields: Any) -> tuple[NewJob, FanOut]:
    payload = [{"apiName": "map", "parameters": {}, **(item or {})}]
    body = decode_job(msgspec.json.encode({"configuration": {}, "payload": payload, **fields}), with_id=False)
    new, plan = compile_batch(BATCH, body, project, asked())
    assert plan.fan_out is not None
    return new, plan.fan_out


def run(project: AutomationProject, **fields: Any) -> tuple[NewJob, FanOut]:
    new, plan = compile_run(
        decode_run(msgspec.json.encode({"api": "map", "parameters": {}, **fields})), project, asked()
    )
    assert plan.fan_out is not None
    return new, plan.fan_out


def tries(number: int) -> dict[str, Any]:
    return {"retry": {"maximumAttempts": number}}


@pytest.mark.parametrize(
    ("project", "configuration", "item", "own", "added"),
    [
        (SILENT, {}, {}, 3, 3),
        (SPEAKING, {}, {}, 7, 7),
        (SPEAKING, tries(5), {}, 5, 5),
        (SPEAKING, tries(5), tries(4), 4, 5),
        (SPEAKING, {}, tries(1), 1, 7),
    ],
)
def test_tries_are_those_of_the_item_its_job_its_project(
    project: AutomationProject, configuration: dict[str, Any], item: dict[str, Any], own: int, added: int
) -> None:
    """
    Items that are added while the job runs have those of the job.
    """
    new, plan = job(project, configuration=configuration, item=item)

    assert (new.items[0].max_attempts, plan.max_attempts) == (own, added)


@pytest.mark.parametrize(
    ("project", "of_job", "of_item", "own", "added"),
    [
        (SILENT, None, None, 600, 600),
        (SILENT, 600, 600, 600, 600),
        (SPEAKING, None, 600, 33, 33),
        (SPEAKING, 600, None, 33, 33),
        (SPEAKING, 60, 600, 60, 60),
        (SPEAKING, 60, 30.0, 30, 60),
    ],
)
def test_time_is_that_of_the_item_its_job_its_project(
    project: AutomationProject, of_job: int | None, of_item: int | None, own: int, added: int
) -> None:
    """
    Both clients always send 600, so it says nothing.
    """
    new, plan = job(project, configuration={"requestTimeout": of_job}, item={"requestTimeout": of_item})

    assert (new.items[0].timeout_seconds, plan.timeout_seconds) == (own, added)


def test_the_proxy_is_that_of_the_configuration_the_job_the_project() -> None:
    of_job, of_configuration = {"proxy": "http://job:1"}, {"configuration": {"proxy": "http://configuration:1"}}
    proxies = [
        job(project, **fields)[0].sealed.get("proxy")
        for project, fields in ((SILENT, {}), (SPEAKING, {}), (SPEAKING, of_job), (SPEAKING, of_job | of_configuration))
    ]

    assert proxies == [None, "http://project:1", "http://job:1", "http://configuration:1"]
    assert run(SPEAKING)[0].sealed["proxy"] == "http://project:1"
    assert run(SPEAKING, proxy="http://run:1")[0].sealed["proxy"] == "http://run:1"


@pytest.mark.parametrize("compiled", [job, run])
def test_the_sink_is_that_of_the_job_or_run_else_the_projects(compiled: Any) -> None:
    """
    One of them alone, with its own headers.
    """
    new, plan = compiled(SPEAKING)
    own, own_plan = compiled(SPEAKING, sink={"type": "webhook", "url": "https://own.example/"})

    assert compiled(SILENT)[1].sink is None
    assert (plan.sink.url, new.sealed["sink"]) == ("https://project.example/", {"headers": {"a": "project"}})
    assert (own_plan.sink.url, own.sealed["sink"]) == ("https://own.example/", {"headers": {}})


def test_jobs_and_runs_share_the_capacity_of_their_project() -> None:
    """
    A job may bound itself below it; a single run goes before items of jobs and adds none.
    """
    _, of_job = job(SPEAKING, configuration={"maxConcurrentRequests": 2.0, "maxRuns": 9})
    _, of_run = run(SPEAKING)

    assert of_job.pool == of_run.pool
    assert (of_job.pool_size, of_run.pool_size, SILENT.max_concurrent) == (5, 5, 1)
    assert (of_job.max_concurrent, of_job.max_items, of_run.max_concurrent) == (2, 9, None)
    assert (of_job.grows, of_run.grows) == (True, False)
