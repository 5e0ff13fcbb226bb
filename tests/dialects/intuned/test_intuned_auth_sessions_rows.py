"""
One test for each row of what Intuned documents of auth sessions; a row is named by its section and words.

What needs no process is played by a worker whose outcomes the test says.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from session_kit import PARAMETERS, Shop

from headrace.core.fan_out import ItemEnd, SessionEnd
from headrace.core.outcome import Cause, Failed, Succeeded
from headrace.engine.item_executor import ItemExecutor
from headrace.services.item_attempts import ItemWork

MODULES = ("test_intuned_auth_sessions", "test_intuned_auth_sessions_rows", "test_intuned_auth_sessions_browser")
ROWS = (
    "§2.2 authSessions.all",
    "§2.2 authSessions.one",
    "§2.2 authSessions.delete",
    "§2.2 authSessions.create.start",
    "§2.2 authSessions.create.result",
    "§2.2 authSessions.update.start",
    "§2.2 authSessions.update.result",
    "§2.2 authSessions.validate.start",
    "§2.2 authSessions.validate.result",
    "§2.3 Job auth session",
    "§2.4 Run API start: authSession is required when the project has sessions on",
    "§2.4 Run API start: credentials form",
    "§2.4 Run API start: runtime form",
    "§2.4 result: done",
    "§2.4 result: pending",
    "§2.4 result: in_progress",
    "§2.4 result: canceled",
    "§2.4 result: failed",
    "§2.7 resume and recorder are gone",
    "§3.11 check-attempts-failed",
    "§3.11 create-attempts-failed",
    "§3.11 post-create-check-attempts-failed",
    "§3.11 JobRun auth-session-not-found",
    "§3.11 JobRun auth-session-validate-dependency-failed",
    "§3.11 JobRun auth-session-invalid-mid-job",
    "§3.11 JobRun auth-session-locked",
    "§3.12 switched on per project",
    "§3.12 types",
    "§3.12 create",
    "§3.12 validate",
    "§3.12 MANUAL sessions cannot be recreated",
    "§3.12 before a Run's attempt",
    "§3.12 before a JobRun",
    "§3.12 going bad later pauses it",
    "§3.12 a Job's session always recreates",
    "§3.12 one writer at a time",
    "§3.12 status",
    "§3.12 proxy",
    "§3.12 runtime input",
    "§3.12 parameters are readable by the automation, not over HTTP",
    "§3.12 stored state",
    "§3.12 session storage is put back before page scripts run",
    "§3.9 sink body: authSession",
)

STATE = b'{"cookies": [], "origins": []}'


LOGGED_OUT = Failed(Cause("read", "Please log in.", evidence={"code": "exception"}))


class Site:
    """
    A worker of the test: operations on sessions and functions end as it says.
    """

    def __init__(self) -> None:
        self.valid = True
        self.loses = False
        self.spoils = False
        self.worked: list[ItemWork] = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, work: ItemWork) -> ItemEnd:
        self.worked.append(work)
        await self.open.wait()
        use, login = work.fan_out.session, work.login
        generation = login.generation if login else 0
        if self.loses and use is not None and use.operation is None and work.item.ordinal:
            self.valid = self.valid and not self.spoils
            return ItemEnd(outcome=LOGGED_OUT, session=SessionEnd(valid=False, generation=generation))
        if use is None or use.operation is None:
            return ItemEnd(outcome=Succeeded(), result=b'{"ok": true}')
        if not self.valid:
            code = "check-attempts-failed" if use.operation == "validate" else "create-attempts-failed"
            cause = Cause("auth session", "It is closed.", evidence={"code": code})
            return ItemEnd(outcome=Failed(cause, fatal=True), session=SessionEnd(valid=False, generation=generation))
        made = STATE if use.operation != "validate" or login is None or login.state is None else None
        return ItemEnd(outcome=Succeeded(), session=SessionEnd(valid=True, generation=generation, state=made))

    def operations(self) -> list[ItemWork]:
        return [work for work in self.worked if work.fan_out.session and work.fan_out.session.operation]


@pytest.fixture
def site() -> Site:
    return Site()


def row(name: str) -> Callable[[Any], Any]:
    assert name in ROWS, name
    marked: Callable[[Any], Any] = pytest.mark.row(name)
    return marked


def test_every_row_has_a_test() -> None:
    """
    No row is passed over in silence.
    """
    found = set()
    for module in MODULES:
        for test in vars(importlib.import_module(module)).values():
            found |= {mark.args[0] for mark in getattr(test, "pytestmark", ()) if mark.name == "row"}

    assert found == set(ROWS)


@row("§2.2 authSessions.all")
@row("§2.2 authSessions.one")
@row("§2.2 authSessions.delete")
async def test_sessions_are_listed_shown_and_deleted(shop: Shop, site: Site) -> None:
    """
    200 with a bare array, 200 with one, 204 without a body; 404 in the typed form after it.
    """
    async with shop.api.kit.workers(site):
        await shop.create()
        await shop.create("eve@shop")
        listed = (await shop("GET", "/auth-sessions")).json()
        one = (await shop("GET", "/auth-sessions/eve%40shop")).json()
        deleted = await shop("DELETE", "/auth-sessions/eve%40shop")
        after = await shop("GET", "/auth-sessions/eve%40shop")

    assert [each["id"] for each in listed] == ["ada", "eve@shop"]
    assert {name: one[name] for name in ("id", "type", "status")} == {
        "id": "eve@shop",
        "type": "CREDENTIALS",
        "status": "READY",
    }
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (after.status_code, after.json()["code"], after.json()["category"]) == (404, "not-found", "user")


@row("§2.2 authSessions.create.start")
@row("§2.2 authSessions.create.result")
@row("§2.4 result: pending")
@row("§2.4 result: in_progress")
@row("§2.4 result: done")
@row("§3.12 status")
async def test_creating_goes_from_pending_over_in_progress_to_done(shop: Shop, site: Site) -> None:
    """
    The answer has `started` and the operation's id; the session is PENDING meanwhile, then READY. Without an id one is made.
    """
    started = await shop.post("/auth-sessions/create", {"parameters": PARAMETERS})
    path = f"/auth-sessions/create/{started['operationId']}/result"
    first = (await shop("GET", path)).json()
    name = (await shop("GET", "/auth-sessions")).json()[0]["id"]
    meanwhile = (await shop.session(name))["status"]
    site.open.clear()
    async with shop.api.kit.workers(site):

        async def running() -> bool:
            return bool((await shop("GET", path)).json()["status"] == "in_progress")

        await shop.api.kit.until(running)
        progress = (await shop("GET", path)).json()
        site.open.set()
        ended = await shop.operation(path)

    assert (started["status"], first) == ("started", {"status": "pending"})
    assert set(progress) == {"status", "runId"}
    assert ended == {"status": "done", "authSessionId": name}
    assert (meanwhile, (await shop.session(name))["status"]) == ("PENDING", "READY")


@row("§2.2 authSessions.update.start")
@row("§2.2 authSessions.update.result")
@row("§2.2 authSessions.validate.start")
@row("§2.2 authSessions.validate.result")
@row("§2.4 result: failed")
async def test_update_and_validate_have_their_own_words(shop: Shop, site: Site) -> None:
    """
    Update says `started`, validate says `pending`; a failure has message and error. An update that fails leaves the session as it was.
    """
    async with shop.api.kit.workers(site):
        await shop.create()
        update = await shop.post("/auth-sessions/ada/update", {"parameters": PARAMETERS})
        validate = await shop.post("/auth-sessions/ada/validate/start", {"autoRecreate": False, "checkAttempts": 1})
        await shop.operation(f"/auth-sessions/ada/validate/{validate['operationId']}/result")
        site.valid = False
        failed = await shop.update()
        status = (await shop.session())["status"]
        other = await shop("GET", f"/auth-sessions/ada/validate/{update['operationId']}/result")

    assert (update["status"], validate["status"]) == ("started", "pending")
    assert failed["status"] == "failed"
    assert failed["error"] == {
        "message": "It is closed.",
        "code": "create-attempts-failed",
        "category": "auth",
        "retirable": False,
        "details": {"attempts_count": 1},
    }
    assert status == "READY"
    assert other.status_code == 404  # an operation is found under its own kind alone


@row("§2.4 result: canceled")
async def test_deleting_a_session_cancels_what_makes_it(shop: Shop, site: Site) -> None:
    started = await shop.post("/auth-sessions/create", {"id": "ada", "parameters": PARAMETERS})
    await shop("DELETE", "/auth-sessions/ada")

    found = (await shop("GET", f"/auth-sessions/create/{started['operationId']}/result")).json()

    assert (found["status"], found["reason"]["type"]) == ("canceled", "cancelled-user-action")
    assert site.worked == []


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/auth-sessions/create", {"id": "ab", "parameters": {}}, "id"),
        ("/auth-sessions/create", {"id": "a/b", "parameters": {}}, "id"),
        ("/auth-sessions/create", {"id": "ada"}, "parameters"),
        ("/auth-sessions/create", {"id": "ada", "parameters": []}, "parameters"),
        ("/auth-sessions/create", {"parameters": {}, "createAttempts": 0}, "createAttempts"),
        ("/auth-sessions/create", {"parameters": {}, "checkAttempts": 11}, "`checkAttempts` is 11"),
        ("/auth-sessions/create", {"parameters": {}, "proxy": "intuned://auto"}, "proxy"),
        ("/run/start", {"api": "read", "parameters": {}, "authSession": {}}, "authSession.id"),
        ("/run/start", {"api": "read", "parameters": {}, "authSession": {"id": "ada", "checkAttempts": 1.5}}, "authSession.checkAttempts"),
        ("/run/start", {"api": "read", "parameters": {}, "authSession": {"runtimeInput": {}, "autoRecreate": False}}, "authSession.autoRecreate"),
        ("/jobs", {"id": "j", "payload": [{"apiName": "read", "parameters": {}}], "configuration": {}, "auth_session": {"id": "a"}}, "auth_session.id"),
        ("/jobs", {"id": "j", "payload": [{"apiName": "read", "parameters": {}}], "configuration": {}, "auth_session": {"id": "ada", "createAttempts": 11}}, "auth_session.createAttempts"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_a_400_that_names_the_field(shop: Shop, path: str, body: Any, field: str) -> None:
    reply = await shop("POST", path, body)

    assert (reply.status_code, reply.json()["code"]) == (400, "bad-request")
    assert field in reply.json()["message"]


@row("§2.3 Job auth session")
@row("§3.12 a Job's session always recreates")
async def test_a_job_says_how_often_its_session_is_tried(shop: Shop, site: Site) -> None:
    """
    Shown as it came, in the snapshot too; the validation that the run awaits has its numbers, and may make the session again.
    """
    named = {"id": "ada", "checkAttempts": 2, "createAttempts": 5}
    async with shop.api.kit.workers(site):
        await shop.create()
        await shop.job([1], auth_session=named)
        run = await shop.job_run_is(await shop.trigger(), "SUCCESS")

    use = site.operations()[-1].fan_out.session
    assert use is not None
    assert (use.operation, use.check_attempts, use.create_attempts, use.recreate) == ("validate", 2, 5, True)
    assert run["job_configuration_snapshot"]["auth_session"] == named
    assert (await shop("GET", "/jobs/reading")).json()["auth_session"] == named


@row("§2.4 Run API start: authSession is required when the project has sessions on")
@row("§3.12 switched on per project")
async def test_every_function_of_a_project_with_sessions_needs_one(shop: Shop) -> None:
    """
    A run or job without is a 400; so is making one where they are off, and there what a run says of one is passed over.
    """
    run = await shop("POST", "/run/start", {"api": "read", "parameters": {}})
    job = await shop(
        "POST", "/jobs", {"id": "j", "payload": [{"apiName": "read", "parameters": {}}], "configuration": {}}
    )
    off = await shop.api("POST", "/auth-sessions/create", {"parameters": {}})
    passed_over = await shop.api("POST", "/run/start", {"api": "map", "parameters": {}, "authSession": {"id": "ada"}})

    assert [reply.status_code for reply in (run, job, off)] == [400, 400, 400]
    assert run.json()["details"] == {"field": "authSession"}
    assert job.json()["details"] == {"field": "auth_session"}
    assert passed_over.status_code == 201


@row("§2.4 Run API start: credentials form")
async def test_a_run_may_forbid_making_the_session_again(shop: Shop, executor: ItemExecutor) -> None:
    """
    `autoRecreate` false: the failing check is the end of the run, as canceled.
    """
    async with shop.api.kit.workers(executor):
        await shop.create()
        shop.expire()
        found = await shop.result(await shop.start({"id": "ada", "autoRecreate": False, "checkAttempts": 1}))
    unknown = await shop("POST", "/run/start", {"api": "read", "parameters": {}, "authSession": {"id": "nobody"}})

    assert (found["status"], found["reason"]["type"]) == ("canceled", "auth-session-validate-dependency-failed")
    assert found["reason"]["details"] == {"code": "check-attempts-failed"}
    assert (shop.count("create"), shop.count("check")) == (1, 2)
    assert unknown.status_code == 404


@row("§2.4 Run API start: runtime form")
@row("§3.12 runtime input")
@row("§3.12 types")
async def test_a_run_may_bring_what_its_session_is_made_with(shop: Shop, executor: ItemExecutor) -> None:
    """
    Without an id the session goes with the run; with one it stays, of type RUNTIME, and other input makes it anew.
    """
    async with shop.api.kit.workers(executor):
        alone = await shop.result(await shop.start({"runtimeInput": PARAMETERS}))
        left = (await shop("GET", "/auth-sessions")).json()
        first = await shop.result(await shop.start({"id": "mine", "runtimeInput": PARAMETERS}))
        second = await shop.result(await shop.start({"id": "mine", "runtimeInput": {**PARAMETERS, "user": "bob"}}))
    kept = (await shop("GET", "/auth-sessions")).json()

    assert (alone["status"], left) == ("completed", [])
    assert [found["result"]["user"] for found in (first, second)] == ["ada", "bob"]
    assert [(each["id"], each["type"], each["status"]) for each in kept] == [("mine", "RUNTIME", "READY")]
    assert shop.notes("create") == ["ada", "ada", "bob"]


@row("§2.7 resume and recorder are gone")
async def test_an_operation_asks_for_nothing(shop: Shop) -> None:
    """
    Ours: the 2024 path is there and says what to do instead; there is no recorder.
    """
    started = await shop.post("/auth-sessions/create", {"id": "ada", "parameters": PARAMETERS})
    resumed = await shop("POST", f"/auth-sessions/create/{started['operationId']}/resume", {"input": "123456"})
    recorder = await shop("POST", "/auth-sessions/recorder/start", {})

    assert (resumed.status_code, resumed.json()["code"]) == (400, "bad-request")
    assert "parameters" in resumed.json()["message"]
    assert recorder.status_code == 404


@row("§3.12 MANUAL sessions cannot be recreated")
async def test_no_code_makes_the_sessions_of_a_recorded_project(shop: Shop, executor: ItemExecutor) -> None:
    """
    Creating one is refused, with parameters or with a run's own input. Ours: what a person has recorded is kept by a call of its own; once its
    check fails, so does its validation.
    """
    shop.write(type="MANUAL", startUrl="https://shop.test/login", finishUrl="https://shop.test/orders")
    (shop.folder / "valid").write_text("recorded-cookie")
    await shop.reload()
    create = await shop("POST", "/auth-sessions/create", {"id": "ada", "parameters": PARAMETERS})
    run = await shop("POST", "/run/start", {"api": "read", "parameters": {}, "authSession": {"runtimeInput": {}}})

    state = {"cookies": [{"name": "sid", "value": "recorded-cookie"}], "origins": [], "sessionStorage": None}
    async with shop.api.kit.workers(executor):
        recorded = (await shop("PUT", "/auth-sessions/eve/state", state)).json()
        kept = await shop.operation(f"/auth-sessions/eve/validate/{recorded['operationId']}/result")
        shown = await shop.session("eve")
        used = await shop.validate("eve")
        shop.expire()
        failed = await shop.validate("eve", checkAttempts=1)
    wrong = await shop("PUT", "/auth-sessions/eve/state", {"cookies": "none"})
    update = await shop("POST", "/auth-sessions/eve/update", {"parameters": PARAMETERS})

    assert [reply.status_code for reply in (create, run, wrong, update)] == [400] * 4
    assert "recorder" in create.json()["message"]
    assert (kept["status"], used["status"], shown["type"], shown["status"]) == ("done", "done", "RECORDER", "READY")
    assert failed["error"]["code"] == "check-attempts-failed"
    assert shop.count("create") == 0


@row("§3.11 check-attempts-failed")
@row("§3.11 create-attempts-failed")
@row("§3.11 post-create-check-attempts-failed")
async def test_each_way_to_fail_has_its_code(shop: Shop, executor: ItemExecutor) -> None:
    async with shop.api.kit.workers(executor):
        await shop.create()
        shop.expire()
        checked = await shop.validate(autoRecreate=False, checkAttempts=2)
        shop.close()
        created = await shop.validate(checkAttempts=1, createAttempts=2)
        shop.close(False)
        check = shop.project / "auth-sessions" / "check.py"
        check.write_text("async def check(page): return 0\n")
        await shop.reload()
        post_created = await shop.update(checkAttempts=1)
        check.write_text(
            "from headrace_automation import NonRetryableError as E\nasync def check(page): raise E('no use')\n"
        )
        await shop.reload()
        hopeless = await shop.validate(autoRecreate=False, checkAttempts=3)

    codes = [
        (found["status"], found["error"]["code"], found["error"]["category"])
        for found in (checked, created, post_created)
    ]
    assert codes == [
        ("failed", "check-attempts-failed", "auth"),
        ("failed", "create-attempts-failed", "auth"),
        ("failed", "post-create-check-attempts-failed", "auth"),
    ]
    assert (shop.count("check"), shop.count("create")) == (1 + 2 + 1, 1 + 2 + 1)
    assert "Its check failed in 2 tries" in checked["message"]
    assert "Its check failed: NonRetryableError: no use" in hopeless["message"]


@row("§3.11 JobRun auth-session-not-found")
async def test_a_job_whose_session_is_not_there_is_canceled(shop: Shop, site: Site) -> None:
    await shop.job([1, 2])
    async with shop.api.kit.workers(site):
        ended = await shop.job_run_is(await shop.trigger(), "CANCELED")

    assert ended["reason"]["type"] == "auth-session-not-found"
    assert (ended["successful_runs"], ended["failed_runs"]) == (0, 0)
    assert ended["end_time"] is not None
    assert site.worked == []


@row("§3.11 JobRun auth-session-locked")
async def test_a_job_waits_for_whoever_works_on_its_session(shop: Shop, site: Site) -> None:
    """
    Ours: `auth-session-locked` is never said; the job run is PENDING until the update has ended, then goes on.
    """
    async with shop.api.kit.workers(site):
        await shop.create()
        await shop.job([1])
        site.open.clear()
        update = await shop.post("/auth-sessions/ada/update", {"parameters": PARAMETERS})
        run = await shop.trigger()

        async def awaits() -> bool:
            return bool((await shop.job_run(run))["status"] == "PENDING" and len(site.operations()) == 2)

        await shop.api.kit.until(awaits)
        site.open.set()
        await shop.job_run_is(run, "SUCCESS")
        updated = await shop.operation(f"/auth-sessions/ada/update/{update['operationId']}/result")

    assert updated["status"] == "done"


@row("§3.12 proxy")
async def test_a_session_is_made_through_its_own_proxy(shop: Shop, executor: ItemExecutor) -> None:
    """
    Its own before that of the run; what a request names for the session before both.
    """
    for name in ("create", "check"):
        file = shop.project / "auth-sessions" / f"{name}.py"
        body = (
            file.read_text()
            .replace(f'SITE / "{name}", "a"', f'SITE / "{name}-proxy", "a"')
            .replace('notes.write(params["user"] + ', "notes.write(str(run_info().proxy) + ")
            .replace('notes.write("check', 'notes.write(str(run_info().proxy) + "')
        )
        file.write_text("from headrace_automation import run_info\n" + body)
    await shop.reload()
    async with shop.api.kit.workers(executor):
        await shop.create(proxy="http://own.test:1")
        await shop.result(await shop.start({"id": "ada"}, proxy="http://run.test:2"))
        await shop.result(await shop.start({"id": "ada", "proxy": "http://asked.test:3"}, proxy="http://run.test:2"))
        await shop.create("eve")
        await shop.result(await shop.start({"id": "eve"}, proxy="http://run.test:2"))

    assert shop.notes("create-proxy") == ["http://own.test:1", "None"]
    assert shop.notes("check-proxy") == [
        "http://own.test:1", "http://own.test:1", "http://asked.test:3", "None", "http://run.test:2",
    ]  # fmt: skip


@row("§3.12 parameters are readable by the automation, not over HTTP")
async def test_parameters_are_for_functions_alone(shop: Shop, executor: ItemExecutor) -> None:
    async with shop.api.kit.workers(executor):
        await shop.create()
        found = await shop.result(await shop.start())
    over_http = await shop("GET", "/auth-sessions/ada/parameters")

    assert found["result"]["user"] == "ada"
    assert over_http.status_code == 404


@row("§3.12 stored state")
async def test_the_state_comes_to_functions_as_it_was_made(shop: Shop, executor: ItemExecutor) -> None:
    """
    Byte for byte, whatever is in it.
    """
    state = {"cookies": [], "origins": [], "sessionStorage": None, "own": {"n": 2**70, "text": "ä\0"}}
    (shop.project / "auth-sessions" / "create.py").write_text(f"async def create(params): return {state!r}\n")
    (shop.project / "auth-sessions" / "check.py").write_text("async def check(page): return True\n")
    (shop.project / "api" / "read.py").write_text(
        "from headrace_automation import get_auth_session_state\n"
        "async def automation(page, params): return await get_auth_session_state()\n"
    )
    await shop.reload()
    async with shop.api.kit.workers(executor):
        await shop.create()
        run = await shop.start()
        await shop.result(run)
    reply = await shop("GET", f"/run/{run}/result")

    assert json.loads(reply.text)["result"] == state


@row("§3.9 sink body: authSession")
async def test_sinks_are_told_the_session(shop: Shop, site: Site) -> None:
    async with shop.api.kit.workers(site):
        await shop.create()
        await shop.job([1], sink={"type": "webhook", "url": "http://127.0.0.1:1025/"})
        await shop.job_run_is(await shop.trigger(), "SUCCESS")
    owed = await shop.api.kit.house.database.all("select body from delivery", {})

    bodies = [json.loads(bytes(each["body"])) for each in owed]
    assert [body["authSession"] for body in bodies] == [{"id": "ada"}]  # operations have no sink


async def test_a_check_counts_for_the_items_that_it_was_made_for(shop: Shop, site: Site) -> None:
    """
    However long they wait for a slot: even when a check counts for no time at all, each is followed by an item.
    """
    shop.api.kit.login_good_for = timedelta(0)
    async with shop.api.kit.workers(site, slots=1):
        await shop.create()
        await shop.job([1, 2, 3])
        ended = await shop.job_run_is(await shop.trigger(), "SUCCESS")

    assert ended["successful_runs"] == 3
    assert [work.fan_out.session.operation for work in site.worked if work.fan_out.session] == [
        "create", *["validate", None] * 3,
    ]  # fmt: skip


async def test_sessions_of_another_workspace_are_not_there(shop: Shop) -> None:
    """
    A key of another workspace sees none, makes none, ends none.
    """
    await shop.post("/auth-sessions/create", {"id": "ada", "parameters": PARAMETERS})
    house = shop.api.kit.house
    other = await house.workspaces.declare(uuid4(), "other", {})
    key = await house.access.make_key(name="other", role="environment", workspace_id=other.id)
    for method, path in (
        ("GET", "/auth-sessions"), ("GET", "/auth-sessions/ada"), ("DELETE", "/auth-sessions/ada"),
        ("POST", "/auth-sessions/create"), ("POST", "/auth-sessions/ada/update"), ("POST", "/auth-sessions/ada/validate/start"),
    ):  # fmt: skip
        reply = await shop.api(method, path, {}, project="shop", headers={"x-api-key": key})

        assert reply.status_code == 404, path
    assert (await shop.session())["id"] == "ada"


async def test_a_job_that_waits_for_its_session_can_be_terminated(shop: Shop, site: Site) -> None:
    """
    Paused in the midst for want of its session, it ends as terminated by a user, and so do the runs that were left.
    """
    async with shop.api.kit.workers(site):
        await shop.create()
        await shop.job([1, 2], configuration={"maxConcurrentRequests": 1})
        site.loses, site.spoils = True, True
        run = await shop.trigger()
        await shop.job_run_is(run, "PAUSED")
        await shop.post(f"/jobs/reading/runs/{run}/terminate", None, 200)
        ended = await shop.job_run_is(run, "TERMINATED")
        items = (await shop("GET", f"/jobs/reading/runs/{run}/items")).json()

    assert ended["reason"]["type"] == "terminated"
    assert [item["apiInfo"]["status"] for item in items] == ["completed", "canceled"]
    assert items[1]["apiInfo"]["reason"]["type"] == "job-run-terminated"


async def test_a_function_that_logs_itself_out_is_not_tried_for_ever(shop: Shop, site: Site) -> None:
    """
    Its try is given back three times because the login was gone after it; then the failure is its own.
    """
    async with shop.api.kit.workers(site):
        await shop.create()
        await shop.job([1, 2])
        site.loses = True
        ended = await shop.job_run_is(await shop.trigger(), "SUCCESS")

    assert (ended["successful_runs"], ended["failed_runs"]) == (1, 1)
    assert len([work for work in site.worked if work.item.name == "read" and work.item.ordinal]) == 3 + 1
