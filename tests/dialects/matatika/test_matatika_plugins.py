"""
Plugins of workspaces: those of the project, those that were added, those of other workspaces, and the discovery file.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from matatika_mill import Mill
from matatika_rows import row
from meltano_kit import write_project

TAP = {
    "pluginType": "EXTRACTOR",
    "name": "tap-x",
    "variant": "acme",
    "namespace": "tap_x",
    "pipUrl": "tap-x==1",
    "settings": [{"name": "api_token", "kind": "password"}],
}


async def _plugins(mill: Mill, path: str) -> dict[str, dict[str, Any]]:
    found = (await mill.client.get(path)).json()
    return {each["name"]: each for each in found.get("_embedded", {}).get("dataplugins", [])}


async def _other_workspace(mill: Mill) -> str:
    made = await mill.client.put(f"workspaces/{uuid4()}", json={"name": "other"})
    assert made.status_code == 201
    return f"workspaces/{made.json()['id']}"


@row("5.5 Dataplugins")
async def test_the_projects_plugins_are_listed_with_those_that_were_added(mill: Mill) -> None:
    """
    Section 5.5: every listed plugin can be viewed by its id; the project's own can be deleted in its file alone.
    """
    write_project(mill.project)
    added = (await mill.client.put(f"{mill.workspace}/dataplugins/{uuid4()}", json=TAP)).json()

    for path in ("dataplugins", f"{mill.workspace}/dataplugins"):
        found = await _plugins(mill, path)
        assert set(found) == {"tap-jsonl", "target-jsonl", "tap-x"}
        for name, each in found.items():
            viewed = (await mill.client.get(f"dataplugins/{each['id']}")).json()
            assert (viewed["name"], viewed["pluginType"]) == (name, each["pluginType"])
    refused = await mill.client.delete(f"dataplugins/{found['tap-jsonl']['id']}")
    assert (refused.status_code, "meltano.yml" in refused.json()["message"]) == (409, True)
    component = await mill.client.put(
        f"{mill.workspace}/datacomponents/{uuid4()}", json={"name": "mine", "dataPlugin": "extractors/tap-x"}
    )
    in_use = await mill.client.delete(f"dataplugins/{added['id']}")
    assert (in_use.status_code, "mine" in in_use.json()["message"]) == (409, True)
    await mill.client.delete(f"datacomponents/{component.json()['id']}")
    assert (await mill.client.delete(f"dataplugins/{added['id']}")).status_code == 204
    assert (await mill.client.get(f"dataplugins/{added['id']}")).status_code == 404


@row("5.5 Installed")
async def test_a_plugin_of_another_workspace_is_available_and_can_be_installed(mill: Mill) -> None:
    """
    Section 5.5: `availabledataplugins` lists what could be had, `installed` gets it; secrets of the other's config stay there.
    """
    write_project(mill.project)
    here = await _other_workspace(mill)
    assert await _plugins(mill, f"{here}/dataplugins") == {}
    available = await _plugins(mill, f"{here}/availabledataplugins")
    assert set(available) == {"tap-jsonl", "target-jsonl"}
    path = f"dataplugins/{available['tap-jsonl']['id']}/{here}/installed"

    first, second = await mill.client.put(path), await mill.client.put(path)

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["id"] == second.json()["id"] != available["tap-jsonl"]["id"]
    installed = await _plugins(mill, f"{here}/dataplugins")
    assert set(installed) == {"tap-jsonl"}
    assert installed["tap-jsonl"]["pipUrl"] == "tap-jsonl==0.3.1"
    pipeline = {"label": "x", "dataComponents": ["extractors/tap-jsonl"]}
    assert (await mill.client.put(f"{here}/pipelines/{uuid4()}", json=pipeline)).status_code == 201
    key = await mill.house.access.make_key(
        name="elsewhere", role="admin", workspace_id=(await mill.desk.doors.open(here.split("/")[1])).id
    )
    foreign = mill.client_with(key)
    assert (await foreign.put(f"dataplugins/{available['target-jsonl']['id']}/{here}/installed")).status_code == 403
    await foreign.aclose()


@row("5.5 discovery.yml")
async def test_a_discovery_file_is_given_and_taken(mill: Mill) -> None:
    """
    Section 5.5: what one workspace gives as its discovery file, another takes; taking it twice changes nothing.
    """
    write_project(mill.project)
    here = await _other_workspace(mill)
    given = await mill.client.get(f"{mill.workspace}/discovery.yml")
    assert given.status_code == 200
    assert (await mill.client.get("discovery.yml")).text == given.text

    for _ in range(2):
        assert (await mill.client.post(f"{here}/discovery", content=given.content)).status_code == 200
    assert (await mill.client.get(f"{here}/discovery")).text == given.text
    assert set(await _plugins(mill, f"{here}/dataplugins")) == {"tap-jsonl", "target-jsonl"}


@pytest.mark.parametrize(
    "body",
    [
        b"extractors: [",
        b"\xff\xfe",
        b"- a",
        b"extractors: {a: 1}",
        b"extractors: [{pip_url: x}]",
        b"loaders: [{name: good}]\nextractors: [{name: 'a/b'}]",
        json.dumps({"extractors": ["x"]}).encode(),
        b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nextractors: [*c]",
        b"extractors: &e [*e]",
    ],
)
async def test_a_wrong_discovery_file_changes_nothing(shared_mill: Mill, body: bytes) -> None:
    """
    400 with the place, and not one plugin of it is there.
    """
    before = await _plugins(shared_mill, f"{shared_mill.workspace}/dataplugins")

    answer = await shared_mill.client.post(f"{shared_mill.workspace}/discovery.yml", content=body)

    assert answer.status_code == 400, answer.text
    assert answer.json()["message"]
    assert await _plugins(shared_mill, f"{shared_mill.workspace}/dataplugins") == before


@row("5.5 Subscriptions", "5.5 Notifications")
async def test_all_members_are_subscribed_by_who_may_and_hear_who_acted(mill: Mill) -> None:
    """
    Section 5.5: `allMembers` is for administrators, changes nobody's choice, and a notification names its actor.
    """
    other = mill.client_with(await mill.house.access.make_key(name="Bo", role="viewer", workspace_id=None))
    pipeline = await mill.pipeline(script="true")
    mine = (await other.post(f"pipelines/{pipeline}/subscriptions")).json()
    assert mine["_embedded"]["pipeline"] == {"id": pipeline, "label": "daily", "name": "daily"}
    assert mine["_embedded"]["subscriberProfile"]["name"] == "Bo"
    await other.put(f"subscriptions/{mine['id']}", json={"type": "NONE"})
    refused = await other.post(f"{mill.workspace}/subscriptions?allMembers=true")

    everybody = await mill.client.post(f"{mill.workspace}/subscriptions?allMembers=true")
    assert (refused.status_code, everybody.status_code) == (403, 200)
    await mill.run(pipeline)
    await mill.follow_ups.tick()

    types = {each["type"] for each in (await other.get("subscriptions")).json()["_embedded"]["subscriptions"]}
    assert types == {"ALL", "NONE"}
    found = (await other.get(f"{mill.workspace}/notifications")).json()
    assert found["_links"]["self"]["href"].split("?")[0].endswith(f"{mill.workspace}/notifications")
    ended = [each for each in found["_embedded"]["notifications"] if each["type"] == "JOB_ENDED"]
    assert {each["actor"]["name"] for each in ended} == {"admin"}
    await mill.client.delete(f"pipelines/{pipeline}")
    left = (await other.get("subscriptions")).json()["_embedded"]["subscriptions"]
    assert [next(iter(each["_embedded"])) for each in left] == ["workspace"]
    await other.aclose()
