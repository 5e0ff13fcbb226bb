"""
Real-time writes: a record to a connector, and what became of it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hotglue_mill import TARGET, Mill, mill_over
from hotglue_rows import row
from house import House

from headrace.runners.process import ShimPool

CONTACT = {"id": "7", "email": "a@example.com", "age": 30, "tags": ["x"]}


@pytest.fixture
async def mill(house: House, environments: Path, tmp_path: Path) -> AsyncIterator[Mill]:
    async with ShimPool(warm=1) as pool, mill_over(house, pool, environments) as mill:
        mill.flow()
        await mill.link(TARGET, mode="sdk", output=str(tmp_path))
        yield mill


async def write(mill: Mill, connector: str = "fake", **body: Any) -> httpx2.Response:
    return await mill.client.post(f"{mill.path}/connectors/{connector}/Contact", json=body)


@row("2.2 L10")
async def test_a_record_is_written_and_its_fate_told(mill: Mill, tmp_path: Path) -> None:
    """
    The answer has hotglue's keys; the target was given the record as it was sent.
    """
    async with mill.working():
        answer = await write(mill, data=CONTACT)
    told = answer.json()

    assert answer.status_code == 200, answer.text
    assert set(told) == {"async", "jobId", "taskId", "state", "logs"}
    assert told["async"] is False
    assert told["state"]["summary"] == {"Contact": {"success": 1, "fail": 0, "existing": 0, "updated": 0}}
    assert [entry["externalId"] for entry in told["state"]["bookmarks"]["Contact"]] == ["7"]
    assert json.loads((tmp_path / "Contact.jsonl").read_text()) == CONTACT
    assert (await mill.client.get(f"{mill.path}/jobs")).json() == []


@row("2.2 L10")
async def test_a_write_may_be_asked_after(mill: Mill) -> None:
    """
    An asynchronous one is answered at once; its result comes when it is there, refused records and all.
    """
    await mill.link(TARGET, mode="sdk-failures")
    task = (await write(mill, data=[CONTACT, {**CONTACT, "id": "8"}], **{"async": True})).json()
    status = f"{mill.path}/connectors/status?taskId={task['taskId']}"

    before = (await mill.client.get(status)).json()
    await mill.work()
    after = (await mill.client.get(status)).json()

    assert task["async"] is True
    assert before == {"has_data": False, "result": None}
    assert (after["has_data"], after["result"]["status_code"], after["result"]["jobId"]) == (True, 200, task["jobId"])
    assert after["result"]["state"]["summary"]["Contact"]["fail"] == 1


async def test_a_write_whose_target_fails_says_why(mill: Mill) -> None:
    await mill.link(TARGET, mode="exit-4", after=0)
    async with mill.working():
        answer = await write(mill, data=CONTACT)

    assert (answer.status_code, answer.json()["Code"]) == (400, "BadRequestError")
    assert answer.json()["Message"]
    assert answer.json()["taskId"]


@pytest.mark.parametrize(
    ("connector", "body", "says"),
    [
        ("fake", {}, "`data`"),
        ("fake", {"data": []}, "`data`"),
        ("fake", {"data": "text"}, "`data`"),
        ("fake", {"data": CONTACT, "async": "yes"}, "`async`"),
        ("nobody", {"data": CONTACT}, "not linked"),
    ],
)
async def test_a_write_that_says_too_little_is_refused(
    mill: Mill, connector: str, body: dict[str, Any], says: str
) -> None:
    answer = await write(mill, connector, **body)

    assert answer.status_code == 400
    assert says in answer.json()["Message"]


async def test_a_repeated_write_under_one_key_is_one_job(mill: Mill) -> None:
    path, headers = f"{mill.path}/connectors/fake/Contact", {"idempotency-key": "once"}
    body = {"data": CONTACT, "async": True}

    tasks = [(await mill.client.post(path, json=body, headers=headers)).json()["taskId"] for _ in range(2)]

    assert tasks[0] == tasks[1]


async def test_a_task_of_another_tenant_is_unknown(mill: Mill) -> None:
    task = (await write(mill, data=CONTACT, **{"async": True})).json()

    for task_id in (task["taskId"], "nonsense"):
        answer = await mill.client.get(f"/hotglue/demo/mill/zeta/connectors/status?taskId={task_id}")
        assert (answer.status_code, answer.json()["Code"]) == (400, "NotFoundError")
