"""
J3: V2 jobs, one connector read or written.
"""

from __future__ import annotations

import httpx2
import pytest
from hotglue_rows import row
from house import House

from headrace.core.definitions import FlowDef
from headrace.core.plan import ConnectorSpec, Export, Payload, Plan, Script, Sync
from headrace.store import job_reads

JOBS = "/hotglue/v2/demo/crm/acme/jobs"
CONNECTORS = "/hotglue/v2/demo/crm/acme/linkedConnectors"
SOURCES = "/hotglue/demo/crm/acme/linkedSources"

TAP_HUBSPOT = ConnectorSpec(name="tap-hubspot", kind="tap", command=("python", "tap.py"))
TARGET_HUBSPOT = ConnectorSpec(name="target-hubspot", kind="target", command=("python", "target.py"))
TAP_OURS = ConnectorSpec(name="tap-ours", kind="tap", command=("python", "tap.py"))
TARGET_OURS = ConnectorSpec(name="target-ours", kind="target", command=("python", "target.py"))


@pytest.fixture(autouse=True)
def crm(house: House) -> None:
    house.define(
        FlowDef(
            id="crm",
            workspace="demo",
            sources=("tap-hubspot", "tap-ours"),
            targets=("target-ours", "target-hubspot"),
        ),
        TAP_HUBSPOT,
        TARGET_HUBSPOT,
        TAP_OURS,
        TARGET_OURS,
    )


async def plan_of(house: House, root: str) -> Plan:
    job = await house.jobs.by_root(root, workspace_id=house.workspace.id)
    assert job is not None
    async with house.database.connection() as connection:
        return (await job_reads.plan_of(connection, job.id))[0]


async def link_hubspot(client: httpx2.AsyncClient) -> None:
    made = await client.post(CONNECTORS, json={"connector": {"id": "hubspot", "config": {"key": "s3cret"}}})
    assert made.status_code == 200


@row("2.2 M2")
async def test_m2_a_tap_and_a_target_of_one_name_are_one_connector(client: httpx2.AsyncClient) -> None:
    found = await client.get("/hotglue/v2/demo/crm/supportedConnectors")

    assert [connector["id"] for connector in found.json()] == ["hubspot", "ours"]


@row("2.2 J3")
async def test_j3_read_is_connector_script_targets(client: httpx2.AsyncClient, house: House) -> None:
    """
    The connector is the tap; what follows is the flow's own.
    """
    await link_hubspot(client)

    reply = await client.post(JOBS, json={"connector_id": "hubspot", "job_type": "read"})

    assert reply.status_code == 200
    body = reply.json()
    assert (body["connector_id"], body["job_type"], body["tap"]) == ("hubspot", "READ", "hubspot")
    plan = await plan_of(house, body["s3_root"])
    sync, script, export = plan.steps
    assert isinstance(sync, Sync)
    assert isinstance(script, Script)
    assert isinstance(export, Export)
    assert sync.connector == TAP_HUBSPOT
    assert sync.config.connection is not None
    assert [target.connector.name for target in export.targets] == ["target-ours", "target-hubspot"]
    assert {"JOB_TYPE": "read", "CONNECTOR_ID": "hubspot", "TAP": "hubspot"}.items() <= plan.variables.items()


@row("2.2 J3")
async def test_j3_write_is_payload_script_connector(client: httpx2.AsyncClient, house: House) -> None:
    """
    What is sent with the job is the data; the connector is the only target.
    """
    await link_hubspot(client)

    reply = await client.post(
        JOBS, json={"connector_id": "hubspot", "job_type": "write", "state": {"Contact": [{"name": "Ada"}]}}
    )

    body = reply.json()
    assert (body["connector_id"], body["job_type"], body["target"], body["tap"]) == (
        "hubspot",
        "WRITE",
        "hubspot",
        "api",
    )
    plan = await plan_of(house, body["s3_root"])
    payload, _, export = plan.steps
    assert isinstance(payload, Payload)
    assert isinstance(export, Export)
    assert [target.connector.name for target in export.targets] == ["target-hubspot"]
    assert export.targets[0].config.connection is not None
    assert {"JOB_TYPE": "write", "CONNECTOR_ID": "hubspot", "TARGET": "hubspot"}.items() <= plan.variables.items()


