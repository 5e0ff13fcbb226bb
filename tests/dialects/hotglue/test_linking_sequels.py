"""
What follows a link: discover, first job, schedule, webhooks; and symlinks and tenant tokens.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from fastapi import FastAPI
from hotglue_rows import row
from house import House
from house_app import client_of

from headrace.core.outcome import Blame, Cause, Failed, Succeeded
from headrace.core.plan import Sync
from headrace.store import job_reads

SOURCES = "/hotglue/demo/flights/{tenant}/linkedSources"
ACME = SOURCES.format(tenant="acme")
CONNECTORS = "/hotglue/v2/demo/flights/acme/linkedConnectors"
LINK = {"source": {"tap": "tap-flights", "config": {"token": "s3cret-of-zeta"}}}
HOOK = "https://example.test/hook"


async def define_workspace(house: House, **settings: Any) -> None:
    """
    Give the workspace settings, and a webhook for everything.
    """
    hook = {"url": HOOK, "events": ["job-lifecycle", "discover", "connection"], "secret": ""}
    house.workspace = await house.workspaces.declare(
        house.workspace.id, "demo", {"webhooks": [hook], "settings": settings}
    )
    house.access._named.clear()
    house.announcements._remembered.clear()


async def told(house: House) -> list[tuple[str, dict[str, Any]]]:
    """
    List what the webhook is owed: topic and body, oldest first.
    """
    rows = await house.database.all("select topic, body from delivery order by seq")
    return [(row["topic"], json.loads(bytes(row["body"]))) for row in rows]


async def only_ticket(house: House) -> Any:
    await house.admit(10)
    [ticket] = await house.tickets()
    return await house.claim(UUID(ticket.job_id))


@row("2.2 L5", "2.2 L6")
async def test_l5_l6_l7_discover_is_a_job_of_its_own(client: httpx2.AsyncClient, house: House) -> None:
    """
    It starts, is polled in the container service's words, fills the catalog, and is no job of the flow.
    """
    await define_workspace(house)
    assert (await client.get(f"{ACME}/discover/poll?tap_name=tap-flights")).json()["status"] is None

    started = await client.get(f"{ACME}/discover?tap_name=tap-flights")
    again = await client.get(f"{ACME}/discover?tap_name=tap-flights")

    assert (started.status_code, started.json()["status"]) == (200, "PENDING")
    assert again.json()["job_id"] == started.json()["job_id"]
    assert (await client.get("/hotglue/demo/flights/acme/jobs")).json() == []
    work = await only_ticket(house)
    await house.attempts.start_step(work, 0)
    assert (await client.get(f"{ACME}/discover/poll?tap_name=tap-flights")).json()["status"] == "RUNNING"
    assert (await client.get(ACME)).json()[0]["discover_task_status"] == "DISCOVER_STARTED"

    connection_id = next(iter(work.connections.values())).id
    await house.attempts.save_catalog(work, connection_id, {"streams": [{"stream": "flights"}]})
    await house.attempts.finish_step(work, 0, Succeeded({"streams": 1}))
    await house.settle(work, Succeeded())

    assert (await client.get(f"{ACME}/discover/poll?tap_name=tap-flights")).json()["status"] == "STOPPED"
    [element] = (await client.get(f"{ACME}?catalog=true")).json()
    assert (element["discover_task_status"], element["catalog"]) == (
        "DISCOVER_SUCCESS",
        {"streams": [{"stream": "flights"}]},
    )
    bodies = await told(house)
    assert [topic for topic, _ in bodies] == ["DISCOVER_STARTED", "DISCOVER_SUCCESS"]
    assert bodies[-1][1]["tap_name"] == "tap-flights"
    assert (bodies[-1][1]["tenant"], bodies[-1][1]["event"]) == ("acme", "DISCOVER_SUCCESS")


@row("2.2 L7")
async def test_l7_a_discover_is_killed_or_fails(client: httpx2.AsyncClient, house: House) -> None:
    await define_workspace(house)
    nothing = await client.post(f"{ACME}/discover/kill?tap_name=tap-flights")
    assert nothing.status_code == 400

    await client.get(f"{ACME}/discover?tap_name=tap-flights")
    killed = await client.post(f"{ACME}/discover/kill", json={"tap_name": "tap-flights"})
    assert killed.json()["discover_task_status"] == "DISCOVER_FAILED"

    await client.get(f"{ACME}/discover?tap_name=tap-flights")
    work = await only_ticket(house)
    cause = Cause(stage="discover", sentence="The tap ended with exit code 3.", who=Blame.CUSTOMER)
    await house.finish(work, Failed(cause))

    assert [topic for topic, _ in await told(house)] == ["DISCOVER_FAILED", "DISCOVER_STARTED", "DISCOVER_FAILED"]
    polled = (await client.get(f"{ACME}/discover/poll")).json()
    assert polled["message"].startswith("The tap ended with exit code 3.")


async def test_connection_webhooks_tell_without_secrets(client: httpx2.AsyncClient, house: House) -> None:
    """
    Created, overwritten, removed; and nothing of what was refused.
    """
    await define_workspace(house)
    path = SOURCES.format(tenant="zeta")

    await client.post(path, json=LINK)
    await client.post(path, json=LINK)
    await client.post(path, json={"source": {"tap": "tap-rails"}})
    await client.delete(f"{path}?tap_name=tap-flights")

    bodies = await told(house)
    assert [topic for topic, _ in bodies] == ["connection.created", "connection.overwritten", "connection.removed"]
    assert "s3cret" not in json.dumps(bodies)
    first = bodies[0][1]
    assert (first["env_id"], first["flow_id"], first["tenant"], first["entity_id"]) == (
        "demo",
        "flights",
        "zeta",
        "tap-flights",
    )


async def test_8_a_link_brings_a_job_a_discover_and_the_default_schedule(
    client: httpx2.AsyncClient, house: House
) -> None:
    """
    As the settings say: `auto_sync` for the job; a disabled default schedule comes along; a second link copies none.
    """
    await define_workspace(house, job_on_link=True, discover_on_link=True, default_schedule=True)
    default = "/hotglue/demo/flights/default/jobs/schedule"
    await client.put(default, json={"schedule_expression": "cron(0 3 * * *)", "state": "DISABLED"})

    linked = await client.post(SOURCES.format(tenant="zeta"), json=LINK)

    assert "problems" not in linked.json()
    [job] = (await client.get("/hotglue/demo/flights/zeta/jobs")).json()
    assert (job["sync_type"], job["scheduled_job"], job["tap"]) == ("auto_sync", False, "tap-flights")
    stored = await house.jobs.by_root(job["s3_root"], workspace_id=house.workspace.id)
    assert stored is not None
    async with house.database.connection() as connection:
        sync = (await job_reads.plan_of(connection, stored.id))[0].steps[0]
    assert isinstance(sync, Sync)
    assert sync.sync_type == "auto_sync"
    assert (await client.get(SOURCES.format(tenant="zeta"))).json()[0]["discover_task_status"] == "DISCOVER_STARTED"
    schedule = "/hotglue/demo/flights/zeta/jobs/schedule"
    shown = (await client.get(schedule)).json()
    assert (shown["ScheduleExpression"], shown["State"]) == ("cron(0 3 * * *)", "DISABLED")

    await client.delete(schedule)
    await client.post(SOURCES.format(tenant="zeta"), json=LINK)
    assert (await client.get(schedule)).json() == {"State": "DISABLED"}


async def test_l1_l3_a_schedule_comes_with_the_link(client: httpx2.AsyncClient) -> None:
    """
    A source's is the flow's; a connector's is its own, and its jobs read.
    """
    nightly = {"schedule_expression": "cron(0 0 * * *)", "state": "ENABLED"}
    await client.post(ACME, json={"source": {"tap": "tap-flights"}, "schedule": nightly})
    await client.post(CONNECTORS, json={"connector": {"id": "tap-flights"}, "schedule": nightly})
    wrong = await client.post(
        SOURCES.format(tenant="zeta"), json={**LINK, "schedule": {"schedule_expression": "now and then"}}
    )

    assert (await client.get("/hotglue/demo/flights/acme/jobs/schedule")).json()["State"] == "ENABLED"
    by_connector = await client.get("/hotglue/v2/demo/flights/acme/jobs/schedule?connector_id=tap-flights")
    assert by_connector.json()["job_type"] == "read"
    assert wrong.status_code == 400
    assert (await client.get(SOURCES.format(tenant="zeta"))).json() == []


async def test_a_symlink_uses_anothers_settings_and_its_own_bookmark(
    app: FastAPI, client: httpx2.AsyncClient, house: House
) -> None:
    """
    Settings follow the other connection, tokens are saved there, and it cannot be changed from here.
    """
    zeta = SOURCES.format(tenant="zeta")
    symlink = {"source": {"tap": "tap-flights", "symlink": {"id": "flights", "tenant": "acme"}}}

    linked = await client.post(zeta, json=symlink)
    await client.put(f"{zeta}/state", json={"state": {"bookmarks": {"mine": 1}}})

    assert linked.json()["symlink"] == {"id": "flights", "tenant": "acme", "type": "source"}
    [element] = (await client.get(f"{zeta}?config=true")).json()
    assert element["config"] == {"token": "secret-of-acme"}
    assert (await client.get(f"{ACME}/state")).json() == {}
    [own] = await house.connections.of_tenant(house.workspace.id, "zeta", "flights")
    async with house.database.transaction() as connection:
        await house.connections.save_config(connection, own.id, {"token": "rotated"})
    assert (await client.get(f"{ACME}?config=true")).json()[0]["config"] == {"token": "rotated"}
    refused = await client.patch(zeta, json={"tap": "tap-flights", "config": {"token": "x"}})
    assert refused.status_code == 400

    # A symlink to a symlink leads to where the settings are; one to itself, or to nothing, nowhere.
    chain = {"source": {"tap": "tap-flights", "symlink": {"tenant": "zeta"}}}
    assert (await client.post(SOURCES.format(tenant="eta"), json=chain)).json()["symlink"]["tenant"] == "acme"
    loop = {"source": {"tap": "tap-flights", "symlink": {"tenant": "eta"}}}
    assert (await client.post(ACME, json=loop)).status_code == 400
    gone = {"source": {"tap": "tap-flights", "symlink": {"tenant": "nobody"}}}
    assert (await client.post(zeta, json=gone)).status_code == 400

    # Another tenant's connection is not for a key that may not see secrets.
    public = await house.access.make_key(name="p", role="public", workspace_id=house.workspace.id)
    async with client_of(app, public) as browser:
        assert (await browser.post(SOURCES.format(tenant="theta"), json=symlink)).status_code == 403

    await client.delete(f"{ACME}?tap_name=tap-flights")
    [element] = (await client.get(f"{zeta}?config=true")).json()
    assert (element["disconnected"], element["config"]) == (True, {})
    refused = await client.post("/hotglue/demo/flights/zeta/jobs", json={})
    assert refused.status_code == 400
    assert "disconnected" in refused.json()["Message"]


async def test_a_link_made_anew_is_not_undone_by_a_job_of_before(client: httpx2.AsyncClient, house: House) -> None:
    """
    A token that a running job rotated belongs to the old link.
    """
    await client.post("/hotglue/demo/flights/acme/jobs", json={})
    work = await only_ticket(house)
    [connection_id] = [linked.id for linked in work.connections.values() if linked.role == "source"]
    await house.attempts.save_config(work, connection_id, {"token": "rotated"})
    assert (await client.get(f"{ACME}?config")).json()[0]["config"] == {"token": "rotated"}

    await client.post(ACME, json={"source": {"tap": "tap-flights", "config": {"token": "new"}}})
    await house.attempts.save_config(work, connection_id, {"token": "rotated again"})

    assert (await client.get(f"{ACME}?config")).json()[0]["config"] == {"token": "new"}


def signed(private_key: str, claims: dict[str, Any], header: dict[str, Any] | None = None) -> str:
    def part(value: bytes) -> str:
        return urlsafe_b64encode(value).rstrip(b"=").decode()

    key = serialization.load_pem_private_key(private_key.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    text = f"{part(json.dumps(header or {'alg': 'RS256', 'typ': 'JWT'}).encode())}.{part(json.dumps(claims).encode())}"
    return f"{text}.{part(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


async def test_a_tenant_token_opens_its_tenants_secrets_to_a_public_key(
    app: FastAPI, client: httpx2.AsyncClient, house: House
) -> None:
    """
    Signed by RS256 with the environment's key, for this tenant, not expired; anything else is refused, whatever its header says.
    """
    pair = (await client.get("/hotglue/demo/signingKey")).json()
    soon = (datetime.now(UTC) + timedelta(minutes=5)).timestamp()
    past = (datetime.now(UTC) - timedelta(minutes=5)).timestamp()
    good = signed(pair["private_key"], {"sub": "acme", "exp": soon, "iat": past})
    foreign = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    unsigned = good.rsplit(".", 1)[0]
    bad = {
        "another tenant's": signed(pair["private_key"], {"sub": "zeta", "exp": soon}),
        "expired": signed(pair["private_key"], {"sub": "acme", "exp": past}),
        "without an end": signed(pair["private_key"], {"sub": "acme"}),
        "of the future": signed(pair["private_key"], {"sub": "acme", "exp": soon + 9999, "nbf": soon}),
        "of another key": signed(foreign.decode(), {"sub": "acme", "exp": soon}),
        "none": urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=") + "." + good.split(".")[1] + ".",
        "hmac": signed(pair["private_key"], {"sub": "acme", "exp": soon}, {"alg": "HS256"}),
        "unsigned": unsigned,
        "cut": good[:-10],
        "no token": "...",
        "no json": "YQ.YQ.YQ",
        "long": "a" * 10_000,
    }
    public = await house.access.make_key(name="p", role="public", workspace_id=house.workspace.id)

    async with client_of(app, public) as browser:
        shown = await browser.get(ACME, params={"config": "true", "token": good})
        hidden = await browser.get(ACME, params={"config": "true"})
        refused = {name: (await browser.get(ACME, params={"token": token})).status_code for name, token in bad.items()}

        assert shown.json()[0]["config"] == {"token": "secret-of-acme"}
        assert "config" not in hidden.json()[0]
        assert refused == dict.fromkeys(bad, 403)
        assert (await browser.get("/hotglue/tenant/demo/acme/metadata", params={"token": good})).status_code == 200
        assert (await browser.get("/hotglue/tenants/demo", params={"token": good})).status_code == 403

        await define_workspace(house, require_tenant_token=True)
        for method, path in (
            ("GET", ACME),
            ("GET", "/hotglue/demo/flights/acme/jobs"),
            ("POST", "/hotglue/demo/flights/acme/jobs"),
        ):
            assert (await browser.request(method, path)).status_code == 403
            assert (await browser.request(method, path, params={"token": good})).status_code == 200
        assert (await browser.get("/hotglue/demo/flights/supportedSources")).status_code == 200

    assert (await client.get(ACME)).status_code == 200
    await client.post("/hotglue/demo/signingKey")
    assert (await client.get(ACME, params={"token": good})).status_code == 403
