"""
The core API: jobs, definitions, keys, deliveries, and errors as problem details.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from house import ADMIN_KEY, House

from headrace.core.errors import DefinitionError
from headrace.core.outcome import Blame, Cause, Failed
from headrace.store import deliveries
from headrace.store.logs import LogEntry

RUNS = "/api/v1/flows/demo/flights/runs"


async def _run(client: httpx2.AsyncClient, **options: object) -> dict[str, object]:
    reply = await client.post(RUNS, json={"tenant": "acme", "ignore_parallel_jobs": True, **options})
    assert reply.status_code == 201, reply.text
    found: dict[str, object] = reply.json()
    return found


async def test_a_flow_is_run_and_shown_as_a_job(client: httpx2.AsyncClient) -> None:
    """
    The options are those of the flow's dialect; the answer is the job with its steps and links.
    """
    made = await _run(client, tap="tap-flights", job_name="by hand")

    shown = (await client.get(f"/api/v1/jobs/{made['id']}")).json()

    assert (made["queued"], made["repeated"]) == (False, False)
    assert {name: made[name] for name in shown} == shown
    assert (shown["workspace"], shown["tenant"], shown["definition"]) == ("demo", "acme", "flights")
    assert [step["name"] for step in shown["steps"]] == ["sync", "etl", "export"]
    assert (await client.get(shown["links"]["self"])).json() == shown


async def test_options_that_are_wrong_are_a_problem_that_names_them(client: httpx2.AsyncClient) -> None:
    for body, said in (
        ({"tenant": "acme", "tap": 3}, "`tap`"),
        ({}, "`tenant`"),
        ({"tenant": 5}, "`tenant`"),
        ([], "JSON object"),
    ):
        reply = await client.post(RUNS, json=body)
        assert reply.status_code == 400
        assert reply.headers["content-type"] == "application/problem+json"
        assert said in reply.json()["reason"]


async def test_a_blocked_run_is_a_conflict_and_a_queued_one_says_so(client: httpx2.AsyncClient) -> None:
    first = await client.post(RUNS, json={"tenant": "acme"})
    blocked = await client.post(RUNS, json={"tenant": "acme"})
    queued = await client.post(RUNS, json={"tenant": "acme", "queue_if_active_job": True})

    assert [reply.status_code for reply in (first, blocked, queued)] == [201, 409, 201]
    assert blocked.json()["code"] == "active-job"
    assert queued.json()["queued"]


async def test_jobs_are_listed_by_pages_and_filters(client: httpx2.AsyncClient) -> None:
    made = [await _run(client) for _ in range(5)]
    first = (await client.get("/api/v1/jobs", params={"limit": 2})).json()
    second = (await client.get("/api/v1/jobs", params={"limit": 9, "before": first["next"]})).json()

    listed = [job["id"] for job in first["jobs"] + second["jobs"]]
    assert listed == [job["id"] for job in reversed(made)]
    assert second["next"] is None
    for query, count in (
        ({"workspace": "demo", "flow": "flights", "tenant": "acme", "dialect": "hotglue", "state": "waiting"}, 5),
        ({"state": ["failed", "cancelled"]}, 0),
        ({"tenant": "globex"}, 0),
    ):
        assert len((await client.get("/api/v1/jobs", params=query)).json()["jobs"]) == count
    for query in ({"state": "sleeping"}, {"limit": 0}, {"before": "x"}, {"before": 2**70}):
        assert (await client.get("/api/v1/jobs", params=query)).status_code == 400
    assert (await client.get("/api/v1/jobs", params={"workspace": "nowhere"})).status_code == 404


async def test_a_failed_job_shows_why(client: httpx2.AsyncClient, house: House) -> None:
    cause = Cause("sync", "The tap exited with 3.", Blame.CUSTOMER, "Reconnect.", {"exit_code": 3})
    work = await house.started()
    await house.finish(work, Failed(cause))

    shown = (await client.get(f"/api/v1/jobs/{work.job.id}")).json()

    assert shown["state"] == "failed"
    assert shown["cause"] == {
        "stage": "sync",
        "sentence": "The tap exited with 3.",
        "who": "customer",
        "instruction": "Reconnect.",
        "evidence": {"exit_code": 3},
    }
    assert shown["links"]["cancel"] is None


async def test_events_and_logs_are_read_from_where_one_left_off(client: httpx2.AsyncClient, house: House) -> None:
    work = await house.started()
    at = datetime(2024, 1, 2, tzinfo=UTC)
    lines = [LogEntry(n, at, "sync", "tap.stderr", f"line {n}") for n in (1, 2, 3)]
    await house.logs.append(work.job.id, 1, lines, token=work.claim.token)
    place = f"/api/v1/jobs/{work.job.id}"

    events = (await client.get(f"{place}/events")).json()
    lines = (await client.get(f"{place}/logs", params={"after": 1, "limit": 1})).json()
    text = await client.get(f"{place}/logs", params={"format": "ndjson"})

    assert [event["kind"] for event in events["events"]] == ["job-submitted", "job-admitted", "job-started"]
    assert (await client.get(f"{place}/events", params={"after": events["next"]})).json()["events"] == []
    assert ([line["text"] for line in lines["lines"]], lines["next"]) == (["line 2"], 2)
    assert len(text.text.splitlines()) == 3
    assert text.headers["content-type"] == "application/x-ndjson"


async def test_a_job_is_cancelled_once(client: httpx2.AsyncClient) -> None:
    made = await _run(client)

    ended = await client.post(f"/api/v1/jobs/{made['id']}/cancel")
    again = await client.post(f"/api/v1/jobs/{made['id']}/cancel")

    assert ended.json()["state"] == "cancelled"
    assert (again.status_code, again.json()["code"]) == (409, "final-state")


async def test_definitions_are_listed(client: httpx2.AsyncClient, house: House) -> None:
    house.flows.problems = (
        DefinitionError("It is wrong.", "Mend it.", file="flows/flights/flow.yml", line=3, workspace="demo"),
    )

    flows = (await client.get("/api/v1/flows")).json()["flows"]
    problems = (await client.get("/api/v1/problems")).json()["problems"]
    workspaces = (await client.get("/api/v1/workspaces")).json()["workspaces"]

    assert [(flow["workspace"], flow["id"], flow["sources"]) for flow in flows] == [
        ("demo", "flights", ["tap-flights"])
    ]
    assert (problems[0]["file"], problems[0]["line"], problems[0]["reason"]) == (
        "flows/flights/flow.yml",
        3,
        "It is wrong.",
    )
    assert workspaces == [{"id": str(house.workspace.id), "name": "demo"}]


async def test_keys_are_made_shown_once_and_revoked(client: httpx2.AsyncClient) -> None:
    made = (await client.post("/api/v1/keys", json={"name": "ci", "role": "viewer", "workspace": "demo"})).json()
    as_viewer = {"x-api-key": "", "authorization": f"Bearer {made['key']}"}

    me = (await client.get("/api/v1/me", headers=as_viewer)).json()
    listed = (await client.get("/api/v1/keys")).json()["keys"]
    refused = await client.post(RUNS, json={"tenant": "acme"}, headers=as_viewer)
    key_id = next(key["id"] for key in listed if key["name"] == "ci")
    gone = await client.delete(f"/api/v1/keys/{key_id}")

    assert (me["role"], me["workspace"], me["scopes"]) == ("viewer", "demo", ["read"])
    assert made["key"] not in str(listed)
    assert refused.status_code == 403
    assert gone.status_code == 200
    assert (await client.get("/api/v1/me", headers=as_viewer)).status_code == 401
    assert (await client.delete(f"/api/v1/keys/{uuid4()}")).status_code == 404
    assert (await client.post("/api/v1/keys", json={"name": "x", "role": "god"})).status_code == 400


async def test_a_key_sees_only_its_own_workspace(client: httpx2.AsyncClient, house: House) -> None:
    """
    Jobs, flows, keys, deliveries of another workspace are not there for it; nor can it make a key beyond its own.
    """
    made = await _run(client)
    other = await house.workspaces.declare(uuid4(), "other", {})
    key = await house.access.make_key(name="other's admin", role="admin", workspace_id=other.id)
    stranger = {"x-api-key": key}

    for path in (
        f"/jobs/{made['id']}",
        f"/jobs/{made['id']}/events",
        f"/jobs/{made['id']}/logs",
        "/jobs?workspace=demo",
    ):
        assert (await client.get(f"/api/v1{path}", headers=stranger)).status_code == 404
    assert (await client.post(f"/api/v1/jobs/{made['id']}/cancel", headers=stranger)).status_code == 404
    assert (await client.post(RUNS, json={"tenant": "acme"}, headers=stranger)).status_code == 404
    assert (await client.get("/api/v1/jobs", headers=stranger)).json()["jobs"] == []
    assert (await client.get("/api/v1/flows", headers=stranger)).json()["flows"] == []
    assert [key["name"] for key in (await client.get("/api/v1/keys", headers=stranger)).json()["keys"]] == [
        "other's admin"
    ]
    mine = await client.post("/api/v1/keys", json={"name": "n", "role": "admin"}, headers=stranger)
    assert mine.json()["workspace"] == "other"
    theirs = await client.post("/api/v1/keys", json={"name": "n", "workspace": "demo"}, headers=stranger)
    assert theirs.status_code == 404


async def test_deliveries_are_listed_and_sent_again(client: httpx2.AsyncClient, house: House) -> None:
    """
    A viewer does not see the path of a receiver's address, which may be its secret.
    """
    delivery_id = uuid4()
    async with house.database.transaction() as connection:
        await deliveries.owe(
            connection,
            deliveries.NewDelivery(
                id=delivery_id,
                workspace_id=house.workspace.id,
                tenant="acme",
                job_id=None,
                event_id=None,
                sink="webhook:x",
                topic="JOB_COMPLETED",
                url="https://user:pw@hooks.test/secret-path?q=1",
                body=b"{}",
            ),
        )
    viewer = await house.access.make_key(name="v", role="viewer", workspace_id=house.workspace.id)

    (shown,) = (await client.get("/api/v1/deliveries")).json()["deliveries"]
    (hidden,) = (await client.get("/api/v1/deliveries", headers={"x-api-key": viewer})).json()["deliveries"]
    none = (await client.get("/api/v1/deliveries?state=failed")).json()["deliveries"]
    await house.database.run("update delivery set state = 'failed'")
    (failed,) = (await client.get("/api/v1/deliveries?state=failed")).json()["deliveries"]
    unknown = await client.get("/api/v1/deliveries?state=lost")
    again = await client.post(f"/api/v1/deliveries/{delivery_id}/redeliver")

    assert (none, failed["id"], unknown.status_code) == ([], str(delivery_id), 400)
    assert (shown["topic"], shown["state"], shown["tenant"]) == ("JOB_COMPLETED", "pending", "acme")
    assert hidden["url"] == "https://hooks.test"
    assert again.status_code == 200
    assert (await client.post(f"/api/v1/deliveries/{uuid4()}/redeliver")).status_code == 404


async def test_every_webhook_of_a_workspace_gets_a_test_event(client: httpx2.AsyncClient, house: House) -> None:
    """
    Whatever it has subscribed to; without a webhook there is nothing to test.
    """
    without = await client.post("/api/v1/webhooks/demo/test")
    urls = ["https://one.test/in", "https://two.test/in"]
    house.announcements._remembered.clear()  # a workspace is remembered for some seconds
    await house.furnish({"webhooks": [{"url": url, "events": ["discover"], "secret": ""} for url in urls]})
    viewer = await house.access.make_key(name="v", role="viewer", workspace_id=house.workspace.id)

    refused = await client.post("/api/v1/webhooks/demo/test", headers={"x-api-key": viewer})
    made = await client.post("/api/v1/webhooks/demo/test")
    owed = (await client.get("/api/v1/deliveries")).json()["deliveries"]

    assert (without.status_code, refused.status_code) == (409, 403)
    assert (made.status_code, made.json()) == (202, {"owed": 2})
    assert {(one["url"], one["topic"], one["state"]) for one in owed} == {(url, "test", "pending") for url in urls}


async def test_nodes_are_listed(client: httpx2.AsyncClient, house: House) -> None:
    await house.nodes.beat(uuid4(), name="node-1", roles=["worker"], slots=4)

    (node,) = (await client.get("/api/v1/nodes")).json()["nodes"]

    assert (node["name"], node["roles"], node["slots"], node["alive"]) == ("node-1", ["worker"], 4, True)


@pytest.mark.parametrize(("key", "status", "code"), [("", 401, "unauthenticated"), ("wrong", 401, "unauthenticated")])
async def test_without_a_good_key_nothing_is_told(client: httpx2.AsyncClient, key: str, status: int, code: str) -> None:
    for path in ("/jobs", "/jobs/x", "/keys", "/me", "/problems"):
        reply = await client.get(f"/api/v1{path}", headers={"x-api-key": key})
        if path == "/jobs/x":
            continue
        assert (reply.status_code, reply.json()["code"]) == (status, code)
        assert reply.headers["www-authenticate"] == "Bearer"


async def test_a_public_key_does_not_open_the_core_api(client: httpx2.AsyncClient, house: House) -> None:
    key = await house.access.make_key(name="widget", role="public", workspace_id=house.workspace.id)

    assert (await client.get("/api/v1/jobs", headers={"x-api-key": key})).status_code == 403


async def test_whatever_goes_wrong_is_problem_details(client: httpx2.AsyncClient) -> None:
    """
    Unknown paths and methods too, each with code, reason, instruction and facts.
    """
    for reply in (
        await client.get("/api/v1/nothing"),
        await client.put("/api/v1/jobs"),
        await client.get("/api/v1/jobs/none"),
        await client.get(f"/api/v1/jobs/{uuid4()}"),
        await client.get("/api/v1/jobs?tenant=%00"),
        await client.post("/api/v1/keys", content=b"{"),
    ):
        assert reply.headers["content-type"] == "application/problem+json"
        assert set(reply.json()) == {"type", "title", "status", "detail", "code", "reason", "instruction", "facts"}
        assert reply.json()["status"] == reply.status_code
    assert ADMIN_KEY not in reply.text


async def test_the_document_describes_what_is_there(client: httpx2.AsyncClient) -> None:
    """
    The page on the API has a row for every operation and no other; problem details are the form of errors.
    """
    document = (await client.get("/api/v1/openapi.json")).json()

    operations = {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}
    page = (Path(__file__).parents[2] / "docs/reference/api.md").read_text("utf-8")
    assert operations == set(re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`?]+)", page))
    for item in document["paths"].values():
        for operation in item.values():
            assert "422" not in operation["responses"]
            assert "application/problem+json" in operation["responses"]["401"]["content"]