async def test_j3_write_reads_the_tenants_own_source(client: httpx2.AsyncClient, house: House) -> None:
    await link_hubspot(client)
    await client.post(SOURCES, json={"source": {"tap": "tap-ours", "config": {}}})

    reply = await client.post(JOBS, json={"connector_id": "hubspot", "job_type": "write"})

    plan = await plan_of(house, reply.json()["s3_root"])
    assert isinstance(plan.steps[0], Sync)
    assert plan.steps[0].connector == TAP_OURS


@row("4 override_connector_config")
async def test_j3_overrides_go_to_the_connectors_side_and_show_no_value(
    client: httpx2.AsyncClient, house: House
) -> None:
    await link_hubspot(client)

    reply = await client.post(
        JOBS,
        json={"connector_id": "hubspot", "job_type": "READ", "override_connector_config": {"key": "other-secret"}},
    )

    assert reply.json()["override_source_config"] == {"key": "***"}
    assert "other-secret" not in reply.text
    plan = await plan_of(house, reply.json()["s3_root"])
    assert isinstance(plan.steps[0], Sync)
    assert plan.steps[0].config.overrides == "source_config"


WRONG_RUNS = [
    ({"connector_id": "hubspot"}, "job_type"),
    ({"connector_id": "hubspot", "job_type": "both"}, "job_type"),
    ({"connector_id": 5, "job_type": "read"}, "connector_id"),
    ({"connector_id": "salesforce", "job_type": "read"}, "salesforce"),
    ({"connector_id": "hubspot", "job_type": "read", "override_connector_config": []}, "override_connector_config"),
    ({"connector_id": "hubspot", "job_type": "read", "override_connector_config": {"\0": 1}}, "NUL"),
]


async def test_j3_a_wrong_field_is_named(client: httpx2.AsyncClient) -> None:
    for body, field in WRONG_RUNS:
        await link_hubspot(client)

        reply = await client.post(JOBS, json=body)

        assert reply.status_code == 400
        assert field in reply.json()["Message"]


async def test_j3_a_job_is_polled_listed_and_filtered_by_its_connector(client: httpx2.AsyncClient) -> None:
    """
    By the paths of either version.
    """
    await link_hubspot(client)
    made = (await client.post(JOBS, json={"connector_id": "hubspot", "job_type": "read"})).json()

    for path in (JOBS, JOBS.replace("/v2", "")):
        polled = await client.get(f"{path}/status", params={"job_root": made["s3_root"]})
        listed = await client.get(f"{path}?entity_type=connector&entity_id=hubspot")
        other = await client.get(f"{path}?entity_type=connector&entity_id=ours")

        assert polled.json()["job_id"] == made["job_id"]
        assert [job["job_id"] for job in listed.json()] == [made["job_id"]]
        assert other.json() == []


async def test_j3_a_second_job_of_the_tenant_is_refused_or_queued(client: httpx2.AsyncClient) -> None:
    await link_hubspot(client)
    run = {"connector_id": "hubspot", "job_type": "read"}
    await client.post(JOBS, json=run)

    refused = await client.post(JOBS, json=run)
    queued = await client.post(JOBS, json={**run, "queue_if_active_job": True})

    assert refused.status_code == 400
    assert queued.status_code == 202


async def test_t5_metadata_travels_with_the_tenants_jobs(client: httpx2.AsyncClient) -> None:
    await link_hubspot(client)
    await client.put("/hotglue/tenant/demo/acme/metadata", json={"config": {"metadata": {"plan": "gold"}}})

    reply = await client.post(JOBS, json={"connector_id": "hubspot", "job_type": "read"})

    assert reply.json()["metadata"] == {"plan": "gold"}
