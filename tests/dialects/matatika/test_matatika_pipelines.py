"""
Pipelines, components and what else a workspace defines over the wire, row by row of sections 4 and 5.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx2
import pytest
from matatika_mill import Mill
from matatika_rows import row
from meltano_kit import write_project

TAP = {
    "pluginType": "EXTRACTOR",
    "name": "tap-x",
    "namespace": "tap_x",
    "variant": "acme",
    "pipUrl": "tap-x==1",
    "settings": [
        {"name": "api_token", "kind": "password", "required": True},
        {"name": "region", "required": True},
        {"name": "page_size", "kind": "integer", "value": 100, "required": True},
        {"name": "plain_looking", "sensitive": True},
    ],
}


async def _put(mill: Mill, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await mill.client.put(f"{mill.workspace}/{path}/{uuid4()}", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@row("4.1 List", "4.1 View", "4.1 Initialise", "4.1 Create or update", "4.1 Delete")
async def test_initialise_create_update_view_list_delete(mill: Mill) -> None:
    """
    Sections 2.1 and 4.1: POST gives an unsaved pipeline, PUT answers 201 then 200, DELETE 204 then 404.
    """
    fresh = (await mill.client.post(f"{mill.workspace}/pipelines")).json()
    path = f"{mill.workspace}/pipelines/{fresh['id']}"
    unsaved = await mill.client.get(f"pipelines/{fresh['id']}")
    created = await mill.client.put(path, json={"name": "Daily Sync", "dataComponents": [], "script": "true"})
    updated = await mill.client.put(
        path, json={"label": "Daily", "name": "daily", "dataComponents": [], "script": "true", "timeout": 60}
    )
    listed = (await mill.client.get(f"{mill.workspace}/pipelines")).json()
    deleted = await mill.client.delete(f"pipelines/{fresh['id']}")

    assert unsaved.status_code == 404
    assert fresh["_links"]["create pipeline"]["type"] == "PUT"
    assert (created.status_code, updated.status_code, deleted.status_code) == (201, 200, 204)
    assert (created.json()["label"], created.json()["name"]) == ("Daily Sync", "Daily-Sync")
    assert created.json()["properties"] == {}
    assert created.json()["actions"] == created.json()["triggeredBy"] == []
    assert [each["timeout"] for each in listed["_embedded"]["pipelines"]] == [60]
    assert (await mill.client.get(f"pipelines/{fresh['id']}")).status_code == 404


@row("4.1 Validate", "4.1 Draft", "4.4 required", "4.4 draft")
async def test_a_missing_required_setting_is_one_error_per_property(mill: Mill) -> None:
    """
    Section 4.4: required settings come from the component, the pipeline, or a default; each missing one is named.
    """
    await _put(mill, "dataplugins", TAP)
    body = {"label": "x", "dataComponents": ["extractors/tap-x"]}

    refused = await mill.client.post(f"{mill.workspace}/pipelines/validation", json=body)
    fine = await mill.client.post(
        f"{mill.workspace}/pipelines/validation",
        json={**body, "properties": {"tap-x.api_token": "t", "tap-x.region": "eu"}},
    )
    draft = await mill.client.put(f"{mill.workspace}/pipelines/{uuid4()}/draft", json=body)

    assert refused.status_code == 400
    assert refused.json()["message"] == "Validation failed for object='pipeline'. Error count: 2"
    assert [each["field"] for each in refused.json()["errors"]] == [
        "properties.tap-x.api_token",
        "properties.tap-x.region",
    ]
    assert set(refused.json()["errors"][0]) >= {"field", "rejectedValue", "defaultMessage", "code"}
    assert (fine.status_code, fine.content) == (200, b"")
    assert (draft.status_code, draft.json()["status"]) == (201, "DRAFT")
    assert (await mill.client.post(f"pipelines/{draft.json()['id']}/jobs")).status_code == 409


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schedule", "@daily"),
        ("schedule", "0 0 * * *"),
        ("schedule", "0 0 0 31 2 ?"),
        ("timeout", -1),
        ("timeout", "soon"),
        ("maxRetries", -1),
        ("dataComponents", ["nobody"]),
        ("dataComponents", "tap-x"),
        ("actions", ["nobody:run"]),
        ("triggeredBy", ["nobody"]),
        ("triggeredBy", ["daily"]),
        ("properties", []),
    ],
)
@row("4.4 unknown")
async def test_what_cannot_be_is_refused_by_its_field(mill: Mill, field: str, value: Any) -> None:
    """
    Section 4.4 and 6.6: macros and five fields fail here, numbers are not negative, names exist, nothing triggers itself.
    """
    body = {"label": "daily", "dataComponents": [], "script": "true", field: value}

    answer = await mill.client.put(f"{mill.workspace}/pipelines/{uuid4()}", json=body)

    assert answer.status_code == 400
    assert {each["field"] for each in answer.json()["errors"]} == {field}


async def test_a_body_that_is_no_object_is_a_400_with_the_documented_shape(mill: Mill) -> None:
    """
    Section 2.6: timestamp, status, error, message, errors and path.
    """
    path = f"{mill.workspace}/pipelines/{uuid4()}"

    for body in (b"[1]", b"{", b"\xff", b'{"label": "a\\u0000b"}'):
        answer = await mill.client.put(path, content=body, headers={"content-type": "application/json"})

        assert answer.status_code == 400
        assert list(answer.json()) == ["timestamp", "status", "error", "message", "errors", "path"]
        assert answer.json()["path"] == f"/matatika/api/{path}"


@row("6.6 Cycles")
async def test_cycles_of_triggers_are_refused(mill: Mill) -> None:
    """
    Section 6.6: a chain may not come back to where it began.
    """
    first = await mill.pipeline("first", script="true", ready=False)
    await mill.pipeline("second", script="true", triggeredBy=["first"], ready=False)

    body = {"label": "first", "dataComponents": [], "script": "true", "triggeredBy": ["second"]}
    answer = await mill.client.put(f"{mill.workspace}/pipelines/{first}", json=body)

    assert answer.status_code == 400
    assert "would never end" in answer.json()["errors"][0]["defaultMessage"]


@row("4.1 Environment")
async def test_members_see_secrets_masked_and_sending_the_mask_back_changes_nothing(mill: Mill) -> None:
    """
    Section 2.5: secret values are `***` for members; those whose plugin says so, and those whose name does.
    """
    await _put(mill, "dataplugins", TAP)
    given = {"tap-x.api_token": "t0ken", "tap-x.region": "eu", "tap-x.plain_looking": "hidden"}
    pipeline = await mill.pipeline(
        "x", dataComponents=["extractors/tap-x"], properties=given, script="true", ready=False
    )
    await mill.house.access.ensure_key("viewer-key", name="viewer", role="viewer", workspace_id=mill.house.workspace.id)

    async with mill.client_with("viewer-key") as viewer:
        shown = (await viewer.get(f"pipelines/{pipeline}")).json()["properties"]
        environment = (await viewer.get(f"pipelines/{pipeline}/environment")).json()
        forbidden = await viewer.post(f"pipelines/{pipeline}/jobs")
    body = {"label": "x", "dataComponents": ["tap-x"], "script": "true", "properties": shown}
    await mill.client.put(f"{mill.workspace}/pipelines/{pipeline}", json=body)
    kept = (await mill.client.get(f"pipelines/{pipeline}")).json()["properties"]

    assert shown == {"tap-x.api_token": "***", "tap-x.region": "eu", "tap-x.plain_looking": "***"}
    assert environment["TAP_X_API_TOKEN"] == {"value": "***", "sensitive": True}
    assert environment["TAP_X_REGION"] == {"value": "eu", "sensitive": False}
    assert forbidden.status_code == 403
    assert kept == given


async def test_components_and_stores(mill: Mill) -> None:
    """
    Sections 5.3 and 5.4: both relations, the first store is the default one, which cannot be deleted, nor what a pipeline uses.
    """
    write_project(mill.project)
    store = await _put(mill, "datastores", {"name": "Warehouse", "dataPlugin": "loaders/target-jsonl"})
    other = await _put(mill, "datastores", {"name": "Other", "dataPlugin": "loaders/target-jsonl"})
    tap = await _put(mill, "datacomponents", {"name": "flights", "dataPlugin": "extractors/tap-jsonl"})
    wrong = await mill.client.put(
        f"{mill.workspace}/datastores/{uuid4()}", json={"name": "x", "dataPlugin": "extractors/tap-jsonl"}
    )
    unknown = await mill.client.put(
        f"{mill.workspace}/datacomponents/{uuid4()}", json={"name": "x", "dataPlugin": "extractors/tap-nobody"}
    )
    await mill.pipeline("p", dataComponents=["flights"], script="true", ready=False)

    stores = (await mill.client.get(f"{mill.workspace}/datastores")).json()["_embedded"]["datastores"]
    listed = (await mill.client.get(f"{mill.workspace}/datacomponents")).json()["_embedded"]["datacomponents"]
    of_default, of_used = (
        await mill.client.delete(f"datastores/{store['id']}"),
        await mill.client.delete(f"datacomponents/{tap['id']}"),
    )
    moved = await mill.client.put(f"datastores/{other['id']}/default")
    then = await mill.client.delete(f"datastores/{store['id']}")

    assert {each["name"]: each["default"] for each in stores} == {"Warehouse": True, "Other": False}
    assert {each["name"] for each in listed} == {"Warehouse", "Other", "flights"}
    assert tap["_embedded"]["dataplugin"]["pipUrl"] == "tap-jsonl==0.3.1"
    assert (wrong.status_code, unknown.status_code) == (400, 400)
    assert (of_default.status_code, of_used.status_code) == (409, 409)
    assert (moved.status_code, moved.content, then.status_code) == (200, b"", 204)


async def test_the_plugin_hub_lists_what_is_defined(mill: Mill) -> None:
    """
    Section 8.3: index and definition as `meltano add` asks for them; an unknown type is a 404.
    """
    await _put(mill, "dataplugins", TAP)

    index = (await mill.client.get("plugins/extractors/index")).json()
    definition = (await mill.client.get(index["tap-x"]["variants"]["acme"]["ref"])).json()

    assert index["tap-x"]["default_variant"] == "acme"
    assert "logo_url" in index["tap-x"]
    assert definition["pip_url"] == "tap-x==1"
    assert (await mill.client.get("plugins/gadgets/index")).status_code == 404


async def test_workspaces_and_profiles(mill: Mill) -> None:
    """
    Sections 5.1 and 5.2: the caller's own, with the fields that were set over the API; a default workspace is remembered.
    """
    profile = (await mill.client.get("profiles")).json()["_embedded"]["profiles"][0]
    updated = await mill.client.put(mill.workspace, json={"name": "Demo!", "deploymentSecret": "abc"})
    default = await mill.client.patch(
        f"profiles/{profile['id']}", json={"defaultWorkspace": {"id": str(mill.house.workspace.id)}}
    )
    (listed,) = (await mill.client.get("workspaces/")).json()["_embedded"]["workspaces"]

    assert profile["name"] == "admin"
    assert updated.status_code == 200
    assert default.json()["defaultWorkspace"]["id"] == str(mill.house.workspace.id)
    assert (listed["name"], listed["status"], listed["defaultWorkspace"]) == ("Demo!", "READY", True)
    assert (await mill.client.get("profiles/somebody-else")).status_code == 403


async def test_api_keys_are_made_exchanged_and_taken_back(mill: Mill) -> None:
    """
    Section 5.5: the secret is shown once; client id and secret give a token that opens the API.
    """
    key_id = uuid4()
    made = (await mill.client.put(f"apikeys/{key_id}", json={"name": "ci"})).json()
    again = (await mill.client.get(f"apikeys/{key_id}")).json()
    asked = {"grant_type": "client_credentials", "client_id": made["clientId"], "client_secret": made["clientSecret"]}
    token = (await mill.client.post("oauth/token", json=asked)).json()["access_token"]

    async with mill.client_with(token) as client:
        opened = await client.get("workspaces")
        await mill.client.delete(f"apikeys/{key_id}")
        refused = await client.get("workspaces")

    assert "clientSecret" not in again
    assert (opened.status_code, refused.status_code) == (200, 401)


async def test_datasets_as_the_command_line_asks_for_them(mill: Mill) -> None:
    """
    Section 5.6: publishing twice is 201 then 200 for one alias, which may hold a slash; data come as JSON or CSV.
    """
    body = {"alias": "sales/daily", "title": "Sales", "rawData": '[{"day": "mon", "sum": 3}, {"day": "tue"}]'}
    first = await mill.client.post(f"{mill.workspace}/datasets", json=body)
    second = await mill.client.post(f"{mill.workspace}/datasets", json={**body, "title": "Sales!"})
    by_alias = (await mill.client.get(f"{mill.workspace}/datasets/sales/daily")).json()
    data = await mill.client.get(f"datasets/{by_alias['id']}/data")
    table = await mill.client.get(f"datasets/{by_alias['id']}/data", headers={"accept": "text/csv"})
    deleted = await mill.client.delete(f"datasets/{by_alias['id']}")

    assert (first.status_code, second.status_code, deleted.status_code) == (201, 200, 204)
    assert by_alias["title"] == "Sales!"
    assert data.json() == [{"day": "mon", "sum": 3}, {"day": "tue"}]
    assert table.text == "day,sum\nmon,3\ntue,\n"


@row("5.5 Who hears")
async def test_subscribers_hear_of_starts_ends_and_skips(mill: Mill) -> None:
    """
    Section 5.5: ALL hears every start and end; ALERTS only errors and skipped starts.
    """
    pipeline = await mill.pipeline("x", script="exit 1")
    await mill.follow_ups.tick()
    subscription = (await mill.client.post(f"pipelines/{pipeline}/subscriptions")).json()

    await mill.run(pipeline)
    await mill.follow_ups.tick()
    await mill.follow_ups.tick()
    heard = (await mill.client.get("notifications")).json()["_embedded"]["notifications"]
    await mill.client.put("notifications", params={"markAsResolved": "true"})
    changed = await mill.client.put(f"subscriptions/{subscription['id']}", json={"type": "ALERTS"})
    wrong = await mill.client.put(f"subscriptions/{subscription['id']}", json={"type": "SOME"})

    assert sorted(each["type"] for each in heard) == ["JOB_ENDED", "JOB_STARTED"]
    assert "_embedded" not in (await mill.client.get("notifications")).json()
    assert (changed.json()["type"], wrong.status_code) == ("ALERTS", 400)


@row("6.6 triggeredBy", "6.6 Busy")
async def test_a_finished_pipeline_starts_those_it_triggers_once(mill: Mill) -> None:
    """
    Section 6.6: after a success, each named pipeline's followers run, once; one that is busy is skipped and told.
    """
    await mill.pipeline("first", script="true")
    first = (await mill.client.get(f"{mill.workspace}/pipelines")).json()["_embedded"]["pipelines"][0]["id"]
    second = await mill.pipeline("second", script="true", triggeredBy=["first"])
    await mill.client.post(f"pipelines/{second}/subscriptions")

    await mill.run(first)
    await mill.follow_ups.tick()
    await mill.follow_ups.tick()
    (started, _config) = (await mill.client.get(f"pipelines/{second}/jobs")).json()["_embedded"]["jobs"]
    other = await mill.create(first)
    await mill.run_admitted((await mill.house.admit(1))[0])  # the triggered one, which was first
    await mill.work()
    busy = await mill.create(second)
    await mill.follow_ups.tick()
    heard = (await mill.client.get("notifications")).json()["_embedded"]["notifications"]

    assert (started["triggeredBy"], started["type"]) == ("first", "PIPELINE_RUN")
    assert (await mill.job(other["id"]))["status"] == "COMPLETE"
    assert [each["message"] for each in heard if each["type"] == "PIPELINE_ACTIVITY"] == [
        f"A start of second was skipped: Job {busy['id']} of second has not ended; only one may run at a time."
    ]


@row("6.3 Schedule")
async def test_a_schedule_makes_jobs_and_skips_while_one_is_at_work(mill: Mill) -> None:
    """
    Sections 6.3 and 6.6: six Spring fields; an instant while a job is active makes none.
    """
    pipeline = await mill.pipeline("x", script="true", schedule="*/5 * * * * *")
    due = await mill.house.database.one("select next_at from schedule")
    assert due is not None

    await mill.schedules.fire_next(now=due["next_at"])
    (job, _config) = (await mill.client.get(f"pipelines/{pipeline}/jobs")).json()["_embedded"]["jobs"]
    again = await mill.house.database.one("select next_at from schedule")
    assert again is not None
    await mill.schedules.fire_next(now=again["next_at"])
    firings = await mill.house.database.all("select outcome from schedule_firing order by instant")
    body = {"label": "x", "dataComponents": [], "script": "true", "schedule": "-"}
    await mill.client.put(f"{mill.workspace}/pipelines/{pipeline}", json=body)

    assert job["triggeredBy"] == "schedule"
    assert [row["outcome"] for row in firings] == ["submitted", "skipped"]
    assert await mill.house.database.one("select 1 as one from schedule") is None


@row("3 J9", "3 J10")
async def test_a_deployment_is_a_job_of_the_workspace(mill: Mill) -> None:
    """
    J9, J10: 202 with a WORKSPACE_DEPLOY job; the webhook's signature is its only key.
    """
    import hashlib
    import hmac

    await mill.client.put(mill.workspace, json={"deploymentSecret": "s3cret"})
    deployed = await mill.client.post(f"{mill.workspace}/deployments")
    await mill.work()
    sign = hmac.new(b"s3cret", b"{}", hashlib.sha1).hexdigest()

    async with mill.client_with(None) as github:
        path = f"{mill.workspace}/deployments/github-webhook"
        right = await github.post(path, content=b"{}", headers={"x-hub-signature": f"sha1={sign}"})
        wrong = await github.post(path, content=b"{ }", headers={"x-hub-signature": f"sha1={sign}"})

    assert (deployed.status_code, deployed.json()["type"]) == (202, "WORKSPACE_DEPLOY")
    assert "pipeline" not in deployed.json().get("_embedded", {})
    assert (right.status_code, wrong.status_code) == (202, 403)


async def test_the_root_and_bare_collections_have_links_alone(mill: Mill) -> None:
    """
    Section 2.1: with and without a slash at the end; hal+json unless application/json is asked for.
    """
    root = await mill.client.get("http://headrace.test/matatika/api")
    bare = await mill.client.get("jobs/", headers={"accept": "application/json"})

    assert root.headers["content-type"] == "application/hal+json"
    assert root.json()["_links"]["self"]["href"] == "http://headrace.test/matatika/api"
    assert (bare.status_code, bare.headers["content-type"]) == (200, "application/json")


async def test_links_lead_back_the_way_a_request_came(mill: Mill) -> None:
    """
    Section 2.1: at the root too, and through a proxy that says where it stands.
    """
    transport = httpx2.ASGITransport(app=mill.app(root_dialect="matatika"))
    headers = {"authorization": mill.client.headers["authorization"]}
    async with httpx2.AsyncClient(transport=transport, base_url="http://headrace.test", headers=headers) as client:
        at_root = (await client.get("/api/workspaces")).json()
        behind = (
            await client.get(
                "/matatika/api/workspaces",
                headers={"x-forwarded-host": "data.example.org", "x-forwarded-proto": "https"},
            )
        ).json()

    assert at_root["_links"]["self"]["href"] == "http://headrace.test/api/workspaces?page=0&size=20"
    assert behind["_links"]["self"]["href"] == "https://data.example.org/matatika/api/workspaces?page=0&size=20"
