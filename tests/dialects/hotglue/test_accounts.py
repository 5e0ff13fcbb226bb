"""
What jobs tell of the accounts behind connections: rotated tokens are kept, and accounts that refuse are marked.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hotglue_mill import FAKES, FLOW, TARGET, TENANT, Mill, mill_over
from house import House

from headrace.core.plan import ConfigRef, ConnectorSpec, Plan, Sync
from headrace.runners.process import ShimPool
from headrace.services.attempts import Work
from headrace.store.connections import Place

SOURCE = ConnectorSpec(name="tap-source", kind="tap", command=("python", str(FAKES / "tap_source.py")))
DEADLINE_SECONDS = 60.0
REFUSING = """
class InvalidCredentialsError(Exception):
    pass

raise InvalidCredentialsError("the destination wants another key")
"""


@pytest.fixture
async def mill(house: House, environments: Path, tmp_path: Path) -> AsyncIterator[Mill]:
    async with ShimPool(warm=1) as pool, mill_over(house, pool, environments) as mill:
        (tmp_path / "tokens").write_text("token-1")
        (tmp_path / "rows").write_text(json.dumps([{"id": 1, "name": "one"}]))
        mill.flow(SOURCE, TARGET)
        await mill.link(TARGET)
        yield mill


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    """
    Look again and again; the other side is another process, there is nothing to wait on.
    """
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            if await look():
                return
            await asyncio.sleep(0.05)


async def rotated(mill: Mill) -> bool:
    return bool((await mill.linked())["config"]["refresh_token"] == "token-2")


async def failed(mill: Mill) -> bool:
    return "_FAILED" in (await mill.client.get(f"{mill.path}/jobs/latest")).json()["status"]


async def somebody_waits(connection: Any) -> bool:
    """
    Tell whether the database lets anybody wait for a lock.
    """
    return (await (await connection.execute("select 1 from pg_locks where not granted")).fetchone()) is not None


def source(folder: Path, **more: str) -> dict[str, str]:
    return {"tokens": str(folder / "tokens"), "rows": str(folder / "rows"), "refresh_token": "token-1", **more}


async def test_an_account_that_refuses_is_marked_until_it_is_good_again(mill: Mill, tmp_path: Path) -> None:
    """
    The link shows `disconnected` and an error; jobs still try, and one that completes clears it.
    """
    await mill.link(SOURCE, **source(tmp_path))
    (tmp_path / "tokens").write_text("token-9")
    failed = await mill.run()
    marked = await mill.linked()
    (tmp_path / "tokens").write_text("token-1")
    completed = await mill.run()

    assert (failed["status"], marked["disconnected"]) == ("SYNC_FAILED", True)
    assert "Link it anew" in marked["error"]["message"]
    assert (await mill.linked("linkedTargets"))["disconnected"] is False
    assert completed["status"] == "JOB_COMPLETED", completed["message"]
    assert ((await mill.linked())["disconnected"], (await mill.linked())["error"]) == (False, None)


async def test_linking_anew_clears_the_mark(mill: Mill, tmp_path: Path) -> None:
    await mill.link(SOURCE, **source(tmp_path, refresh_token="token-0"))
    await mill.run()
    before = (await mill.linked())["disconnected"]
    body = {"source": {"tap": SOURCE.name, "config": source(tmp_path)}}
    after = (await mill.client.post(f"{mill.path}/linkedSources", json=body)).json()

    assert (before, after["disconnected"]) == (True, False)


async def test_a_target_that_refuses_is_marked_not_the_source(mill: Mill, tmp_path: Path) -> None:
    (tmp_path / "refusing.py").write_text(REFUSING)
    refusing = ConnectorSpec(name="target-refusing", kind="target", command=("python", str(tmp_path / "refusing.py")))
    mill.flow(SOURCE, TARGET, refusing)
    await mill.link(SOURCE, **source(tmp_path))
    await mill.link(refusing)
    failed = await mill.run()
    targets = (await mill.client.get(f"{mill.path}/linkedTargets")).json()

    assert (failed["status"], (await mill.linked())["disconnected"]) == ("EXPORT_FAILED", False)
    assert {link["target"]: link["disconnected"] for link in targets} == {"target-fake": False, "target-refusing": True}


async def test_the_target_that_refuses_is_marked_not_the_one_after_it(mill: Mill, tmp_path: Path) -> None:
    """
    A later target runs all the same, and what the first said is no evidence against it.
    """
    (tmp_path / "refusing.py").write_text(REFUSING)
    (tmp_path / "failing.py").write_text("raise SystemExit(4)")
    commands = {"target-refusing": "refusing.py", "target-failing": "failing.py"}
    refusing, failing = (
        ConnectorSpec(name=name, kind="target", command=("python", str(tmp_path / file)))
        for name, file in commands.items()
    )
    mill.flow(SOURCE, refusing, failing, TARGET)
    await mill.link(SOURCE, **source(tmp_path))
    await mill.link(refusing)
    await mill.link(failing)
    failed = await mill.run()
    targets = (await mill.client.get(f"{mill.path}/linkedTargets")).json()

    assert failed["message"].startswith("InvalidCredentialsError: the destination wants another key")
    assert {link["target"]: link["disconnected"] for link in targets} == {
        "target-fake": False,
        "target-failing": False,
        "target-refusing": True,
    }


@pytest.mark.parametrize(
    "told",
    [
        {"auth_error_response": {"error": "invalid_grant"}},
        {"bookmarks": {"people": [{"success": False, "hg_error_class": "InvalidCredentialsError"}]}},
    ],
    ids=["auth_error_response", "hg_error_class"],
)
async def test_a_target_that_ended_well_may_tell_that_its_account_refused(
    mill: Mill, tmp_path: Path, told: dict[str, Any]
) -> None:
    """
    hotglue's target SDK exits with 0 then: the job has completed, and the connection shows `disconnected`.
    """
    state = json.dumps({"bookmarks": {}, "summary": {"people": {"fail": 1}}, **told})
    (tmp_path / "telling.py").write_text(f"import sys\nsys.stdin.read()\nprint({state!r})\n")
    telling = ConnectorSpec(name="target-telling", kind="target", command=("python", str(tmp_path / "telling.py")))
    mill.flow(SOURCE, telling)
    await mill.link(SOURCE, **source(tmp_path))
    await mill.link(telling)
    record = await mill.run()
    targets = (await mill.client.get(f"{mill.path}/linkedTargets")).json()

    assert record["status"] == "JOB_COMPLETED", record["message"]
    assert {link["target"]: link["disconnected"] for link in targets}["target-telling"] is True
    assert (await mill.linked())["disconnected"] is False


async def test_a_token_is_kept_while_its_job_still_runs(mill: Mill, tmp_path: Path) -> None:
    """
    Seconds after a tap has rotated its token it is on the connection, should the whole machine be lost.
    """
    await mill.link(SOURCE, **source(tmp_path, then="stay"))
    async with mill.working():
        job = (await mill.client.post(f"{mill.path}/jobs")).json()
        await until(lambda: rotated(mill))
        status = (await mill.client.get(f"{mill.path}/jobs/status", params={"job_root": job["s3_root"]})).json()
        await mill.client.post(f"{mill.path}/jobs/kill", params={"job_root": job["s3_root"]})
        await until(lambda: failed(mill))

    assert status["status"] == "SYNC_STARTED"


async def begun(house: House) -> Work:
    """
    Give a job that has begun, on the connection of tap `tap-source`.
    """
    link = await house.link(FLOW, TENANT, "source", SOURCE.name, {"refresh_token": "one", "kept": 1})
    step = Sync(name="sync", connector=SOURCE, config=ConfigRef(connection=str(link)))
    job = (await house.jobs.submit(house.new_job(), Plan(steps=(step,)))).job
    await house.admit(1)
    work = await house.claim(job.id)
    assert work is not None
    return work


async def test_two_jobs_that_rewrite_one_connection_undo_nothing(house: House) -> None:
    """
    Whoever writes settings holds their row from reading to writing.
    """
    work = await begun(house)
    (link,) = work.connections.values()
    async with house.database.transaction() as connection:
        theirs = await house.connections.read_settings(connection, link.id)
        assert theirs is not None
        ours = asyncio.ensure_future(house.attempts.save_config(work, link.id, {"refresh_token": "two"}))
        async with house.database.connection() as other:
            await until(lambda: somebody_waits(other))
        await house.connections.save_config(connection, link.id, {**theirs.config, "access_token": "fresh"})
    await ours

    async with house.database.connection() as connection:
        after = await house.connections.read(connection, link.id)
    assert after is not None
    assert after.config == {"refresh_token": "two", "kept": 1, "access_token": "fresh"}


async def test_a_connection_linked_anew_keeps_its_new_tokens(house: House) -> None:
    work = await begun(house)
    (link,) = work.connections.values()
    async with house.database.transaction() as connection:
        place = Place(link.workspace_id, link.tenant, link.flow_id, link.role, link.connector)
        await house.connections.link(connection, uuid4(), place, config={"refresh_token": "new"})

    await house.attempts.save_config(work, link.id, {"refresh_token": "old"})

    async with house.database.connection() as connection:
        after = await house.connections.read(connection, link.id)
    assert after is not None
    assert after.config == {"refresh_token": "new"}
