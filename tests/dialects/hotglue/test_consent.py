"""
W1 and W2: consent by OAuth 2, against an authorization server on the loopback that checks all that RFC 6749 and 7636 let it check.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit
from uuid import uuid4

import httpx2
import pytest
from aiohttp import web
from fastapi import FastAPI
from hotglue_rows import row
from house import House
from house_app import TAP, TARGET, client_of, face_of
from house_hotglue import tenancy_of
from msgspec.structs import replace

from headrace.core.definitions import FlowDef
from headrace.core.faces import ConnectorFace, OAuthApp

SOURCES = "/hotglue/demo/flights/zeta/linkedSources"
SECRET = "client-s3cret"


class Provider:
    """
    An authorization server: hands out one code, and tokens for it to the right client once.
    """

    def __init__(self) -> None:
        self.url = ""
        self.challenge = ""
        self.redirect = ""
        self.codes = {"code-1"}
        self.answer: Any = None
        self.asked: list[tuple[dict[str, str], str | None]] = []

    async def token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append((form, request.headers.get("authorization")))
        if self.answer is not None:
            return web.Response(status=self.answer[0], body=self.answer[1])
        verifier = (
            base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode().rstrip("=")
        )
        right = form["code"] in self.codes and form["redirect_uri"] == self.redirect and verifier == self.challenge
        if not right or form["client_secret"] != SECRET or form["grant_type"] != "authorization_code":
            return web.json_response({"error": "invalid_grant", "error_description": form["code"]}, status=400)
        self.codes.clear()
        return web.json_response(
            {"access_token": "at-1", "refresh_token": "rt-1", "token_type": "bearer", "expires_in": 3600}
        )

    def consent(self, way: str) -> dict[str, str]:
        """
        Play the owner who agrees; gives the query of the way back.
        """
        query = {name: values[0] for name, values in parse_qs(urlsplit(way).query).items()}
        assert (query["response_type"], query["client_id"], query["scope"]) == ("code", "client-1", "read write")
        assert (query["access_type"], query["code_challenge_method"]) == ("offline", "S256")
        self.challenge, self.redirect = query["code_challenge"], query["redirect_uri"]
        return {"code": "code-1", "state": query["state"], "realmId": "realm-9"}


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    app = web.Application()
    app.router.add_post("/token", provider.token)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield provider
    await runner.cleanup()


def oauth_of(provider: Provider, **more: Any) -> OAuthApp:
    return OAuthApp(
        authorize_url="https://{shop}.provider.test/authorize?prompt=consent",
        token_url=f"{provider.url}/token",
        client_id="client-1",
        client_secret=SECRET,
        scopes=("read", "write"),
        parameters={"access_type": "offline"},
        keep=("realmId",),
        **more,
    )


def define(house: House, oauth: OAuthApp) -> None:
    tap = replace(TAP, face=ConnectorFace(label="Flights", form={"shop": {"label": "Shop"}}, oauth=oauth))
    house.define(FlowDef(id="flights", workspace="demo", sources=(tap.name,), targets=(TARGET.name,)), tap, TARGET)


@pytest.fixture
def connector(house: House, provider: Provider) -> None:
    define(house, oauth_of(provider))


def widget_state(key: str, **other: str) -> str:
    """
    Make the state that the widget appends to `tap_url`.
    """
    said = {"user_id": "zeta", "env_id": "demo", "flow": "flights", "tap_name": "tap-flights", "api_key": key, **other}
    return json.dumps(said)


async def public_key(house: House) -> str:
    return await house.access.make_key(name="widget", role="public", workspace_id=house.workspace.id)


async def begun(client: httpx2.AsyncClient, house: House, **config: Any) -> httpx2.Response:
    """
    Link the tap without a token and open its popup; gives the reply that leads to the provider.
    """
    await client.post(SOURCES, json={"source": {"tap": "tap-flights", "config": {"shop": "acme-shop", **config}}})
    return await popup(client, widget_state(await public_key(house)))


async def popup(client: httpx2.AsyncClient, state: str) -> httpx2.Response:
    [offered] = (await client.get("/hotglue/demo/flights/supportedSources")).json()
    assert offered["type"] == "oauth"
    url = urlsplit(offered["tap_url"])
    # The widget opens the URL with its state appended.
    return await client.get(url.path, params={**dict(parse_qsl(url.query)), "state": state})


@row("2.2 W1")
@pytest.mark.usefixtures("connector")
@row("2.2 W1")
async def test_w1_the_widgets_popup_ends_with_tokens_in_the_connection(
    client: httpx2.AsyncClient, house: House, provider: Provider
) -> None:
    """
    Linked, it is disconnected until its owner has consented; then it has the tokens, `expires_in` as a time, and what was asked to be kept.
    """
    before = int(datetime.now(UTC).timestamp())
    way = await begun(client, house)
    [waiting] = (await client.get(SOURCES)).json()
    assert (way.status_code, urlsplit(way.headers["location"]).hostname) == (303, "acme-shop.provider.test")
    assert waiting["disconnected"] is True

    back = await client.get("/hotglue/tap/auth", params=provider.consent(way.headers["location"]))

    assert back.status_code == 200
    assert "tap-flights is linked" in back.text
    [linked] = (await client.get(f"{SOURCES}?config=true")).json()
    expires_at = linked["config"].pop("expires_in")
    assert before + 3600 <= expires_at <= datetime.now(UTC).timestamp() + 3601
    assert (linked["disconnected"], linked["error"]) == (False, None)
    assert linked["config"] == {
        "shop": "acme-shop", "access_token": "at-1", "refresh_token": "rt-1", "token_type": "bearer", "client_id": "client-1",
        "client_secret": SECRET, "redirect_uri": "http://127.0.0.1:8450/hotglue/tap/auth", "realmId": "realm-9",
    }  # fmt: skip


@row("2.2 W1")
@pytest.mark.usefixtures("connector")
async def test_w1_a_v2_connector_begins_at_its_auth_url_and_comes_back_to_v2(
    client: httpx2.AsyncClient, house: House, provider: Provider
) -> None:
    """
    The widget's state of a V2 connector names it `entity_id`; what follows a link follows the consent.
    """
    path = "/hotglue/v2/demo/flights/zeta/linkedConnectors"
    await client.post(path, json={"connector": {"id": "tap-flights", "config": {"shop": "s"}}})
    offered = (await client.get("/hotglue/v2/demo/flights/supportedConnectors")).json()
    url = urlsplit(next(each["auth_url"] for each in offered if each["id"] == "tap-flights"))
    said = json.loads(widget_state(await public_key(house), entity_id="tap-flights", entity_type="connector"))
    del said["tap_name"]

    way = await client.get(url.path, params={"response_type": "code", "state": json.dumps(said)})
    back = await client.get("/hotglue/v2/entity/auth", params=provider.consent(way.headers["location"]))

    assert provider.redirect.endswith("/hotglue/v2/entity/auth")
    assert back.status_code == 200
    [linked] = (await client.get(f"{path}?config=true")).json()
    assert (linked["id"], linked["disconnected"], linked["config"]["access_token"]) == ("tap-flights", False, "at-1")


@pytest.mark.usefixtures("connector")
async def test_w1_another_browser_cannot_bring_the_way_back(
    app: FastAPI, client: httpx2.AsyncClient, house: House, provider: Provider
) -> None:
    """
    Whoever is sent a link with somebody else's code does not link that account: the cookie of the popup is missing.
    """
    query = provider.consent((await begun(client, house)).headers["location"])

    async with client_of(app, None) as other:
        reply = await other.get("/hotglue/tap/auth", params=query)

    assert reply.status_code == 403
    assert "another browser" in reply.text
    assert (await client.get(SOURCES)).json()[0]["disconnected"] is True
    assert provider.asked == []


@pytest.mark.usefixtures("connector")
async def test_w1_a_servers_own_page_passes_the_code_on_with_its_key(
    app: FastAPI, client: httpx2.AsyncClient, house: House, provider: Provider
) -> None:
    body = provider.consent((await begun(client, house)).headers["location"])

    async with client_of(app, None) as nobody:
        refused = await nobody.post("/hotglue/tap/auth", json=body)
    reply = await client.post("/hotglue/v2/entity/auth", json=body)

    assert refused.status_code == 403
    assert reply.json() == {"tap": "tap-flights", "tenant": "zeta", "disconnected": False}


@pytest.mark.usefixtures("connector")
async def test_w1_another_environments_key_opens_no_popup(client: httpx2.AsyncClient, house: House) -> None:
    """
    The key in the widget's state must be one of that environment; an unknown one, a viewer's and none are refused.
    """
    await begun(client, house)
    other = await house.workspaces.declare(uuid4(), "elsewhere", {})
    keys = [
        await house.access.make_key(name="other", role="public", workspace_id=other.id),
        await house.access.make_key(name="viewer", role="viewer", workspace_id=house.workspace.id),
        "unknown",
        "",
    ]

    replies = [await popup(client, widget_state(key)) for key in keys]

    assert [reply.status_code for reply in replies] == [404, 403, 401, 401]
    assert all("location" not in reply.headers for reply in replies)


@pytest.mark.usefixtures("connector")
@pytest.mark.parametrize(
    "state", ["", "{", "[]", "{}", '{"tap_name": 1}', "[" * 5000, widget_state("k", user_id="a/b"), "x" * 10_000]
)
async def test_w1_a_state_that_no_widget_sends_is_refused(client: httpx2.AsyncClient, state: str) -> None:
    reply = await popup(client, state)

    assert reply.status_code == 400
    assert reply.headers["content-type"].startswith("text/html")


@pytest.mark.usefixtures("connector")
@pytest.mark.parametrize("shop", ["evil.test/", "evil.test", "a@b", "", None, 7])
async def test_w1_a_setting_cannot_lead_the_clients_secret_elsewhere(
    client: httpx2.AsyncClient, house: House, shop: Any
) -> None:
    """
    What fills a provider's URL is a plain name.
    """
    reply = await begun(client, house, shop=shop)

    assert reply.status_code == 400
    assert "shop" in reply.text


@pytest.mark.usefixtures("connector")
@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (400, b'{"error": "invalid_grant", "error_description": "code-1"}', "invalid_grant"),
        (200, b"{}", "200"),
        (200, b'{"access_token": 7}', "200"),
        (200, b"<html>" + b"x" * 100_000, "200"),
        (302, b'{"access_token": "at"}', "302"),
        (500, b'{"error": "<script>"}', "500"),
    ],
)
async def test_w1_a_provider_that_refuses_changes_nothing(
    client: httpx2.AsyncClient, house: House, provider: Provider, status: int, body: bytes, said: str
) -> None:
    """
    The page says what happened in our words, and nothing that was sent.
    """
    query = provider.consent((await begun(client, house)).headers["location"])
    provider.answer = (status, body)

    reply = await client.get("/hotglue/tap/auth", params=query)

    assert reply.status_code == 400
    assert said in reply.text
    assert not any(word in reply.text for word in ("code-1", SECRET, "<script>"))
    assert (await client.get(SOURCES)).json()[0]["disconnected"] is True


@pytest.mark.usefixtures("connector")
async def test_w1_an_owner_who_declines_links_nothing(
    client: httpx2.AsyncClient, house: House, provider: Provider
) -> None:
    query = provider.consent((await begun(client, house)).headers["location"])

    reply = await client.get("/hotglue/tap/auth", params={"error": "access_denied", "state": query["state"]})

    assert reply.status_code == 400
    assert "consent" in reply.text


async def test_w1_a_private_address_is_not_asked_unless_that_is_meant(house: House, provider: Provider) -> None:
    define(house, oauth_of(provider))
    async with client_of(face_of(house, tenancy=tenancy_of(house, private_networks=False))) as client:
        query = provider.consent((await begun(client, house)).headers["location"])
        reply = await client.get("/hotglue/tap/auth", params=query)

    assert reply.status_code == 400
    assert "PRIVATE_NETWORKS" in reply.text
    assert provider.asked == []


async def test_w1_a_way_back_that_took_too_long_is_refused(house: House, provider: Provider) -> None:
    define(house, oauth_of(provider))
    clock = [datetime.now(UTC)]
    async with client_of(face_of(house, tenancy=tenancy_of(house, now=lambda: clock[0]))) as client:
        query = provider.consent((await begun(client, house)).headers["location"])
        clock[0] += timedelta(seconds=601)
        reply = await client.get("/hotglue/tap/auth", params=query)

    assert reply.status_code == 403
    assert provider.asked == []


async def test_w1_a_client_may_prove_itself_by_http_basic(
    client: httpx2.AsyncClient, house: House, provider: Provider
) -> None:
    define(house, oauth_of(provider, client_authentication="basic"))
    provider.answer = (200, b"access_token=at-2&token_type=bearer")
    query = provider.consent((await begun(client, house)).headers["location"])

    await client.get("/hotglue/tap/auth", params=query)

    [(form, authorization)] = provider.asked
    assert "client_secret" not in form
    assert authorization == "Basic " + base64.b64encode(f"client-1:{SECRET}".encode()).decode()
    assert (await client.get(f"{SOURCES}?config=true")).json()[0]["config"]["access_token"] == "at-2"


@pytest.mark.usefixtures("connector")
async def test_w1_reconnecting_keeps_the_old_tokens_until_there_are_new_ones(
    client: httpx2.AsyncClient, house: House, provider: Provider
) -> None:
    """
    The widget's PATCH of `isReconnecting` is a flag of the connection and no setting; a popup without it is refused.
    """
    link = {"source": {"tap": "tap-flights", "config": {"shop": "s", "access_token": "old", "refresh_token": "old"}}}
    await client.post(SOURCES, json=link)
    key = await public_key(house)
    refused = await popup(client, widget_state(key))
    await client.patch(SOURCES, json={"tap": "tap-flights", "config": {"isReconnecting": True}})
    [meanwhile] = (await client.get(f"{SOURCES}?config=true")).json()

    way = await popup(client, widget_state(key))
    await client.get("/hotglue/tap/auth", params=provider.consent(way.headers["location"]))

    assert refused.status_code == 409
    assert (meanwhile["isReconnecting"], meanwhile["disconnected"]) == (True, False)
    assert meanwhile["config"] == link["source"]["config"]
    [after] = (await client.get(f"{SOURCES}?config=true")).json()
    assert (after["isReconnecting"], after["config"]["access_token"]) == (False, "at-1")


@row("2.2 W2")
@pytest.mark.usefixtures("connector")
@row("2.2 W2")
async def test_w2_oauth_1_is_refused_with_what_to_do_instead(client: httpx2.AsyncClient) -> None:
    reply = await client.post(f"{SOURCES}/oauth1_authorize_url?tap_name=tap-flights", json={})

    assert reply.status_code == 400
    assert "OAuth 2" in reply.json()["Message"]


@pytest.mark.usefixtures("connector")
async def test_a_clients_secret_is_in_no_plan_and_no_list(client: httpx2.AsyncClient, house: House) -> None:
    await client.post(SOURCES, json={"source": {"tap": "tap-flights", "config": {"access_token": "at", "shop": "s"}}})

    job = await client.post("/hotglue/demo/flights/zeta/jobs", json={})

    assert job.status_code == 200, job.text
    plans = await house.database.all("select to_jsonb(j)::text as row from job j")
    lists = [
        (await client.get(path)).text
        for path in ("/hotglue/demo/flights/supportedSources", SOURCES, "/api/v1/connectors")
    ]
    assert not any(SECRET in text for text in [*lists, *(row["row"] for row in plans)])
