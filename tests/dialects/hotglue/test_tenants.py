"""
T1 to T5: tenants, what is kept of them, and their end.
"""

from __future__ import annotations

import httpx2
import pytest
from fastapi import FastAPI
from hotglue_rows import row
from house import House
from house_app import client_of

from headrace.services.tenants import snapshots_of

SOURCES = "/hotglue/demo/flights/{tenant}/linkedSources"
LINK = {"source": {"tap": "tap-flights", "config": {"a": 1}}}
ACME = "/hotglue/tenant/demo/acme"


async def key_of(house: House, role: str) -> str:
    return await house.access.make_key(name=role, role=role, workspace_id=house.workspace.id)


@row("2.2 T1")
async def test_t1_linking_makes_a_tenant(client: httpx2.AsyncClient) -> None:
    await client.post(SOURCES.format(tenant="acorn_1"), json=LINK)
    await client.post(SOURCES.format(tenant="zeta"), json=LINK)

    assert (await client.get("/hotglue/tenants/demo")).json() == ["acme", "acorn_1", "zeta"]
    assert (await client.get("/hotglue/tenants/demo?tenant=ac")).json() == ["acme", "acorn_1"]
    assert (await client.get("/hotglue/tenants/demo?tenant=%25")).json() == []


async def test_t1_a_tenant_outlives_its_links(client: httpx2.AsyncClient) -> None:
    await client.post(SOURCES.format(tenant="zeta"), json=LINK)
    await client.delete(f"{SOURCES.format(tenant='zeta')}?tap_name=tap-flights")

    assert "zeta" in (await client.get("/hotglue/tenants/demo")).json()


@row("2.2 T2")
async def test_t2_all_that_is_a_tenants_goes(client: httpx2.AsyncClient, house: House) -> None:
    """
    Links, bookmarks, schedules, config, kept files, jobs with their files and logs; another tenant's stay.
    """
    await client.post(SOURCES.format(tenant="zeta"), json=LINK)
    await client.put("/hotglue/demo/flights/acme/jobs/schedule", json={"schedule_expression": "cron(0 0 * * *)"})
    await client.put(f"{ACME}/metadata", json={"config": {"metadata": {"plan": "gold"}}})
    job = await house.submit(tenant="acme")
    await house.jobs.cancel(job.id, by="a test", workspace_id=house.workspace.id)
    kept = f"{snapshots_of(house.workspace.id, 'acme')}/flights.snapshot.parquet"
    others = f"{snapshots_of(house.workspace.id, 'zeta')}/flights.snapshot.parquet"
    await house.files.put(kept, b"rows")
    await house.files.put(others, b"rows")

    gone = await client.delete(ACME)

    assert (gone.status_code, gone.json()) == (200, {})
    assert (await client.get("/hotglue/tenants/demo")).json() == ["zeta"]
    assert (await client.get(SOURCES.format(tenant="acme"))).json() == []
    assert (await client.get("/hotglue/demo/flights/acme/jobs")).json() == []
    assert (await client.get("/hotglue/demo/flights/acme/jobs/schedule")).json() == {"State": "DISABLED"}
    assert (await client.get(f"{ACME}/config")).status_code == 400
    assert await house.files.get(kept) is None
    assert await house.files.get(others) == b"rows"
    assert len((await client.get(SOURCES.format(tenant="zeta"))).json()) == 1


async def test_t2_not_while_a_job_has_not_ended(client: httpx2.AsyncClient, house: House) -> None:
    """
    Refused with nothing touched; with `cancel=true` the jobs are ended, and then the tenant goes.
    """
    await house.submit(tenant="acme")

    refused = await client.delete(ACME)
    assert refused.status_code == 400
    assert len((await client.get(SOURCES.format(tenant="acme"))).json()) == 1

    gone = await client.delete(f"{ACME}?cancel=true")
    assert gone.status_code == 200
    assert (await client.get("/hotglue/tenants/demo")).json() == []


async def test_t2_a_running_job_is_waited_for(client: httpx2.AsyncClient, house: House) -> None:
    """
    A job that a worker has begun needs its grace time: the call is refused until it has ended.
    """
    work = await house.started(tenant="acme")

    refused = await client.delete(f"{ACME}?cancel=true")

    assert refused.status_code == 400
    assert "not ended" in refused.json()["Message"]
    assert (await house.job(work.job.id)).cancel_requested_at is not None


