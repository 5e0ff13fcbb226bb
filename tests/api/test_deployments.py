"""
Flows and connectors deployed over the core API: versions, which one is in force, and who may.
"""

from __future__ import annotations

import base64
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from house import House
from house_app import client_of

from headrace.core.plan import Plan, Script, Sync
from headrace.engine.desk import secrets_in
from headrace.store import job_reads

SCRIPT = "print('one')\n"
TAP = {"kind": "tap", "command": ["python", "tap.py"], "secrets": ["token"], "settings": {"token": "token-of-all"}}
FLOW = """\
name: Trains
sources: [tap-trains]
targets: [target-jsonl]
tenants:
  acme:
    sources:
      tap-trains:
        config: {token: "token-of-acme", region: "${env:REGION:-eu}", who: "${tenant} in ${flow}"}
"""


async def _put(client: httpx2.AsyncClient, flow: str = "trains", **more: Any) -> httpx2.Response:
    files = {"flow.yml": FLOW, "etl.py": SCRIPT} | more.pop("files", {})
    return await client.put(f"/api/v1/flows/demo/{flow}", json={"files": files, **more})


@pytest.fixture
async def tap(client: httpx2.AsyncClient) -> None:
    reply = await client.put("/api/v1/connectors/demo/tap-trains", json={"connector": TAP, "message": "first"})
    assert reply.status_code == 200, reply.text


async def _versions(client: httpx2.AsyncClient, flow: str = "trains") -> list[tuple[int, bool]]:
    found = (await client.get(f"/api/v1/flows/demo/{flow}/versions")).json()["versions"]
    return [(one["number"], one["current"]) for one in found]


async def _plan(house: House, client: httpx2.AsyncClient) -> Plan:
    made = await client.post("/api/v1/flows/demo/trains/runs", json={"tenant": "acme", "ignore_parallel_jobs": True})
    assert made.status_code == 201, made.text
    async with house.database.connection() as connection:
        plan, _sealed = await job_reads.plan_of(connection, made.json()["id"])
    return plan


async def _script(house: House, plan: Plan) -> bytes | None:
    step = next(step for step in plan.steps if isinstance(step, Script))
    return await house.files.get(f"scripts/{step.source}/files/etl.py")


@pytest.mark.usefixtures("tap")
async def test_a_deployed_flow_runs_from_the_next_job_on(house: House, client: httpx2.AsyncClient) -> None:
    """
    A job keeps what it was compiled with; the next one has the version in force, also after a rollback.
    """
    first = await _put(client, message="the first", files={"lib/names.py": "A = 1\n"})
    plans = [await _plan(house, client)]
    await _put(client, files={"etl.py": "print('two')\n"})
    plans.append(await _plan(house, client))
    back = await client.post("/api/v1/flows/demo/trains/rollback", json={})
    plans.append(await _plan(house, client))

    assert [await _script(house, plan) for plan in plans] == [SCRIPT.encode(), b"print('two')\n", SCRIPT.encode()]
    made = first.json()
    assert (made["number"], made["message"], made["deployed_by"]) == (1, "the first", "admin")
    assert (made["new"], made["changed"], made["file_count"]) == (True, True, 3)
    assert (back.json()["number"], back.json()["changed"]) == (1, True)
    assert await _versions(client) == [(2, False), (1, True)]


@pytest.mark.usefixtures("tap")
async def test_the_same_content_is_the_same_version(client: httpx2.AsyncClient) -> None:
    """
    Deployed again it changes nothing; deployed after another one it is put in force again.
    """
    replies = [await _put(client), await _put(client, message="again"), await _put(client, files={"a.txt": "a"})]
    replies.append(await _put(client))

    told = [(one.json()["number"], one.json()["new"], one.json()["changed"]) for one in replies]
    assert told == [(1, True, True), (1, False, False), (2, True, True), (1, False, True)]
    assert await _versions(client) == [(2, False), (1, True)]


@pytest.mark.usefixtures("tap")
async def test_mistakes_are_told_with_their_lines_and_change_nothing(client: httpx2.AsyncClient) -> None:
    """
    The checks and words are those of the project folder; every mistake is told at once.
    """
    await _put(client)
    wrong = FLOW.replace("[tap-trains]", "[tap-trins]").replace("target-jsonl", "tap-trains")

    reply = await _put(client, files={"flow.yml": wrong})

    assert reply.status_code == 400
    assert reply.json()["code"] == "definition-invalid"
    problems = {(one["file"], one["line"]): one for one in reply.json()["facts"]["problems"]}
    assert "Did you mean tap-trains?" in problems["flows/trains/flow.yml", 2]["instruction"]
    assert "is a tap" in problems["flows/trains/flow.yml", 3]["reason"]
    assert await _versions(client) == [(1, True)]


