"""
Section 5 of the reference, row by row: workspaces, profiles, components, stores, keys, plugins, subscriptions, notifications, datasets.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from matatika_mill import Mill
from matatika_rows import row
from matatika_story import Told, is_time, is_uuid4

BASE = "http://headrace.test/matatika/api"
PLUGINS = (
    {
        "pluginType": "extractors", "name": "tap-shelf", "namespace": "tap_shelf", "variant": "acme", "pipUrl": "tap-shelf==1",
        "executable": "tap-shelf", "capabilities": ["catalog", "state"],
        "settings": [{"name": "token", "kind": "password"}, {"name": "since", "kind": "date_iso8601", "value": "2020-01-01"}],
    },
    {"pluginType": "LOADER", "name": "target-shelf", "namespace": "target_shelf", "pipUrl": "target-shelf==1"},
)  # fmt: skip


@pytest.fixture(scope="session")
async def shelf(told: Told, shared_mill: Mill) -> list[dict[str, Any]]:
    """
    An extractor and a loader of the workspace, as they were shown when they were made.
    """
    answers = [
        await shared_mill.client.put(f"{shared_mill.workspace}/dataplugins/{uuid4()}", json=each) for each in PLUGINS
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    return [answer.json() for answer in answers]


async def _viewer(mill: Mill) -> str:
    await mill.house.access.ensure_key(
        "viewer-of-rows", name="viewer", role="viewer", workspace_id=mill.house.workspace.id
    )
    return "viewer-of-rows"


def _actions(links: dict[str, dict[str, str]]) -> dict[str, str]:
    return {name: link.get("type", "GET") for name, link in links.items()}


@row("5.1 List", "5.1 View", "5.1 links")
async def test_workspaces_are_listed_and_viewed(shared_mill: Mill) -> None:
    """
    By id and, ours, by name; with the links of the documented answer that lead somewhere here.
    """
    listed = (await shared_mill.client.get("workspaces")).json()
    by_id = (await shared_mill.client.get(shared_mill.workspace)).json()
    by_name = (await shared_mill.client.get("workspaces/demo")).json()

    assert by_id in listed["_embedded"]["workspaces"]
    assert by_name["id"] == by_id["id"] == str(shared_mill.house.workspace.id)
    assert listed["page"]["totalElements"] == len(listed["_embedded"]["workspaces"])
    assert set(by_id["_links"]) >= {
        "self", "update delete workspace", "make-default", "members", "datasets", "publish dataset", "channels", "dataplugins",
        "pipelines", "new pipeline", "datacomponents", "datastores", "jobs",
    }  # fmt: skip
    assert _actions(by_id["_links"])["make-default"] == "PUT"
    members = (await shared_mill.client.get(by_id["_links"]["members"]["href"])).json()
    assert "admin" in [each["name"] for each in members["_embedded"]["members"]]
    assert "page" not in members


@row("5.1 Update", "5.1 fields")
async def test_a_workspaces_fields_are_set_and_its_secrets_are_for_administrators(shared_mill: Mill) -> None:
    """
    Every field of the documentation comes back; secret ones to those who may define alone.
    """
    secrets = {"githubInstallationId": "g-1", "sshPrivateKey": "k-1", "deploymentSecret": "d-1"}
    public = {
        "name": "Demo", "alias": "demo_schema", "domains": ["example.org"], "repositoryUrl": "https://git.example.org/x.git",
        "repositoryBranch": "main", "repositoryDirectory": "meltano", "defaultEnvironment": "dev",
        "pipelinesImage": "image:1", "imageUrl": "data:image/png;base64,AA==", "appProperties": {"a": "b"},
    }  # fmt: skip
    before = (await shared_mill.client.get(shared_mill.workspace)).json()
    updated = await shared_mill.client.put(shared_mill.workspace, json={**public, **secrets})
    async with shared_mill.client_with(await _viewer(shared_mill)) as viewer:
        seen = (await viewer.get(shared_mill.workspace)).json()
        refused = await viewer.put(shared_mill.workspace, json={"name": "Mine"})
    await shared_mill.client.put(
        shared_mill.workspace, json=dict.fromkeys([*public, *secrets], "") | {"domains": [], "appProperties": {}}
    )

    assert updated.status_code == 200
    assert updated.json().items() >= {**public, **secrets}.items()
    assert seen.items() >= public.items()
    assert not set(secrets) & set(seen)
    assert refused.status_code == 403
    assert (before["status"], before["managed"], type(before["defaultWorkspace"])) == ("READY", False, bool)


@row("5.1 Default", "5.2 Default workspace")
async def test_a_default_workspace_is_chosen_by_either_call(shared_mill: Mill) -> None:
    client, workspace = shared_mill.client, str(shared_mill.house.workspace.id)
    profile = (await client.get("profiles")).json()["_embedded"]["profiles"][0]
    by_profile = await client.patch(f"profiles/{profile['id']}", json={"defaultWorkspace": {"id": workspace}})
    by_workspace = await client.put(f"workspaces/{workspace}/default")
    nowhere = await client.patch(f"profiles/{profile['id']}", json={"defaultWorkspace": {"id": str(uuid4())}})

    assert (by_profile.status_code, by_profile.json()["defaultWorkspace"]) == (200, {"id": workspace})
    assert (by_workspace.status_code, nowhere.status_code) == (200, 404)
    assert (await client.get(f"workspaces/{workspace}")).json()["defaultWorkspace"] is True


@row("5.2 List", "5.2 View", "5.2 Update", "5.2 Login", "5.2 fields")
async def test_a_profile_is_its_holders_own(shared_mill: Mill) -> None:
    """
    The list has the caller alone and is not paged; ids are opaque and stand encoded in addresses; another's is a 403.
    """
    client = shared_mill.client
    listed = (await client.get("profiles")).json()
    profile = listed["_embedded"]["profiles"][0]
    path = f"profiles/{profile['id']}"
    changed = await client.put(path, json={"phone": "123", "email": "ada@example.org", "handle": "@other"})
    logged_in = await client.post(f"{path}/login", json={"name": "x"})
    foreign = [(await client.request(method, "profiles/key%7Cother")).status_code for method in ("GET", "PUT", "PATCH")]

    assert "page" not in listed
    assert profile["id"].startswith("key|")
    assert profile["_links"]["update edit profile"]["href"] == f"{BASE}/profiles/{profile['id'].replace('|', '%7C')}"
    assert profile["_links"]["self"]["href"] == f"{BASE}/profiles"
    assert set(profile["_links"]) == {"self", "update edit profile", "workspaces", "new workspace"}
    assert changed.status_code == logged_in.status_code == 200
    assert (changed.json()["phone"], changed.json()["email"], changed.json()["handle"]) == (
        "123", "ada@example.org", profile["handle"],
    )  # fmt: skip
    assert (await client.get(path)).json() == logged_in.json()
    assert foreign == [403] * 3


@row("5.3 List", "5.3 View", "5.3 Initialise", "5.3 Create or update", "5.3 Update", "5.3 Delete", "5.3 fields")
async def test_a_data_component_through_its_life(shelf: list[dict[str, Any]], shared_mill: Mill) -> None:
    """
    Initialised, made, changed by both calls, viewed with its plugin, masked for members, deleted.
    """
    client, here = shared_mill.client, f"{shared_mill.workspace}/datacomponents"
    fresh = (await client.post(here)).json()
    body = {
        "name": "shelf", "dataPlugin": "extractors/tap-shelf--acme", "properties": {"token": "t0p", "_select": '["*.*"]'},
        "commands": {"about": {"args": "--about", "executable": "tap-shelf", "description": "tells"}},
    }  # fmt: skip
    made = await client.put(f"{here}/{fresh['id']}", json=body)
    first = await client.put(f"{here}/{fresh['id']}", json={"properties": {"token": "t1p"}})
    second = await client.put(f"datacomponents/{fresh['id']}", json={"name": "shelf-2"})
    async with shared_mill.client_with(await _viewer(shared_mill)) as viewer:
        masked = (await viewer.get(f"datacomponents/{fresh['id']}")).json()
    listed = (await client.get(here, params={"size": 200})).json()["_embedded"]["datacomponents"]
    deleted = await client.delete(f"datacomponents/{fresh['id']}")

    assert is_uuid4(fresh["id"])
    assert fresh["_links"]["create datacomponent"] == {"href": f"{BASE}/{here}/{fresh['id']}", "type": "PUT"}
    assert (made.status_code, first.status_code, second.status_code, deleted.status_code) == (201, 200, 200, 204)
    shown = made.json()
    assert (shown["name"], shown["dataPlugin"], shown["dataPluginType"]) == ("shelf", body["dataPlugin"], "EXTRACTOR")
    assert (shown["properties"], shown["commands"]) == (body["properties"], body["commands"])
    assert (shown["draft"], shown["managed"]) == (False, False)
    assert is_time(shown["created"])
    assert is_time(shown["lastModified"])
    assert shown["_embedded"]["dataplugin"]["pipUrl"] == "tap-shelf==1"
    assert (
        _actions(shown["_links"]).items() >= {"update datacomponent": "PUT", "delete datacomponent": "DELETE"}.items()
    )
    assert second.json()["properties"] == {"token": "t1p"}
    assert masked["properties"] == {"token": "***"}
    assert "shelf-2" in [each["name"] for each in listed]
    assert (await client.get(f"datacomponents/{fresh['id']}")).status_code == 404


@row(
    "5.4 List",
    "5.4 View",
    "5.4 Initialise",
    "5.4 Create or update",
    "5.4 Update",
    "5.4 Default",
    "5.4 Delete",
    "5.4 fields",
)
async def test_a_data_store_through_its_life(shelf: list[dict[str, Any]], shared_mill: Mill) -> None:
    """
    A component with an address for JDBC and a workspace; exactly one is the default, and that one stays.
    """
    client, here = shared_mill.client, f"{shared_mill.workspace}/datastores"
    fresh = (await client.post(here)).json()
    body = {"name": "Lake", "dataPlugin": "loaders/target-shelf", "jdbcUrl": "jdbc:x", "properties": {"password": "p"}}
    made = (await client.put(f"{here}/{fresh['id']}", json=body)).json()
    other = (await client.put(f"{here}/{uuid4()}", json={**body, "name": "Pond"})).json()
    updated = await client.put(f"datastores/{fresh['id']}", json={"jdbcUrl": "jdbc:y"})
    await client.put(f"datastores/{made['id']}/default")
    before = (await client.get(here)).json()["_embedded"]["datastores"]
    kept = await client.delete(f"datastores/{made['id']}")
    chosen = await client.put(f"datastores/{other['id']}/default")
    after = (await client.get(here)).json()["_embedded"]["datastores"]
    gone = await client.delete(f"datastores/{made['id']}")
    viewed = (await client.get(f"datastores/{other['id']}")).json()

    assert (made["workspace"], made["jdbcUrl"]) == (str(shared_mill.house.workspace.id), "jdbc:x")
    assert made["dataPluginType"] == "LOADER"
    assert _actions(made["_links"])["make-default"] == "PUT"
    assert (updated.status_code, updated.json()["jdbcUrl"]) == (200, "jdbc:y")
    assert updated.json()["properties"] == {"password": "p"}
    assert [each["name"] for each in before if each["default"]] == ["Lake"]
    assert (chosen.status_code, chosen.content) == (200, b"")
    assert [each["name"] for each in after if each["default"]] == ["Pond"]
    assert (kept.status_code, gone.status_code) == (409, 204)
    assert (viewed["name"], viewed["default"]) == ("Pond", True)


@row("5.5 API keys")
async def test_an_api_key_through_its_life(shared_mill: Mill) -> None:
    """
    The secret is shown when the key is made; the exchange takes JSON and forms; a wrong secret is a 401 and a deleted key opens nothing.
    """
    client = shared_mill.client
    fresh = (await client.post("apikeys")).json()
    path = f"apikeys/{fresh['id']}"
    made = await client.put(path, json={"name": "rows"})
    renamed = await client.put(path, json={"name": "columns"})
    listed = (await client.get("apikeys/")).json()["_embedded"]["apikeys"]
    sent = {"client_id": made.json()["clientId"], "client_secret": made.json()["clientSecret"]}
    by_form = await client.post("oauth/token", data={"grant_type": "client_credentials", **sent})
    by_json = await client.post("oauth/token", json=sent)
    wrong = await client.post("oauth/token", json={**sent, "client_secret": "guess"})
    nothing = await client.post("oauth/token")
    deleted = await client.delete(path)
    late = await client.post("oauth/token", json=sent)

    assert (made.status_code, renamed.status_code, deleted.status_code) == (201, 200, 204)
    assert made.json()["accessToken"] == by_form.json()["access_token"] == by_json.json()["access_token"]
    assert by_json.json()["token_type"] == "Bearer"
    (mine,) = [each for each in listed if each["id"] == fresh["id"]]
    assert mine == renamed.json()
    assert not {"clientSecret", "accessToken"} & set(renamed.json())
    assert set(mine) == {"id", "created", "lastModified", "name", "clientId", "profileId", "_links"}
    assert set(mine["_links"]) == {"self", "update apikey", "delete apikey", "profile"}
    assert [answer.status_code for answer in (wrong, nothing, late)] == [401] * 3
    assert (await client.get(path)).status_code == 404


@row("5.5 Dataplugins")
async def test_a_data_plugin_through_its_life(shelf: list[dict[str, Any]], shared_mill: Mill) -> None:
    """
    In Matatika's spelling, in both lists of the workspace and in the caller's own; a type that is none is wrong.
    """
    client, here = shared_mill.client, f"{shared_mill.workspace}/dataplugins"
    fresh = (await client.post(here)).json()
    made = await client.put(f"{here}/{fresh['id']}", json={**PLUGINS[0], "name": "tap-gone"})
    wrong = await client.put(f"{here}/{uuid4()}", json={"pluginType": "GADGET", "settings": {}})
    lists = [
        [each["name"] for each in (await client.get(path, params={"size": 200})).json()["_embedded"]["dataplugins"]]
        for path in (here, f"{shared_mill.workspace}/availabledataplugins", "dataplugins")
    ]
    viewed = (await client.get(f"dataplugins/{fresh['id']}")).json()
    deleted = await client.delete(f"dataplugins/{fresh['id']}")

    assert fresh["_links"]["create dataplugin"]["type"] == "PUT"
    assert (made.status_code, deleted.status_code) == (201, 204)
    assert viewed == made.json()
    assert viewed["pluginType"] == "EXTRACTOR"
    assert viewed.items() >= {name: PLUGINS[0][name] for name in ("variant", "pipUrl", "settings")}.items()
    assert all({"tap-shelf", "target-shelf", "tap-gone"} <= set(names) for names in lists)
    assert wrong.status_code == 400
    assert [each["field"] for each in wrong.json()["errors"]] == ["pluginType", "name"]
    assert (await client.get(f"dataplugins/{fresh['id']}")).status_code == 404


@row("5.5 Plugin hub")
@pytest.mark.parametrize("under", ["", "workspaces/demo/"])
async def test_the_plugin_hub_as_meltano_asks(shelf: list[dict[str, Any]], shared_mill: Mill, under: str) -> None:
    """
    Section 8.3: the index has `logo_url`, a default variant and an absolute `ref`, which leads to the definition.
    """
    client = shared_mill.client
    index = (await client.get(f"{under}plugins/extractors/index")).json()["tap-shelf"]
    ref = index["variants"]["acme"]["ref"]
    definition = (await client.get(ref)).json()

    assert "logo_url" in index
    assert index["default_variant"] == "acme"
    assert ref.startswith(BASE)
    assert definition.items() >= {"name": "tap-shelf", "namespace": "tap_shelf", "pip_url": "tap-shelf==1"}.items()
    assert (await client.get(f"{under}plugins/gadgets/index")).status_code == 404
    assert (await client.get(f"{under}plugins/extractors/tap-nobody--acme")).status_code == 404


@row("5.5 Subscriptions")
async def test_subscriptions_to_everything_that_has_some(told: Told, shared_mill: Mill) -> None:
    """
    A workspace, a pipeline, a dataset and a channel; listed, viewed, changed, ended; each is its holder's own.
    """
    client, workspace = shared_mill.client, shared_mill.workspace
    dataset = (await client.post(f"{workspace}/datasets", json={"alias": "rows/sub", "title": "S"})).json()["id"]
    channel = (await client.put(f"{workspace}/channels/{uuid4()}", json={"name": "c"})).json()["id"]
    targets = [
        workspace, f"pipelines/{told.pipelines['good']}", f"datasets/{dataset}", f"channels/{channel}",
    ]  # fmt: skip
    made = [(await client.post(f"{target}/subscriptions")).json() for target in targets]
    listed = (await client.get("subscriptions", params={"size": 100})).json()["_embedded"]["subscriptions"]
    changed = await client.put(f"subscriptions/{made[0]['id']}", json={"type": "NONE"})
    wrong = await client.put(f"subscriptions/{made[0]['id']}", json={"type": "SOME"})
    async with shared_mill.client_with(await _viewer(shared_mill)) as viewer:
        others = (await viewer.get(f"subscriptions/{made[0]['id']}")).status_code
    deleted = [(await client.delete(f"subscriptions/{each['id']}")).status_code for each in made]

    assert {each["id"] for each in made} <= {each["id"] for each in listed}
    assert [each["type"] for each in made] == ["ALL"] * 4
    assert [next(iter(each["_embedded"])) for each in made] == ["workspace", "pipeline", "dataset", "channel"]
    assert set(made[0]) == {"id", "created", "lastModified", "type", "_embedded", "_links"}
    assert (changed.json()["type"], wrong.status_code, others) == ("NONE", 400, 404)
    assert deleted == [204] * 4
    assert (await client.post(f"pipelines/{uuid4()}/subscriptions")).status_code == 404


@row("5.5 Notifications", "5.5 Who hears")
async def test_notifications_by_subscription(shared_mill: Mill) -> None:
    """
    ALL hears of start and end, ALERTS of an end in ERROR; `since`, `before` and `all` choose; seen ones go from the list.
    """
    client = shared_mill.client
    good, bad = (
        await shared_mill.pipeline("told-all", script="true"),
        await shared_mill.pipeline("told-bad", script="exit 3"),
    )
    await shared_mill.follow_ups.tick()
    ids = [(await client.post(f"pipelines/{each}/subscriptions")).json()["id"] for each in (good, bad)]
    await client.put("notifications")
    await client.put(f"subscriptions/{ids[1]}", json={"type": "ALERTS"})
    jobs = [await shared_mill.run(each) for each in (good, bad)]
    await shared_mill.follow_ups.tick()
    heard = (await client.get("notifications")).json()["_embedded"]["notifications"]
    of_workspace = (await client.get(f"{shared_mill.workspace}/notifications")).json()["_embedded"]["notifications"]
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    later = (await client.get("notifications", params={"since": tomorrow})).json()
    earlier = (await client.get("notifications", params={"before": tomorrow})).json()
    wrong = await client.get("notifications", params={"since": "yesterday"})
    viewed = (await client.get(f"notifications/{heard[0]['id']}")).json()
    forgotten = await client.delete(f"notifications/{heard[0]['id']}")
    await client.put("notifications", params={"markAsResolved": "true"})
    unseen = (await client.get("notifications")).json()
    every = (await client.get("notifications", params={"all": "true", "size": 200})).json()["_embedded"][
        "notifications"
    ]
    for each in ids:
        await client.delete(f"subscriptions/{each}")

    def of(job: dict[str, Any]) -> list[str]:
        return sorted(each["type"] for each in heard if each["_links"]["job"]["href"].endswith(job["id"]))

    assert (of(jobs[0]), of(jobs[1])) == (["JOB_ENDED", "JOB_STARTED"], ["JOB_ENDED"])
    assert len(heard) == len(of_workspace) == 3
    assert set(heard[0]) >= {"id", "created", "lastModified", "type", "message", "resolved", "_links"}
    assert "_embedded" not in later
    assert earlier["page"]["totalElements"] == 3
    assert (wrong.status_code, forgotten.status_code) == (400, 204)
    assert viewed == heard[0]
    assert "_embedded" not in unseen
    assert {each["resolved"] for each in every} == {True}
    assert heard[0]["id"] not in [each["id"] for each in every]


@row("5.6 List", "5.6 By alias", "5.6 Publish", "5.6 One", "5.6 Data")
async def test_a_dataset_through_its_life(shared_mill: Mill) -> None:
    """
    Published under an alias with a slash, again under the same, found by alias and id, edited, fetched in both forms, deleted.
    """
    client, here = shared_mill.client, f"{shared_mill.workspace}/datasets"
    body = {
        "alias": "rows/daily",
        "title": "Rows",
        "questions": "How many?",
        "rawData": '[{"a": 1, "b": [2]}]',
        "query": "select 1",
    }
    first, second = await client.post(here, json=body), await client.post(here, json={**body, "title": "Rows!"})
    dataset = first.json()["id"]
    by_alias, by_id = await client.get(f"{here}/rows/daily"), await client.get(f"{here}/{dataset}")
    edited = await client.patch(f"datasets/{dataset}", json={"description": "d"})
    listed = (await client.get(here, params={"size": 100})).json()["_embedded"]["datasets"]
    data = await client.get(f"datasets/{dataset}/data")
    table = await client.get(f"datasets/{dataset}/data", headers={"accept": "text/csv"})
    untitled = await client.post(here, json={"alias": "rows/untitled"})
    deleted = await client.delete(f"datasets/{dataset}")

    assert (first.status_code, second.status_code, deleted.status_code) == (201, 200, 204)
    assert second.json()["id"] == dataset
    assert by_alias.json() == by_id.json() == second.json()
    assert (edited.json()["description"], edited.json()["title"]) == ("d", "Rows!")
    assert edited.json() in listed
    assert (data.headers["content-type"], data.json()) == ("application/json", [{"a": 1, "b": [2]}])
    assert table.text == "a,b\n1,[2]\n"
    assert untitled.status_code == 400
    assert (await client.get(f"{here}/rows/nothing")).status_code == 404


@row("5.6 Channels")
async def test_channels_are_put_and_listed(shared_mill: Mill) -> None:
    client, here = shared_mill.client, f"{shared_mill.workspace}/channels"
    channel = uuid4()
    made, again = [await client.put(f"{here}/{channel}", json={"name": name}) for name in ("news", "olds")]
    listed = (await client.get(f"{here}/")).json()["_embedded"]["channels"]

    assert (made.status_code, again.status_code) == (201, 200)
    assert (await client.get(f"channels/{channel}")).json() == again.json()
    assert (str(channel), "olds") in [(each["id"], each["name"]) for each in listed]
    assert (await client.put(f"{here}/{channel}", json={})).status_code == 400
