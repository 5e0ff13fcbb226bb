"""
Fresh access tokens: refreshed by the connector itself, one at a time, and saved.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from hotglue_mill import FAKES, TAP, Mill, mill_over
from hotglue_rows import row
from house import House
from house_app import client_of, face_of
from house_hotglue import tenancy_of
from msgspec import structs

from headrace.core.outcome import Succeeded
from headrace.core.plan import ConnectorSpec
from headrace.runners.process import ShimPool

SOURCE = ConnectorSpec(
    name="tap-source", kind="tap", command=("python", str(FAKES / "tap_source.py")), access_token=True
)
FALLBACK = "Connector doesn't support get access token"


@pytest.fixture
async def mill(house: House, environments: Path, tmp_path: Path) -> AsyncIterator[Mill]:
    async with ShimPool(warm=1) as pool, mill_over(house, pool, environments, slot_seconds=20) as mill:
        (tmp_path / "tokens").write_text("token-1")
        (tmp_path / "rows").write_text(json.dumps([{"id": 1, "name": "one"}]))
        mill.flow(SOURCE, TAP)
        await mill.link(SOURCE, tokens=str(tmp_path / "tokens"), rows=str(tmp_path / "rows"), refresh_token="token-1")
        yield mill


async def ask(mill: Mill, connector: str = "tap-source", **query: str) -> httpx2.Response:
    return await mill.client.get(f"{mill.path}/connectors/{connector}/accesstoken", params=query)


@row("2.2 L9")
async def test_a_token_is_refreshed_by_its_connector_and_saved(mill: Mill) -> None:
    """
    The answer is what hotglue's SDK checks; the rotated refresh token is on the connection, `expires_in` beside it.
    """
    async with mill.working():
        answer = await ask(mill, include_properties="expires_in")
    config = (await mill.linked())["config"]

    assert answer.status_code == 200, answer.text
    assert answer.json() == {"success": True, "access_token": "access-2", "expires_in": config["expires_in"]}
    assert (config["refresh_token"], config["access_token"]) == ("token-2", "access-2")
    assert "_refresh_token_via_hg_api" not in config


async def test_a_token_that_is_good_for_long_is_given_as_it_is(mill: Mill) -> None:
    """
    Nothing is spent on it; with `refresh` it is.
    """
    async with mill.working():
        answers = [await ask(mill), await ask(mill), await ask(mill, "source"), await ask(mill, refresh="true")]

    assert [answer.json()["access_token"] for answer in answers] == ["access-2", "access-2", "access-2", "access-3"]


async def test_whoever_asks_at_once_gets_the_token_of_one_refresh(mill: Mill) -> None:
    """
    A rotating refresh token is spent once, however many ask.
    """
    async with mill.working():
        answers = await asyncio.gather(*(ask(mill, refresh="true") for _ in range(5)))

    assert {(answer.status_code, answer.json()["access_token"]) for answer in answers} == {(200, "access-2")}


async def test_an_account_that_refuses_is_a_bad_request(mill: Mill, tmp_path: Path) -> None:
    """
    hotglue's SDK takes a 400 with another message than its own for wrong credentials.
    """
    (tmp_path / "tokens").write_text("token-9")
    async with mill.working():
        answer = await ask(mill)

    assert (answer.status_code, answer.json()["Code"]) == (400, "BadRequestError")
    assert "the refresh token was used before" in answer.json()["Message"]


@pytest.mark.parametrize("connector", ["tap-fake", "tap-rails", "nobody"])
@row("2.2 L9")
async def test_others_are_told_to_refresh_by_themselves(mill: Mill, connector: str) -> None:
    await mill.link(TAP)

    answer = await ask(mill, connector)

    assert (answer.status_code, answer.json()["Message"]) == (400, FALLBACK)


async def test_a_definition_that_promises_too_much_is_told_so_as_well(mill: Mill) -> None:
    """
    A program that knows no `--access-token` answers as one that was never asked.
    """
    promising = structs.replace(TAP, access_token=True)
    mill.flow(SOURCE, promising)
    await mill.link(promising)
    async with mill.working():
        answer = await ask(mill, "tap-fake")

    assert (answer.status_code, answer.json()["Message"]) == (400, FALLBACK)


async def test_a_token_is_no_matter_for_public_keys(mill: Mill, house: House) -> None:
    key = await house.access.make_key(name="page", role="public", workspace_id=house.workspace.id)
    async with client_of(face_of(house), key) as page:
        answer = await page.get(f"{mill.path}/connectors/tap-source/accesstoken")

    assert answer.status_code == 403
    assert "access" not in json.dumps((await mill.linked())["config"])


async def test_without_a_free_worker_nothing_is_left_behind(mill: Mill, house: House) -> None:
    """
    A tap that asks holds a slot, so a refresh must not wait for one for ever: it is taken back. The tap then refreshes its token
    itself, anybody else may ask again.
    """
    work = await house.started()
    key_of_job = house.job_keys.make(work.claim)
    house.queue.slots = 0
    app = face_of(house, tenancy=tenancy_of(house, slot_seconds=0.1))
    path = f"{mill.path}/connectors/tap-source/accesstoken"
    async with client_of(app) as client, client_of(app, key_of_job) as tap:
        answer, answer_to_tap = await client.get(path), await tap.get(path)

    assert (answer.status_code, answer.json()["Code"]) == (429, "TooManyRequestsError")
    assert (answer_to_tap.status_code, answer_to_tap.json()["Message"]) == (400, FALLBACK)
    await house.settle(work, Succeeded())
    assert await mill.work() == 0
    assert (await mill.linked())["config"]["refresh_token"] == "token-1"
