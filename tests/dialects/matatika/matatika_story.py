"""
One story of a workspace, told once: jobs in every stage of their lives, as callers were shown them; many tests look at it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from matatika_mill import Mill

COMMIT: Final = "0123456789abcdef0123456789abcdef01234567"
MISSING: Final = object()
DETAILS: Final = {"enable-task-details": "true"}

_FLAKY = 'if [ -e "$ROOT/once" ]; then echo well; exit 0; fi; touch "$ROOT/once"; echo ill >&2; exit 3'
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?")


@dataclass(frozen=True, slots=True)
class Told:
    """
    Attributes:
        jobs: by stage, the answers that showed them.
        pipelines: ids by name.
    """

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    pipelines: dict[str, str] = field(default_factory=dict)


def write_checkout(project: Path) -> None:
    """
    Write a Meltano project without plugins, as a git checkout at `COMMIT`.
    """
    (project / ".git").mkdir(parents=True)
    (project / ".git" / "HEAD").write_text(f"{COMMIT}\n")
    (project / "meltano.yml").write_text("default_environment: dev\n")


async def tell(mill: Mill) -> Told:
    """
    Let pipelines end well, badly, late, at a second try, by hand, before they began, and because another ended.
    """
    told = Told()
    pipelines: dict[str, dict[str, Any]] = {
        "good": {"script": "echo hello", "maxRetries": 1},
        "bad": {"script": "echo boom >&2; exit 7"},
        "flaky": {"script": _FLAKY, "maxRetries": 2},
        "late": {"script": "sleep 60", "timeout": 1},
        "slow": {"script": "echo started; sleep 60"},
        "after": {"script": "true", "triggeredBy": ["good"]},
    }
    for name, fields in pipelines.items():
        told.pipelines[name] = await mill.pipeline(name, ready=False, **fields)
    await mill.work()
    jobs = told.jobs
    (jobs["config"],) = await _jobs(mill, told.pipelines["good"])
    jobs["queued"] = await mill.create(told.pipelines["good"])
    await mill.work()
    jobs["complete"] = await mill.job(jobs["queued"]["id"])
    jobs["error"] = await mill.run(told.pipelines["bad"])
    jobs["detailed"] = await mill.job(jobs["error"]["id"], **DETAILS)
    jobs["detailed complete"] = await mill.job(jobs["complete"]["id"], **DETAILS)
    flaky = await mill.create(told.pipelines["flaky"])
    await mill.work()
    jobs["between tries"] = await mill.job(flaky["id"])
    await mill.make_due()
    await mill.work()
    jobs["recovered"] = await mill.job(flaky["id"])
    jobs["timed out"] = await mill.run(told.pipelines["late"])
    withdrawn = await mill.create(told.pipelines["bad"])
    await mill.client.put(f"jobs/{withdrawn['id']}/stopped")
    jobs["withdrawn"] = await mill.job(withdrawn["id"])
    await _run_and_stop(mill, told)
    await mill.follow_ups.tick()
    jobs["triggered"] = (await _jobs(mill, told.pipelines["after"]))[0]
    await mill.work()
    jobs["verify"] = (await mill.client.post(f"pipelines/{told.pipelines['good']}/verification")).json()
    jobs["deploy"] = (await mill.client.post(f"{mill.workspace}/deployments")).json()
    await mill.work()
    await mill.follow_ups.tick()
    return told


async def _run_and_stop(mill: Mill, told: Told) -> None:
    slow = await mill.create(told.pipelines["slow"])
    working = asyncio.create_task(mill.work())
    async with asyncio.timeout(30):
        while "started" not in await mill.logs(slow["id"]):  # noqa: ASYNC110 - another process prints it
            await asyncio.sleep(0.05)
    told.jobs["running"] = await mill.job(slow["id"])
    await mill.client.put(f"jobs/{slow['id']}/stopped")
    await asyncio.wait_for(working, 30)
    told.jobs["stopped"] = await mill.job(slow["id"])


async def _jobs(mill: Mill, pipeline: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await mill.client.get(f"pipelines/{pipeline}/jobs")).json()["_embedded"]["jobs"]
    return found


Expected = Any | Callable[[Any], bool]


def check(resources: Mapping[str, Mapping[str, Any]], path: str, expected: Mapping[str, Expected]) -> None:
    """
    Compare one field of several resources; *path* has dots where `_embedded` or `_links` are meant, and `MISSING` means no such key.
    """
    for stage, wanted in expected.items():
        found = at(resources[stage], path)
        fits = wanted(found) if callable(wanted) else found == wanted
        assert fits, f"{path} of {stage}: {'missing' if found is MISSING else repr(found)}"


def at(resource: Any, path: str) -> Any:
    """
    Give what stands at a path of a resource, or `MISSING`.
    """
    first, _, rest = path.partition(".") if path.startswith("_") else (path, "", "")
    found = resource.get(first, MISSING)
    return at(found, rest) if rest and found is not MISSING else found


def is_time(value: Any) -> bool:
    """Section 2.2: no zone, up to six digits of fraction, no zeros at its end."""
    return isinstance(value, str) and bool(_TIME.fullmatch(value)) and datetime.fromisoformat(value).tzinfo is None


def is_uuid4(value: Any) -> bool:
    return isinstance(value, str) and UUID(value).version == 4
