"""
Section 4 of the reference, row by row: pipelines over the wire, and what links, fields and checks say of them.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from matatika_mill import Mill
from matatika_rows import each_row, row
from matatika_story import MISSING, Expected, Told, at, check, is_time, is_uuid4

BASE = "http://headrace.test/matatika/api"
TAP = {
    "pluginType": "EXTRACTOR", "name": "tap-rows", "namespace": "tap_rows", "variant": "acme", "pipUrl": "tap-rows==1",
    "settings": [{"name": "region"}, {"name": "token", "kind": "password"}],
}  # fmt: skip
WHOLE: dict[str, Any] = {
    "label": "Daily Load",
    "name": "daily-load",
    "schedule": "0 0 6 * * MON-FRI",
    "timeout": 120,
    "maxRetries": 3,
    "dataComponents": ["extractors/tap-rows", "tap-rows"],
    "actions": ["tap-rows", "tap-rows:about"],
    "properties": {
        "tap-rows.region": "eu", "tap-rows._select": '["*.*"]', "tap-rows._metadata": '{"*": {"replication-method": "FULL_TABLE"}}',
    },
    "triggeredBy": ["DEPLOY"],
    "scheduleFromInterval": True,
    "dataSource": "old",
}  # fmt: skip
OF_2026 = {"schedule": "0 0 0 25 12 ?", "properties": {"tap-rows.region": "us"}}

Pipelines = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
async def pipelines(told: Told, shared_mill: Mill) -> Pipelines:
    """
    One pipeline from its initialisation to READY, and others that show what it does not.
    """
    client, workspace = shared_mill.client, shared_mill.workspace
    await client.put(f"{workspace}/dataplugins/{uuid4()}", json=TAP)
    shown = {"fresh": (await client.post(f"{workspace}/pipelines")).json()}
    path = f"{workspace}/pipelines/{shown['fresh']['id']}"

    async def put(stage: str, address: str, body: dict[str, Any], status: int = 201) -> None:
        answer = await client.put(address, json=body)
        assert answer.status_code == status, answer.text
        shown[stage] = answer.json()

    script = {"dataComponents": [], "script": "echo rows"}
    await put("created", path, {**script, "label": "Daily Load", "name": "daily-load"})
    await shared_mill.work()
    await put("whole", path, WHOLE, 200)
    shown["viewed"] = (await client.get(f"pipelines/{shown['fresh']['id']}")).json()
    await put("draft", f"{workspace}/pipelines/{uuid4()}/draft", {"label": "d", "dataComponents": ["nobody"]})
    await put("by label", f"{workspace}/pipelines/{uuid4()}", {**script, "label": "Row  by label"})
    await put("by name", f"{workspace}/pipelines/{uuid4()}", {**script, "name": "row-by-name", "schedule": "-"})
    await put("minimal", f"{workspace}/pipelines/{uuid4()}", {"label": "m", "dataComponents": ["tap-rows"], **OF_2026})
    await shared_mill.work()
    return shown


FIELDS: dict[str, dict[str, Expected]] = {
    "id": {"fresh": is_uuid4, "viewed": is_uuid4},
    "status": {"fresh": "DRAFT", "created": "PROVISIONING", "viewed": "READY", "draft": "DRAFT"},
    "label": {"whole": "Daily Load", "by label": "Row  by label", "by name": "row-by-name"},
    "name": {"whole": "daily-load", "by label": "Row-by-label", "by name": "row-by-name"},
    "schedule": {"created": MISSING, "whole": "0 0 6 * * MON-FRI", "by name": "-", "minimal": "0 0 0 25 12 ?"},
    "timeout": {"created": 0, "whole": 120},
    "maxRetries": {"created": 0, "whole": 3},
    "script": {"created": "echo rows", "whole": MISSING},
    "created": {"fresh": MISSING, "created": is_time, "viewed": is_time},
    "lastModified": {"created": is_time, "viewed": is_time},
    "properties": {"created": {}, "whole": WHOLE["properties"]},
    "dataComponents": {"fresh": [], "created": [], "whole": ["tap-rows", "tap-rows"], "minimal": ["tap-rows"]},
    "actions": {"created": [], "whole": ["tap-rows", "tap-rows:about"]},
    "triggeredBy": {"created": [], "whole": ["DEPLOY"]},
    "repositoryPath": {"fresh": MISSING, "whole": "pipelines/daily-load.yml"},
    "_embedded": {"whole": MISSING},
    "scheduleFromInterval": {"whole": MISSING},
    "dataSource": {"whole": MISSING},
    "minimal body": {"minimal": MISSING},
}  # fmt: skip

LINKS: dict[str, tuple[str, str | None]] = {
    "self": ("/pipelines/{id}", None),
    "update pipeline": ("/workspaces/{workspace}/pipelines/{id}", "PUT"),
    "draft pipeline": ("/workspaces/{workspace}/pipelines/{id}/draft", "PUT"),
    "validate pipeline": ("/workspaces/{workspace}/pipelines/validation", "POST"),
    "verify pipeline": ("/pipelines/{id}/verification", "POST"),
    "delete pipeline": ("/pipelines/{id}", "DELETE"),
    "jobs": ("/pipelines/{id}/jobs", None),
    "new job": ("/pipelines/{id}/jobs", "POST"),
    "subscriptions": ("/pipelines/{id}/subscriptions", "POST"),
    "metrics": ("/pipelines/{id}/metrics", None),
    "environment": ("/pipelines/{id}/environment", None),
    "workspace": ("/workspaces/{workspace}", None),
    "create pipeline": ("/workspaces/{workspace}/pipelines/{id}", "PUT"),
}


@pytest.mark.parametrize("field", each_row("4.2", FIELDS))
def test_a_field_of_a_pipeline(pipelines: Pipelines, field: str) -> None:
    """
    Section 4.2: empty collections are sent, nulls are not; what 2022 dropped is taken and let go.
    """
    check(pipelines, field, FIELDS[field])


@pytest.mark.parametrize("relation", each_row("4.3", LINKS))
def test_a_link_of_a_pipeline(pipelines: Pipelines, shared_mill: Mill, relation: str) -> None:
    """
    Section 4.3: `create pipeline` on what is not saved yet, the rest always.
    """
    path, method = LINKS[relation]
    for stage, pipeline in pipelines.items():
        href = BASE + path.format(id=pipeline["id"], workspace=shared_mill.house.workspace.id)
        absent = relation == "create pipeline" and stage != "fresh"
        wanted = MISSING if absent else {"href": href, **({"type": method} if method else {})}
        assert at(pipeline, f"_links.{relation}") == wanted, stage


@row("4.3 latest job")
async def test_the_latest_job_is_linked_once_there_is_one(pipelines: Pipelines, shared_mill: Mill) -> None:
    job = (await shared_mill.client.get(pipelines["viewed"]["_links"]["latest job"]["href"])).json()

    assert job["_embedded"]["pipeline"]["id"] == pipelines["viewed"]["id"]
    assert "latest job" not in pipelines["draft"]["_links"]


@pytest.mark.parametrize(
    ("extra", "value"), [pytest.param(name, WHOLE["properties"][f"tap-rows.{name}"], marks=row(f"4.2 {name}"), id=name) for name in ("_select", "_metadata")]
)  # fmt: skip
async def test_reserved_properties_reach_meltano(
    pipelines: Pipelines, shared_mill: Mill, extra: str, value: str
) -> None:
    """
    Section 4.2: JSON texts under the names that Meltano reads; the underscore stays.
    """
    environment = (await shared_mill.client.get(f"pipelines/{pipelines['whole']['id']}/environment")).json()

    assert environment[f"TAP_ROWS_{extra.upper()}"] == {"value": value, "sensitive": False}


@row("4.1 Environment", "4.4 override")
async def test_a_pipelines_property_wins_over_its_components(pipelines: Pipelines, shared_mill: Mill) -> None:
    """
    Each variable with its value, and whether it is sensitive.
    """
    client, name = shared_mill.client, "rows-eu"
    component = {"name": name, "dataPlugin": "extractors/tap-rows", "properties": {"region": "eu", "token": "t"}}
    await client.put(f"{shared_mill.workspace}/datacomponents/{uuid4()}", json=component)
    pipeline = await shared_mill.pipeline("override", dataComponents=[name], properties={f"{name}.region": "us"})

    environment = (await client.get(f"pipelines/{pipeline}/environment")).json()

    assert environment == {
        "ROWS_EU_REGION": {"value": "us", "sensitive": False},
        "ROWS_EU_TOKEN": {"value": "t", "sensitive": True},
    }


@row("4.1 Metrics")
async def test_metrics_are_a_row_for_each_run(told: Told, shared_mill: Mill) -> None:
    """
    Flat keys with a dot, as the published tap reads them; runs alone count, not what configures and verifies.
    """
    pipeline = await shared_mill.pipeline("measured", script="true")
    run = await shared_mill.run(pipeline)
    rows = (await shared_mill.client.get(f"pipelines/{pipeline}/metrics")).json()

    assert rows == [{"metrics.job-created": run["created"], "metrics.value": 0}]


@row("4.1 Verify")
async def test_a_draft_is_not_verified(pipelines: Pipelines, shared_mill: Mill) -> None:
    answer = await shared_mill.client.post(f"pipelines/{pipelines['draft']['id']}/verification")

    assert answer.status_code == 409


@row("4.1 Subscribe")
async def test_a_pipeline_is_subscribed_to_once(told: Told, shared_mill: Mill) -> None:
    """
    200 with ALL, and the same subscription the second time; the query is accepted.
    """
    path = f"pipelines/{told.pipelines['late']}/subscriptions"
    first = await shared_mill.client.post(path, params={"allMembers": "false"})
    again = await shared_mill.client.post(path)
    await shared_mill.client.delete(f"subscriptions/{first.json()['id']}")

    assert (first.status_code, first.json()["type"]) == (200, "ALL")
    assert first.json()["_embedded"]["pipeline"]["id"] == told.pipelines["late"]
    assert set(first.json()["_embedded"]) == {"pipeline", "subscriberProfile"}
    assert again.json()["id"] == first.json()["id"]


@row("4.1 Delete")
async def test_deleting_a_pipeline_ends_its_job_and_its_schedule(shared_mill: Mill) -> None:
    """
    204; an active job is stopped and goes too; another pipeline may have the name; the second time there is nothing.
    """
    pipeline = await shared_mill.pipeline("short-lived", script="true", schedule="0 0 0 1 1 ?")
    job = await shared_mill.create(pipeline)

    deleted = await shared_mill.client.delete(f"pipelines/{pipeline}")
    again = await shared_mill.client.delete(f"pipelines/{pipeline}")
    of_job = await shared_mill.client.get(f"jobs/{job['id']}")
    place = {"definition": pipeline}
    scheduled = await shared_mill.house.database.all("select 1 from schedule where definition = %(definition)s", place)
    await shared_mill.pipeline("short-lived", script="true")

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (again.status_code, of_job.status_code, scheduled) == (404, 404, [])


@row("4.1 Create or update")
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"label": "Row  by label", "dataComponents": []}, 409),
        ({"label": "x", "dataComponents": None, "actions": None, "properties": None, "script": "true"}, 201),
        ({"label": "", "dataComponents": []}, 400),
        ({"name": "a b", "label": "y", "dataComponents": [], "script": "true", "unknown": {"a": [1]}}, 201),
    ],
)
async def test_what_a_put_makes_of_a_body(
    pipelines: Pipelines, shared_mill: Mill, body: dict[str, Any], status: int
) -> None:
    """
    A taken name is a conflict, no name is wrong; nulls count as left out, unknown fields are let go, spaces become dashes.
    """
    answer = await shared_mill.client.put(f"{shared_mill.workspace}/pipelines/{uuid4()}", json=body)
    await shared_mill.work()

    assert answer.status_code == status, answer.text
