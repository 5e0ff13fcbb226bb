"""
Who may not, on every path: the cases are made from the wire's own table of paths, so that a new path is tried as it comes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from matatika_mill import Mill
from matatika_rows import OURS, ROUTES
from matatika_story import Told

STRANGER = "key-of-a-stranger"
WITHOUT_A_KEY = {"POST /oauth/token", "POST /workspaces/{workspace_id}/deployments/github-webhook"}
"""Paths whose body or signature is the key."""

MAKES_WITH_ANY_ID = {"PUT /apikeys/{key_id}", "PUT /workspaces/{workspace_id}"}

BODIES: dict[str, dict[str, Any]] = {
    "pipelines": {"label": "taken", "dataComponents": [], "script": "true"},
    "datacomponents": {"name": "taken", "dataPlugin": "extractors/tap-mine"},
    "datastores": {"name": "taken", "dataPlugin": "loaders/target-mine"},
    "dataplugins": {"pluginType": "extractors", "name": "tap-taken"},
    "channels": {"name": "taken"},
    "subscriptions": {"type": "NONE"},
}

Things = dict[str, str]


@pytest.fixture(scope="session")
async def things(told: Told, shared_mill: Mill) -> Things:
    """
    One thing of every kind that a path can name, by the names of the paths' parameters; and a stranger with a workspace of its own.
    """
    client, here = shared_mill.client, shared_mill.workspace
    stranger = await shared_mill.house.workspaces.declare(uuid4(), "strange", {})
    await shared_mill.house.access.ensure_key(STRANGER, name="stranger", role="admin", workspace_id=stranger.id)
    plugins = {"tap-mine": "extractors", "target-mine": "loaders"}

    async def put(path: str, body: dict[str, Any]) -> str:
        answer = await client.put(f"{path}/{uuid4()}", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    ids = [await put(f"{here}/dataplugins", {"pluginType": kind, "name": name}) for name, kind in plugins.items()]
    dataset = (await client.post(f"{here}/datasets", json={"alias": "mine", "title": "Mine"})).json()["id"]
    subscription = (await client.post(f"pipelines/{told.pipelines['bad']}/subscriptions")).json()["id"]
    await shared_mill.run(told.pipelines["bad"])
    await shared_mill.follow_ups.tick()
    notified = (await client.get("notifications")).json()["_embedded"]["notifications"][0]["id"]
    return {
        "workspace_id": str(shared_mill.house.workspace.id),
        "strange_id": str(stranger.id),
        "pipeline_id": told.pipelines["good"],
        "job_id": told.jobs["complete"]["id"],
        "component_id": await put(f"{here}/datastores", {"name": "mine", "dataPlugin": "loaders/target-mine"}),
        "plugin_id": ids[0],
        "dataset_id": dataset,
        "channel_id": await put(f"{here}/channels", {"name": "mine"}),
        "subscription_id": subscription,
        "notification_id": notified,
        "key_id": await put("apikeys", {"name": "mine"}),
        "profile_id": (await client.get("profiles")).json()["_embedded"]["profiles"][0]["id"],
        "target_id": told.pipelines["good"],
        "plural": "extractors",
        "name": "tap-mine--default",
        "name:path": "mine",
    }


@pytest.fixture
async def stranger(shared_mill: Mill, things: Things) -> AsyncIterator[httpx2.AsyncClient]:
    async with shared_mill.client_with(STRANGER) as client:
        yield client


def _paths(*, with_things: bool) -> Iterator[str]:
    """
    List the paths that name something of somebody, or all.
    """
    for path in (*ROUTES, *sorted(OURS)):
        if "{" in path.replace("{plural}/index", "") or not with_things:
            yield path


def _filled(template: str, things: Things) -> tuple[str, str]:
    """
    Fill a path in with the things of the shared workspace.
    """
    method, path = template.split(" ")
    target = path.split("/")[1]
    of_target = {"workspaces": "workspace_id", "datasets": "dataset_id", "channels": "channel_id"}
    things = {**things, "target_id": things[of_target.get(target, "target_id")]}
    for name, value in things.items():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path, f"{template}: say in `things` what the parameter names"
    return method, path.removeprefix("/")


def _body(path: str) -> dict[str, Any]:
    return next((body for name, body in BODIES.items() if name in path.split("/")), {})


@pytest.mark.parametrize("template", [path for path in _paths(with_things=False) if path not in WITHOUT_A_KEY])
async def test_without_a_known_key_nothing_opens(shared_mill: Mill, things: Things, template: str) -> None:
    """
    Section 2.6: 401 for no token and for one that is not known, in the documented shape, whatever the path.
    """
    method, path = _filled(template, things)
    async with shared_mill.client_with(None) as nobody, shared_mill.client_with("a-guess") as guesser:
        answers = [await client.request(method, path, json={}) for client in (nobody, guesser)]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert list(answers[0].json()) == ["timestamp", "status", "error", "message", "errors", "path"]


@pytest.mark.parametrize("template", [path for path in _paths(with_things=True) if path not in WITHOUT_A_KEY])
async def test_ids_of_another_workspace_open_nothing(
    stranger: httpx2.AsyncClient, things: Things, template: str
) -> None:
    """
    Choice 17: 403 for what exists and is another's, 404 for what is nobody's business; never a look, a change, or an accident.
    """
    method, path = _filled(template, things)
    if "/plugins/" in path and "workspaces" not in path:
        pytest.skip("the hub without a workspace shows the caller's own")

    answer = await stranger.request(method, path, json=_body(path) if method in ("PUT", "POST", "PATCH") else None)

    assert answer.status_code in (403, 404), answer.text


@pytest.mark.parametrize(
    "template", [path for path in ROUTES if path.startswith("PUT /workspaces/{workspace_id}/") and path.count("{") == 2]
)
async def test_an_id_of_another_workspace_is_not_taken_over(
    stranger: httpx2.AsyncClient, shared_mill: Mill, things: Things, template: str
) -> None:
    """
    A client chooses ids; one that is taken elsewhere is refused, and the thing that has it stays as it was.
    """
    method, path = _filled(template, {**things, "workspace_id": things["strange_id"]})
    kept = path.removesuffix("/draft").split("/", 2)[2]
    before = await shared_mill.client.get(kept)
    for plugin, kind in (("tap-mine", "extractors"), ("target-mine", "loaders")):
        await stranger.put(f"workspaces/strange/dataplugins/{uuid4()}", json={"pluginType": kind, "name": plugin})

    answer = await stranger.request(method, path, json=_body(path))

    assert answer.status_code in (403, 409), answer.text
    assert (await shared_mill.client.get(kept)).json() == before.json()


@pytest.mark.parametrize("template", [path for path in _paths(with_things=True) if "_id}" in path])
async def test_ids_that_name_nothing_are_told_so(shared_mill: Mill, things: Things, template: str) -> None:
    """
    404 with a message, which the published command line prints; 400 for what is no path at all; never an accident of ours.
    """
    unknown = [str(uuid4()), "not-a-uuid", "%00", "..%2f..%2fetc", "x" * 3000]
    for each in unknown[template in MAKES_WITH_ANY_ID :]:
        method, path = _filled(
            template, {name: each if name.endswith("_id") else value for name, value in things.items()}
        )

        answer = await shared_mill.client.request(method, path, json=_body(path) if method != "GET" else None)

        assert answer.status_code in (400, 403, 404, 414), (each[:50], answer.text)
        assert answer.json()["message"]


async def test_every_link_leads_to_a_path(told: Told, shared_mill: Mill, things: Things) -> None:
    """
    Section 2.3: whatever a resource links to answers to the link's method; none of them is a dead end.
    """
    client, here = shared_mill.client, shared_mill.workspace
    pages = [
        "workspaces", "profiles", "apikeys", "subscriptions", "notifications?all=true", "dataplugins", f"{here}/members",
        *(f"{here}/{name}" for name in ("jobs", "pipelines", "datacomponents", "datastores", "dataplugins", "datasets", "channels")),
        f"pipelines/{things['pipeline_id']}", "",
    ]  # fmt: skip
    found = {
        (*asked, link["href"].partition("?")[0])
        for page in pages
        for name, link in _links_in((await client.get(page)).json())
        for asked in _methods(name, link)
    }

    dead = []
    for name, method, href in sorted(found):
        allowed = (await client.request("OPTIONS", href)).headers.get("allow", "")  # a 405, so that nothing happens
        dead += [] if method in allowed.split(", ") else [f"{name}: {method} {href}"]
    assert len(found) > 50
    assert dead == []


def _methods(name: str, link: dict[str, str]) -> list[tuple[str, str]]:
    """
    Say what a link is for: its type, or the verbs of its name where one key stands for several.
    """
    verbs = {"update": "PUT", "edit": "PATCH", "delete": "DELETE"}
    return [
        (name, link.get("type", verb)) for verb in [verbs[word] for word in name.split() if word in verbs] or ["GET"]
    ]


def _links_in(value: Any) -> Iterator[tuple[str, dict[str, str]]]:
    if isinstance(value, dict):
        yield from value.get("_links", {}).items()
        for each in value.values():
            yield from _links_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from _links_in(each)