async def test_t2_nobody_cannot_be_deleted(client: httpx2.AsyncClient) -> None:
    reply = await client.delete("/hotglue/tenant/demo/nobody")

    assert reply.status_code == 400
    assert reply.json()["Code"] == "NotFoundError"


@row("2.2 T3", "2.2 T4", "2.2 T5")
async def test_t3_t4_t5_config_holds_mapping_and_metadata(client: httpx2.AsyncClient) -> None:
    """
    Each is set by itself, as a whole, and shown in the config under hotglue's keys.
    """
    missing = await client.get(f"{ACME}/config")
    assert missing.status_code == 400
    assert "no config for the tenant" in missing.json()["Message"]

    mapping = {"flights": {"Trips/flights": {"id": "flight"}}}
    put = await client.put(
        f"{ACME}/mapping", json={"config": {"mapping": mapping}, "entityType": "taps", "flow": "flights"}
    )
    assert (put.status_code, put.json()) == (200, {})
    await client.put(f"{ACME}/metadata", json={"config": {"metadata": {"a": 1, "b": 2}}})
    await client.put(f"{ACME}/metadata", json={"config": {"metadata": {"b": 3}}})
    await client.put(f"{ACME}/config", json={"config": {"apiCredentials": {"key": "k"}}})

    assert (await client.get(f"{ACME}/mapping")).json() == mapping
    assert (await client.get(f"{ACME}/config")).json() == {
        "apiCredentials": {"key": "k"},
        "hotglue_metadata": {"metadata": {"b": 3}},
        "hotglue_mapping": {"mapping": mapping},
    }


async def test_t3_what_a_tenant_keeps_is_sealed(client: httpx2.AsyncClient, house: House) -> None:
    await client.put(f"{ACME}/config", json={"config": {"apiCredentials": "plain-to-see"}})

    row = await house.database.one("select config, mapping::text, metadata::text from tenant")

    assert row is not None
    assert b"plain-to-see" not in bytes(row["config"])


WRONG_METADATA = [
    b"",
    b"[]",
    b'{"config": 1}',
    b'{"config": {"metadata": []}}',
    b'{"config": {"metadata": {"a": "\\u0000"}}}',
]


async def test_t5_a_wrong_body_changes_nothing(client: httpx2.AsyncClient) -> None:
    for body in WRONG_METADATA:
        await client.put(f"{ACME}/metadata", json={"config": {"metadata": {"a": 1}}})

        reply = await client.put(f"{ACME}/metadata", content=body)

        assert reply.status_code == 400
        assert (await client.get(f"{ACME}/metadata")).json() == {"a": 1}


@pytest.mark.parametrize(
    ("role", "listed", "config", "mapping", "metadata", "deleted"),
    [
        ("environment", 200, 200, 200, 200, 200),
        ("developer", 200, 200, 200, 200, 200),
        ("viewer", 200, 403, 403, 403, 403),
        ("public", 403, 403, 200, 200, 403),
    ],
)
async def test_keys_do_what_their_role_says(
    app: FastAPI,
    house: House,
    client: httpx2.AsyncClient,
    role: str,
    listed: int,
    config: int,
    mapping: int,
    metadata: int,
    deleted: int,
) -> None:
    """
    A viewer changes nothing and sees no secret; a public key lists no tenants and reads none of their settings.
    """
    await client.put(f"{ACME}/config", json={"config": {"a": 1}})
    async with client_of(app, await key_of(house, role)) as guest:
        assert (await guest.get("/hotglue/tenants/demo")).status_code == listed
        assert (await guest.get(f"{ACME}/config")).status_code == config
        assert (await guest.put(f"{ACME}/mapping", json={"config": {"mapping": {}}})).status_code == mapping
        assert (await guest.put(f"{ACME}/metadata", json={"config": {"metadata": {}}})).status_code == metadata
        assert (await guest.get("/hotglue/demo/signingKey")).status_code == config
        assert (await guest.delete(ACME)).status_code == deleted
