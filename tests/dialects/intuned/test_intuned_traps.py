"""
The traps that the published clients set, each as a test, and the typed errors; see docs/reference/intuned.md.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from intuned_kit import BODY

from headrace.core.fan_out import ItemEnd
from headrace.core.outcome import Cause, Failed

HARD = [
    ("not json", b"{"),
    ("no object", b"[]"),
    ("no payload", b'{"id": "abc", "configuration": {}}'),
    ("no configuration", b'{"id": "abc", "payload": [{"apiName": "a", "parameters": {}}]}'),
    ("no items", b'{"id": "abc", "configuration": {}, "payload": []}'),
    ("odd id", b'{"id": "a b", "configuration": {}, "payload": [{"apiName": "a", "parameters": {}}]}'),
    ("no id", b'{"configuration": {}, "payload": [{"apiName": "a", "parameters": {}}]}'),
    ("parameters are a list", b'{"id": "abc", "configuration": {}, "payload": [{"apiName": "a", "parameters": []}]}'),
    ("name leads out", b'{"id": "abc", "configuration": {}, "payload": [{"apiName": "../a", "parameters": {}}]}'),
    ("half a try", b'{"id": "abc", "configuration": {"retry": {"maximumAttempts": 1.5}}, "payload": [{"apiName": "a", "parameters": {}}]}'),
    ("no concurrency", b'{"id": "abc", "configuration": {"maxConcurrentRequests": 0}, "payload": [{"apiName": "a", "parameters": {}}]}'),
    ("text for a number", b'{"id": "abc", "configuration": {"requestTimeout": "9"}, "payload": [{"apiName": "a", "parameters": {}}]}'),
    ("unknown sink", b'{"id": "abc", "configuration": {}, "sink": {"type": "ftp"}, "payload": [{"apiName": "a", "parameters": {}}]}'),
    ("sink to a file", b'{"id": "abc", "configuration": {}, "sink": {"type": "webhook", "url": "file:///etc/passwd"}, "payload": [{"apiName": "a", "parameters": {}}]}'),
    ("header with a line break", b'{"id": "abc", "configuration": {}, "sink": {"type": "webhook", "url": "http://a/", "headers": {"a": "b\\r\\nc: d"}}, "payload": [{"apiName": "a", "parameters": {}}]}'),
    ("sink without a host", b'{"id": "abc", "configuration": {}, "sink": {"type": "webhook", "url": "http://"}, "payload": [{"apiName": "a", "parameters": {}}]}'),
    ("sink with a password", b'{"id": "abc", "configuration": {}, "sink": {"type": "webhook", "url": "https://u:p@a.example/"}, "payload": [{"apiName": "a", "parameters": {}}]}'),
    ("sink at another service's port", b'{"id": "abc", "configuration": {}, "sink": {"type": "webhook", "url": "http://a.example:25/"}, "payload": [{"apiName": "a", "parameters": {}}]}'),
    ("sink with a space", b'{"id": "abc", "configuration": {}, "sink": {"type": "webhook", "url": "http://a.example/ b"}, "payload": [{"apiName": "a", "parameters": {}}]}'),
    ("notification to a file", b'{"id": "abc", "configuration": {}, "notifications": [{"type": "webhook", "url": "file:///etc/passwd"}], "payload": [{"apiName": "a", "parameters": {}}]}'),
    ("notification with a line break", b'{"id": "abc", "configuration": {}, "notifications": [{"type": "webhook", "url": "http://a.example/", "headers": {"a": "b\\nc"}}], "payload": [{"apiName": "a", "parameters": {}}]}'),
    ("vendor's proxies", b'{"id": "abc", "configuration": {}, "proxy": "intuned://auto", "payload": [{"apiName": "a", "parameters": {}}]}'),
    ("NUL in a name", b'{"id": "abc", "configuration": {}, "auth_session": {"id": "a\\u0000b"}, "payload": [{"apiName": "a", "parameters": {}}]}'),
    ("not UTF-8", b'{"id": "abc", "configuration": {}, "payload": [{"apiName": "a", "parameters": {"x": "\xff"}}]}'),
    ("too deep", b'{"id": "abc", "configuration": {}, "payload": [{"apiName": "a", "parameters": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}]}"),
]  # fmt: skip


async def test_400_bad_request(api: Any) -> None:
    """
    Whatever is wrong with a body is the caller's mistake, in the typed form, and nothing is kept of it.
    """
    for what, body in HARD:
        reply = await api.client.post("/demo/projects/demo/jobs", content=body)

        assert reply.status_code == 400, what
        found = reply.json()
        assert (found["code"], found["category"], found["retirable"]) == ("bad-request", "user", False)
        assert found["message"]
        assert found["correlationId"] == reply.headers["x-request-id"]
    assert (await api("GET", "/jobs")).json() == []


async def test_what_is_taken_can_be_read_again_however_deep_it_is(api: Any) -> None:
    """
    A definition that was nested just so that it could be taken would hide all jobs of its project.
    """
    taken = []
    for levels in (400, *range(490, 506), *range(900, 1000, 2)):
        deep = b'{"a":' * levels + b"1" + b"}" * levels
        body = b'{"id": "deep-%d", "configuration": {}, "payload": [{"apiName": "a", "parameters": %b}]}' % (
            levels,
            deep,
        )
        reply = await api.client.post("/demo/projects/demo/jobs", content=body)
        assert reply.status_code in (201, 400)
        taken += [levels] if reply.status_code == 201 else []

    listed = await api("GET", "/jobs")

    assert (max(taken), len(listed.json())) == (497, len(taken))
    assert "500 levels" in reply.json()["message"]


async def test_a_name_that_no_file_can_have_is_refused(api: Any) -> None:
    for name in ("\u00fc" * 121, "a" * 241, "a\nb", "", "a//b"):
        reply = await api("POST", "/run/start", {"api": name, "parameters": {}})

        assert (reply.status_code, reply.json()["details"]) == (400, {"field": "api"}), name


async def test_what_a_function_said_is_kept_whatever_is_in_it(api: Any) -> None:
    """
    The database's JSON has no NUL. A cause or an attribute that holds one once made the try count as one whose worker had died.
    """
    kit = api.kit
    run = await api.start("broken", retry={"maximumAttempts": 1})
    job = await kit.house.job((await api.services.fan_outs.item(kit.house.workspace.id, run)).job_id)
    await kit.admitted(slots=1)
    cause = Cause("broken", "a\0b", evidence={"code": "exception", "last_error_line": "\\u0000 \\\0"})
    await kit.settle(await kit.claim(job, 0), ItemEnd(outcome=Failed(cause, output={"attributes": {"a": "\0"}})))

    result = await api.result(run)
    item = await api.services.fan_outs.item(kit.house.workspace.id, run)

    assert (result["status"], result["message"]) == ("failed", "a\ufffdb")
    assert item.cause.evidence["last_error_line"] == "\\u0000 \\\ufffd"
    assert item.output["attributes"] == {"a": "\ufffd"}


async def test_a_password_of_a_proxy_is_masked_whole(api: Any) -> None:
    """
    Also one that holds an @, and behind a user's name that does.
    """
    for number, user in enumerate(("user:pa@ss@wo", "us@er:pa:ss", ":only")):
        await api.create(id=f"proxied-{number}", proxy=f"http://{user}@127.0.0.1:3128")

    shown = [job["proxy"]["url"] for job in (await api("GET", "/jobs")).json()]

    assert shown == [f"http://{user}:********@127.0.0.1:3128" for user in ("user", "us@er", "")]


async def test_401_unauthorized(api: Any) -> None:
    """
    A bad key is refused before anything else is looked at.
    """
    for path in ("/demo/projects/demo/jobs", "/nowhere/projects/nothing/jobs", "/demo/projects"):
        reply = await api.client.get(path, headers={"x-api-key": "wrong"})

        assert (reply.status_code, reply.json()["code"], reply.json()["category"]) == (401, "unauthorized", "user")
        assert reply.headers["content-type"] == "application/json"


MISSING = (
    "/demo/projects/nothing/jobs",
    "/nowhere/projects/demo/jobs",
    "/demo/projects/demo/jobs/nothing",
    "/demo/projects/demo/jobs/nothing/runs",
    f"/demo/projects/demo/jobs/demo-batch/runs/{uuid4()}",
    "/demo/projects/demo/jobs/demo-batch/runs/no-uuid",
    "/demo/projects/demo/run/nothing/result",
    "/demo/nothing",
)


async def test_every_refusal_names_its_request_and_a_405_every_method(api: Any) -> None:
    """
    Also those that no function of the wire has made: no such path, no such method, too large, encoded, an odd path.
    """
    large = api.client.build_request("POST", "/demo/projects/demo/jobs", content=b" " * (4 * 2**20 + 1))
    encoded = api.client.build_request("POST", "/demo/projects/demo/jobs", headers={"content-encoding": "gzip"})
    asked = [
        *(api.client.build_request(*each) for each in (("GET", "/demo"), ("PATCH", "/demo/projects/demo/jobs"))),
        large,
        encoded,
        api.client.build_request("GET", "/demo/projects/demo/jobs/a%2Fb"),
    ]
    replies = [await api.client.send(request) for request in asked]

    assert [reply.status_code for reply in replies] == [404, 405, 413, 415, 400]
    for reply in replies:
        assert reply.json()["correlationId"] == reply.headers["x-request-id"] != ""
    assert set(replies[1].headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


async def test_404_not_found(api: Any) -> None:
    await api.create()

    for path in MISSING:
        reply = await api.client.get(path)

        assert (reply.status_code, reply.json()["code"], reply.json()["category"]) == (404, "not-found", "user")


async def test_a_key_of_another_workspace_sees_nothing(api: Any) -> None:
    """
    Every path of another workspace is a 404.
    """
    house = api.kit.house
    other = await house.workspaces.declare(uuid4(), "other", {})
    await house.access.ensure_key("other-key", name="other", role="admin", workspace_id=other.id)
    await api.create()
    run = await api.trigger()
    single = await api.start()

    for path in ("/jobs", "/jobs/demo-batch", f"/jobs/demo-batch/runs/{run}", f"/run/{single}/result"):
        reply = await api("GET", path, headers={"x-api-key": "other-key"})
        assert reply.status_code == 404
        through_own = await api.client.get(f"/other/projects/demo{path}", headers={"x-api-key": "other-key"})
        assert through_own.status_code == 404 or through_own.json() == []


async def test_a_viewer_changes_nothing(api: Any) -> None:
    await api.kit.house.access.ensure_key("viewer-key", name="viewer", role="viewer")
    await api.create()
    viewer = {"x-api-key": "viewer-key"}

    for method, path in (("POST", "/jobs/demo-batch/trigger"), ("DELETE", "/jobs/demo-batch"), ("POST", "/run/start")):
        assert (await api(method, path, headers=viewer)).status_code == 403
    assert (await api("GET", "/jobs", headers=viewer)).status_code == 200


async def test_nulls_are_stripped_and_leave_as_missing_fields(api: Any) -> None:
    """
    A null inside configuration, schedule or sink is never given out: the TypeScript client refuses it.
    """
    body = {
        **BODY,
        "configuration": {"retry": None, "maxConcurrentRequests": None},
        "schedule": {"intervals": None, "jitter": None},
        "sink": {"type": "webhook", "url": "http://127.0.0.1:1025/", "headers": None, "apisToSend": None},
        "proxy": None,
        "auth_session": None,
        "notifications": None,
    }
    await api("POST", "/jobs", body)

    one = (await api("GET", "/jobs/demo-batch")).json()

    assert one["configuration"] == {}
    assert one["schedule"] == {}
    assert one["sink"] == {"type": "webhook", "url": "http://127.0.0.1:1025/"}
    assert not {"proxy", "auth_session", "notifications"} & one.keys()


async def test_bodies_of_posts_without_one_are_not_asked_for(api: Any) -> None:
    """
    Pause, resume, trigger and terminate come with `content-length: 0` and no content type.
    """
    await api.create()

    for path in ("/jobs/demo-batch/pause", "/jobs/demo-batch/resume", "/jobs/demo-batch/trigger"):
        assert (await api("POST", path)).status_code == 200


async def test_unknown_fields_are_ignored(api: Any) -> None:
    """
    The Python client forwards what its caller adds; the 2024 dialect had fields that are gone.
    """
    seed = {
        **BODY,
        "unheardOf": 1,
        "authSession": {"id": "anna"},
        "configuration": {"runMode": "Order-Irrelevant", "retry": {"maximumAttempts": 3, "backoffCoefficient": 2}},
    }

    assert (await api("POST", "/jobs", seed)).status_code == 201

    one = (await api("GET", "/jobs/demo-batch")).json()
    assert one["auth_session"] == {"id": "anna"}
    assert one["configuration"] == {"retry": {"maximumAttempts": 3}}


async def test_parameters_come_back_byte_for_byte(api: Any) -> None:
    """
    Numbers of any size and NUL are data.
    """
    text = '{"big": 123456789012345678901234567890, "small": 1e-400, "nul": "\\u0000", "deep": [[[]]]}'
    body = f'{{"id": "demo-batch", "configuration": {{}}, "payload": [{{"apiName": "a", "parameters": {text}}}]}}'
    reply = await api.client.post("/demo/projects/demo/jobs", content=body)
    run = await api.trigger()

    shown = (await api("GET", "/jobs/demo-batch")).text
    items = (await api("GET", f"/jobs/demo-batch/runs/{run}/items")).text

    assert reply.status_code == 201
    assert text in shown
    assert text in items


async def test_a_run_keeps_the_definition_it_began_with(api: Any) -> None:
    """
    The snapshot is of the start, and so are its runs.
    """
    await api.create(configuration={"maxConcurrentRequests": 1})
    run = await api.trigger()
    await api(
        "PUT", "/jobs/demo-batch", {"payload": BODY["payload"][:1], "configuration": {"maxConcurrentRequests": 7}}
    )

    found = await api.job_run(run)

    assert found["job_configuration_snapshot"] == {"configuration": {"maxConcurrentRequests": 1}}
    assert found["payloads"] == 2


async def test_a_projects_settings_hold_where_a_job_says_nothing(api: Any, project_folder: Any) -> None:
    """
    Tries, time, capacity, proxy and sink; 600 seconds count as nothing said. A wrong file changes nothing.
    """
    file = project_folder / "automations" / "demo" / "Intuned.json"
    settings = {
        "projectName": "demo",
        "replication": {"maxCount": 2},
        "proxy": {"deployed": "http://127.0.0.1:3128"},
        "defaults": {
            "retry": {"maximumAttempts": 7},
            "requestTimeout": 33,
            "sink": {"deployed": {"type": "webhook", "url": "http://127.0.0.1:1025/"}},
        },
    }
    file.write_text(json.dumps(settings))
    await api.services.automations.reload()
    run = await api.start(requestTimeout=600)
    file.write_text("{")
    await api.services.automations.reload()

    item = await api.services.fan_outs.item(api.kit.house.workspace.id, run)

    plan, sealed = await api.services.fan_outs.plan_of(item.job_id)
    assert (item.max_attempts, item.timeout_seconds) == (7, 33.0)
    assert (plan.fan_out.pool_size, plan.fan_out.sink.url) == (2, "http://127.0.0.1:1025/")
    assert sealed["proxy"] == "http://127.0.0.1:3128"
    assert (await api("GET", "/jobs")).status_code == 200
    assert len(api.services.automations.problems()) == 1


async def test_calls_of_the_vendors_tools_are_told_what_to_do_instead(api: Any) -> None:
    """
    Saving and deploying a project, and web tasks: refused in the typed form, after the key was looked at.
    """
    for method, path, says in (
        ("PUT", "/demo/projects/shop", "automations/shop"),
        ("POST", "/demo/projects/shop/deploy", "automations/shop"),
        ("GET", "/demo/projects/shop/deploy/result", "automations/shop"),
        ("POST", "/demo/web-tasks/start", "automation"),
        ("GET", "/demo/web-tasks/one/result", "automation"),
    ):
        reply = await api.client.request(method, path, json={} if method != "GET" else None)
        refused = await api.client.request(method, path, headers={"x-api-key": "wrong"})

        assert (reply.status_code, reply.json()["code"]) == (400, "bad-request"), path
        assert says in reply.json()["message"], path
        assert refused.status_code == 401, path