async def test_what_does_not_fit_is_refused(client: httpx2.AsyncClient) -> None:
    for files, said in (
        ({"../flow.yml": ""}, "path"),
        ({"/etc/x": ""}, "path"),
        ({"a\\b": ""}, "path"),
        ({".env": ""}, "path"),
        ({"a": "", "a/b": ""}, "both a file and a folder"),
        ({"flow.yml": {"base64": base64.b64encode(b"\xff").decode()}}, "not UTF-8"),
        ({"x": {"base64": "?"}}, "no base64"),
        ({"requirements.txt": "-r other.txt"}, "requirements.txt, line 1"),
        ({"flow.yml": "sources: [api]\nscript: {entry: gone.py}\n"}, "gone.py"),
        ({"flow.yml": "sources: [api]\nname: ${env:HEADRACE_SECRET_KEYS}\n"}, "HEADRACE_SECRET_KEYS"),
        ({"flow.yml": 'sources: [api]\nname: "a\\0"\n'}, "NUL"),
    ):
        reply = await _put(client, files={"flow.yml": "sources: [api]\n"} | files)
        assert reply.status_code == 400, files
        assert said in reply.json()["reason"]
    assert (await _put(client, "a flow")).status_code == 400
    assert (await client.get("/api/v1/flows/demo/trains/versions")).status_code == 404


async def test_a_flow_of_the_folder_is_taken_over_only_on_demand(house: House, client: httpx2.AsyncClient) -> None:
    """
    Until its deployments are forgotten; then the folder's is in force again.
    """
    files = {"flow.yml": "sources: [tap-flights]\nname: Mine\n"}
    refused = await _put(client, "flights", files=files)
    taken = await _put(client, "flights", files=files, take_over=True)
    shown = (await client.get("/api/v1/flows/demo/flights")).json()
    again = await _put(client, "flights", files=files)

    assert (refused.status_code, refused.json()["code"]) == (409, "owned-by-folder")
    assert (taken.status_code, again.status_code) == (200, 200)
    assert (shown["name"], shown["owner"], shown["version"]) == ("Mine", "deployments", 1)
    assert (await client.delete("/api/v1/flows/demo/flights")).status_code == 200
    shown = (await client.get("/api/v1/flows/demo/flights")).json()
    assert (shown["owner"], shown["version"]) == ("folder", None)


@pytest.mark.usefixtures("tap")
async def test_a_version_is_pulled_as_it_was_sent(client: httpx2.AsyncClient) -> None:
    binary = {"base64": base64.b64encode(b"\x00\xff").decode()}
    tenants = {"tenants/globex.yml": "sources: {tap-trains: {config: {token: t}}}\n"}
    await _put(client, files={"data/model.bin": binary, **tenants})

    pulled = (await client.get("/api/v1/flows/demo/trains/versions/1")).json()

    assert pulled["files"] == {"flow.yml": FLOW, "etl.py": SCRIPT, "data/model.bin": binary, **tenants}


@pytest.mark.usefixtures("tap")
async def test_tenants_of_a_deployed_flow_are_linked(house: House, client: httpx2.AsyncClient) -> None:
    """
    With placeholders filled in from the workspace's variables, never from the server's own.
    """
    await _put(client)

    plan = await _plan(house, client)

    sync = next(step for step in plan.steps if isinstance(step, Sync))
    links = await house.connections.of_tenant(house.workspace.id, "acme", "trains")
    assert [str(link.id) for link in links] == [sync.config.connection]
    assert links[0].config == {"token": "token-of-acme", "region": "eu", "who": "acme in trains"}


@pytest.mark.usefixtures("tap")
async def test_a_connector_that_is_needed_stays(client: httpx2.AsyncClient) -> None:
    await _put(client)

    refused = await client.delete("/api/v1/connectors/demo/tap-trains")
    other_kind = {"connector": {"kind": "target", "command": ["cat"]}}
    turned = await client.put("/api/v1/connectors/demo/tap-trains", json=other_kind)
    await client.delete("/api/v1/flows/demo/trains")
    forgotten = await client.delete("/api/v1/connectors/demo/tap-trains")

    assert (refused.status_code, turned.status_code, forgotten.status_code) == (409, 409, 200)
    assert "trains" in refused.json()["reason"]


async def test_a_wrong_connector_is_refused(client: httpx2.AsyncClient) -> None:
    for body, said in (
        ({"kind": "tap"}, "has a value that is not allowed"),
        ({"kind": "top", "command": ["x"]}, "`kind` must be one of"),
        ({"kind": "tap", "comand": ["x"]}, "`comand`"),
    ):
        reply = await client.put("/api/v1/connectors/demo/tap-trains", json={"connector": body})
        assert reply.status_code == 400
        assert said in reply.json()["reason"]
    assert (await client.put("/api/v1/connectors/demo/tap-flights", json={"connector": TAP})).status_code == 409


@pytest.mark.usefixtures("tap")
async def test_secrets_of_deployments_are_sealed_and_shown_to_few(
    house: House, app: FastAPI, client: httpx2.AsyncClient
) -> None:
    """
    At rest nothing is open; a viewer sees names and numbers alone.
    """
    await _put(client)
    viewer = await house.access.make_key(name="looks", role="viewer", workspace_id=house.workspace.id)

    rows = await house.database.all("select encode(sealed, 'escape') as text, v::text as row from deployment v")
    async with client_of(app, viewer) as looker:
        listed = await looker.get("/api/v1/connectors")
        answers = [
            await looker.get("/api/v1/flows/demo/trains/versions/1"),
            await looker.get("/api/v1/connectors/demo/tap-trains/versions/1"),
            await looker.put("/api/v1/flows/demo/trains", json={"files": {}}),
            await looker.post("/api/v1/flows/demo/trains/rollback", json={}),
            await looker.delete("/api/v1/flows/demo/trains"),
            await looker.post("/api/v1/workspaces", json={"name": "mine"}),
        ]

    assert not any("token-of" in row["text"] + row["row"] for row in rows)
    assert "token-of" not in listed.text
    assert [one["settings"] for one in listed.json()["connectors"] if one["name"] == "tap-trains"] == [["token"]]
    assert [reply.status_code for reply in answers] == [403] * len(answers)
    shown = (await client.get("/api/v1/connectors/demo/tap-trains/versions/1")).json()
    assert shown["connector"] == TAP


@pytest.mark.usefixtures("tap")
async def test_another_workspace_sees_and_changes_nothing(
    house: House, app: FastAPI, client: httpx2.AsyncClient
) -> None:
    await _put(client)
    made = await client.post("/api/v1/workspaces", json={"name": "other"})
    stranger = await house.access.make_key(name="other", role="developer", workspace_id=made.json()["id"])

    async with client_of(app, stranger) as other:
        answers = [
            await other.get("/api/v1/flows/demo/trains"),
            await other.get("/api/v1/flows/demo/trains/versions"),
            await other.put("/api/v1/flows/demo/trains", json={"files": {"flow.yml": "sources: [api]"}}),
            await other.delete("/api/v1/connectors/demo/tap-trains"),
        ]
        own = await other.put(
            "/api/v1/flows/other/trains", json={"files": {"flow.yml": "workspace: demo\nsources: [tap-trains]"}}
        )
        named = {one["name"] for one in (await other.get("/api/v1/connectors")).json()["connectors"]}

    assert [reply.status_code for reply in answers] == [404] * len(answers)
    assert "There is no connector tap-trains" in own.json()["reason"]
    assert "tap-trains" not in named
    assert (await client.post("/api/v1/workspaces", json={"name": "other"})).status_code == 409


@pytest.mark.usefixtures("tap")
async def test_other_nodes_hear_of_a_deployment(house: House, client: httpx2.AsyncClient, tmp_path: Any) -> None:
    """
    At their next look; a look that finds nothing new reads nothing but a fingerprint.
    """
    from headrace.services.deployments import Deployments
    from headrace.services.flows import Flows
    from headrace.store.deployments import Deployments as DeploymentStore

    await _put(client)
    flows = Flows(
        house.database, house.sealer, house.workspaces, house.connections, house.files,
        folder=None, home=tmp_path, environ={}, new_id=lambda: house.workspace.id,
    )  # fmt: skip
    node = Deployments(house.database, DeploymentStore(house.database, house.sealer), flows, house.files)

    await node.tick()
    seen = flows.deployed
    await node.tick()

    assert [flow.id for flow in flows.all()] == ["trains"]
    assert flows.deployed is seen
    await client.delete("/api/v1/flows/demo/trains")
    await node.tick()
    assert flows.all() == []


@pytest.mark.usefixtures("tap")
async def test_a_connector_s_settings_are_sealed_with_the_job(house: House, client: httpx2.AsyncClient) -> None:
    """
    A plan is stored as it is, so what may be a secret does not stand in it; whoever begins the job finds the plan whole.
    """
    await _put(client)

    plan = await _plan(house, client)
    rows = await house.database.all("select plan::text as plan, encode(sealed, 'escape') as sealed from job_plan")
    await house.admit(1)
    (job,) = await house.jobs.history(house.workspace.id)
    work = await house.claim(job.id)

    assert not any("token-of-all" in row["plan"] + (row["sealed"] or "") for row in rows)
    assert work is not None
    sync = next(step for step in work.plan.steps if isinstance(step, Sync))
    assert sync.connector.settings == {"token": "token-of-all"}
    assert "token-of-all" in secrets_in(work)
    assert next(step for step in plan.steps if isinstance(step, Sync)).connector.settings == {}
