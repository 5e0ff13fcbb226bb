"""
The console as people use it: Debian's Chromium against a whole server.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.chromium import CHROMIUM, Page, open_browser
from acceptance.running_server import KEY, RunningServer, eventually

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no /usr/bin/chromium: apt-get install chromium")

WORKSPACE = "console"
HOSTILE = "<img src=x onerror=\"window.hacked=1;alert(1)\"><script>window.hacked=1</script>"  # fmt: skip
ROWS = "document.querySelectorAll('table.jobs tbody tr').length"
LINES = "document.querySelectorAll('.lines .row').length"
HERE = "location.hash"


class Console:
    """
    A browser at the console of a server, and the server's own word of what it should show.
    """

    def __init__(self, server: RunningServer, page: Page) -> None:
        self.server = server
        self.page = page
        self.url = f"http://127.0.0.1:{server.port}/"

    def run(self, flow: str, tenant: str, **options: Any) -> str:
        """
        Run a flow; gives the job's id.
        """
        reply = self.server.client.post(f"/api/v1/flows/{WORKSPACE}/{flow}/runs", json={"tenant": tenant, **options})
        assert reply.status_code == 201, reply.text
        return str(reply.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.server.client.get(f"/api/v1/jobs/{job_id}").json()
        return found

    def ended(self, job_id: str) -> dict[str, Any]:
        return eventually(
            lambda: (job := self.job(job_id))["finished_at"] and job, seconds=60, what=f"job {job_id} has ended"
        )

    async def sign_in(self, key: str = KEY) -> None:
        await self.page.wait("document.querySelector('#key')")
        await self.page.type("#key", key)
        await self.page.press("Enter")

    async def at(self, place: str) -> None:
        """
        Go to a place, signing in where that is asked for.
        """
        await self.page.open(f"{self.url}#{place}")
        await self.page.wait("document.querySelector('#key, .places:not([hidden])')")
        if await self.page.evaluate("Boolean(document.querySelector('#key'))"):
            await self.sign_in()
        await self.page.evaluate(f"location.hash = {json.dumps(place)}")


@pytest.fixture(scope="module")
def server(shared_server: RunningServer) -> Iterator[RunningServer]:
    """
    The shared server, with a workspace in which jobs talk, fail and say bad things.
    """
    assert shared_server.client.post("/api/v1/workspaces", json={"name": WORKSPACE}).status_code == 201
    taps = {"talks": {"mode": "hang"}, "floods": {"mode": "stderr-flood", "bytes": 2_000_000}, "good": {}}
    _deploy(shared_server, "talks", taps, description=HOSTILE)
    _deploy(shared_server, "says", {"good": {}}, script=f"print({HOSTILE!r})\nraise ValueError({HOSTILE!r})\n")
    yield shared_server
    jobs = shared_server.client.get(f"/api/v1/jobs?workspace={WORKSPACE}&state=running&state=waiting").json()["jobs"]
    for job in jobs:
        shared_server.client.post(f"/api/v1/jobs/{job['id']}/cancel")


def _deploy(
    server: RunningServer,
    flow: str,
    taps: dict[str, dict[str, Any]],
    *,
    script: str = "",
    message: str = "",
    **keys: Any,
) -> None:
    tenants = {
        tenant: {"sources": {"tap-fake": {"config": tap}}, "targets": {"target-fake": {}}}
        for tenant, tap in taps.items()
    }
    body = {"workspace": WORKSPACE, "source": "tap-fake", "target": "target-fake", "tenants": tenants, **keys}
    files = {"flow.yml": json.dumps(body)} | ({"etl.py": script} if script else {})
    made = server.client.put(f"/api/v1/flows/{WORKSPACE}/{flow}", json={"files": files, "message": message})
    assert made.status_code == 200, made.text


@pytest.fixture(scope="module")
async def console(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    async with open_browser(tmp_path_factory.mktemp("chromium")) as page:
        yield Console(server, page)


async def test_a_key_opens_the_console_and_stays_in_the_tab(console: Console) -> None:
    """
    A wrong key is told; a good one is in no address, no cookie and nothing that outlives the tab; a new load of the page asks for none.
    """
    page = console.page
    await page.open(console.url)
    await page.see("Sign in")
    await console.sign_in("wrong-key")
    await page.see("This key is not known here")
    await console.sign_in()
    await page.wait("document.querySelector('table.jobs')")
    await page.send("Page.reload")
    await page.wait("document.querySelector('table.jobs') && !document.querySelector('#key')")

    kept = await page.evaluate(
        "JSON.stringify([Object.values(localStorage), document.cookie, location.href, Object.values(sessionStorage)])"
    )

    assert json.loads(kept) == [[], "", f"{console.url}#/jobs" if "#" in kept else console.url, [KEY]]
    assert [url for url in page.requests if KEY in url] == []
    assert {re.sub(r"^(http://[^/]+/).*", r"\1", url) for url in page.requests} <= {console.url}


async def test_a_failed_job_tells_its_cause_first_and_what_it_says_is_inert(console: Console) -> None:
    """
    Whatever a job is named, says in its log or fails with stands there as text.
    """
    page = console.page
    failed = console.ended(console.run("says", "good", job_name=HOSTILE))

    await console.at(f"/jobs?workspace={WORKSPACE}&state=failed")
    await page.wait(f"{ROWS} === 1")
    await page.see(HOSTILE)
    await page.click("says")
    await page.see("The developer of the connector, script or definition")
    await page.wait(f"{LINES} > 0")
    first = await page.evaluate("document.querySelector('article.job section:not([hidden])').innerText")
    await page.evaluate(f"location.hash = '/jobs/{failed['id']}/details'")
    await page.see("Exclusivity key")
    await page.evaluate("location.hash = '/run'")
    await page.see(HOSTILE)

    assert failed["state"] == "failed"
    assert "Stage etl" in first
    assert HOSTILE in first
    assert await page.evaluate("window.hacked") is None
    assert await page.evaluate("document.querySelectorAll('main img, main script').length") == 0
    assert (page.dialogs, [error for error in page.errors if "401" not in error]) == ([], [])


async def test_a_running_job_is_followed_and_cancelled_and_says_why_another_waits(console: Console) -> None:
    """
    Its lines come as they are written, the newest in view; a search shows those that fit; a cancel is asked first.
    """
    page = console.page
    job_id = console.run("talks", "talks")
    behind = console.run("talks", "talks", queue_if_active_job=True)

    await console.at(f"/jobs/{job_id}")
    seen = await page.wait(f"{LINES} > 3 && {LINES}")
    await page.wait(f"{LINES} > {seen + 10}")
    assert await page.wait(
        "(box => box.scrollTop + box.clientHeight > box.scrollHeight - 60)(document.querySelector('.lines'))"
    )
    await page.type(".log input[type=search]", "no line has this")
    await page.see("No line fits.")
    await page.type(".log input[type=search]", "STILL WAITING")
    await page.wait("document.querySelectorAll('.lines mark').length > 3")

    await page.evaluate(f"location.hash = '/jobs/{behind}'")
    await page.see("Why it waits: Another job of the same kind and tenant has not ended.")
    await page.click("Show the job in the way")
    await page.wait(f"{HERE} === '#/jobs/{job_id}'")
    await page.click("Cancel…")
    await page.see("Its programs are asked to end")
    await page.click("Cancel the job")
    await page.wait("document.querySelector('h1 + .state').innerText.includes('Cancelled')")

    assert console.ended(job_id)["state"] == "cancelled"
    console.server.client.post(f"/api/v1/jobs/{behind}/cancel")


async def test_what_is_run_is_shown_and_back_leads_back(console: Console) -> None:
    """
    From the page of what can be run to the new job, to its files, and back by the browser's own button; then again from a stage.
    """
    page = console.page
    await console.at("/run")
    await page.see("talks")
    await page.type(".filters input", WORKSPACE)
    await page.wait("document.querySelectorAll('.runnables li').length === 2")
    await page.click("Run talks")
    await page.type("dialog input", "good")
    await page.click("Run")
    await page.wait(f"{HERE}.startsWith('#/jobs/')")
    job_id = str(await page.evaluate(f"{HERE}.split('/')[2]"))
    assert console.ended(job_id)["state"] == "completed"
    await page.see("3 records")
    await page.click("Files")
    await page.see("Download")
    await page.evaluate("history.back()")
    await page.wait(f"{HERE} === '#/jobs/{job_id}' && document.querySelector('.log')")
    await page.evaluate("history.back()")
    await page.wait(f"{HERE} === '#/run' && document.querySelector('h1').innerText === 'Run'")

    await page.evaluate(f"location.hash = '/jobs/{job_id}'")
    await page.click("Run again…")
    await page.choose("dialog select", "export")
    await page.click("Run again")
    await page.wait(f"{HERE}.startsWith('#/jobs/') && !{HERE}.includes('{job_id}')")
    await page.see("run again of an earlier job")
    again = str(await page.evaluate(f"{HERE}.split('/')[2]"))

    assert console.ended(again)["rerun_of"] == job_id


async def test_a_paused_job_ends_what_runs_and_goes_on_where_it_was(console: Console, tmp_path: Path) -> None:
    """
    The page of a job holds it and says what that means, also by keyboard alone; the page of what can be run holds its batch.
    """
    page, client = console.page, console.server.client
    may_end = tmp_path / "may-end"
    payload = [{"apiName": "wait", "parameters": {"until": str(may_end)}} for _ in range(2)]
    body = {"id": "waits", "payload": payload, "configuration": {"maxConcurrentRequests": 1}}
    made = client.post(f"/intuned/api/v1/workspace/{WORKSPACE}/projects/console/jobs", json=body)
    assert made.status_code == 201, made.text
    job_id = client.post(f"/api/v1/batches/{WORKSPACE}/console/waits/runs").json()["id"]

    await console.at(f"/jobs/{job_id}")
    await page.see("1 running", seconds=60)
    await page.wait(
        "(one => one.checkVisibility() && (one.focus(), true))(document.querySelector('[data-part=pause]'))"
    )
    await page.press("Enter")
    await page.see("The item that runs goes on to its end; no more are started until it is resumed")
    await page.click("Pause the job")
    await page.see("Being paused")
    assert await page.wait("document.activeElement.innerText === 'Resume'")
    may_end.touch()
    await page.see("2 items: 1 completed, 1 to come")
    await page.wait("document.querySelector('h1 + .state').innerText.includes('Paused')")
    await page.see("Why it waits: It is paused.")

    await page.evaluate("location.hash = '/run'")
    await page.click("Pause waits")
    await page.see("Neither its schedule nor anybody starts it until it is resumed.")
    await page.click("Pause the batch")
    await page.see("It is paused; resume it first.")
    await page.click("Resume waits")
    await page.wait("!document.body.innerText.includes('It is paused; resume it first.')")

    assert console.ended(job_id)["items"]["completed"] == 2


async def test_another_version_is_put_in_force(console: Console) -> None:
    """
    From the list of what was deployed to its versions, and from there back to an earlier one; asked first.
    """
    page, client = console.page, console.server.client
    _deploy(console.server, "versions", {"good": {}}, message="The first")
    _deploy(console.server, "versions", {"good": {}}, message=HOSTILE, description="Better")

    await console.at("/deployments")
    await page.click("versions")
    await page.see("The first")
    await page.see(HOSTILE)
    await page.click("Put version 1 in force")
    await page.see("Jobs that wait or run keep what they were submitted with")
    await page.click("Put it in force")
    await page.wait("document.querySelector('[data-key=\"1\"]').innerText.includes('In force')")
    await page.wait("document.querySelector('[aria-label=\"Put version 2 in force\"]').checkVisibility()")

    assert client.get(f"/api/v1/flows/{WORKSPACE}/versions").json()["version"] == 1


async def test_a_key_is_made_shown_once_and_taken_back(console: Console) -> None:
    """
    Once the dialog is closed the page has it no more; who uses it is refused as soon as it is revoked.
    """
    page, client = console.page, console.server.client
    await console.at("/keys")
    await page.click("Make a key…")
    await page.type("dialog input", "made in the console")
    await page.choose("dialog select", "viewer")
    await page.choose("dialog label:last-child select", WORKSPACE)
    await page.click("Make the key")
    key = str(await page.wait("document.querySelector('dialog input.secret')?.value"))
    works = client.get("/api/v1/me", headers={"x-api-key": key}).json()
    await page.click("I have kept it")
    await page.see(f"{key[:6]}")
    kept = await page.evaluate("document.documentElement.outerHTML + JSON.stringify(Object.values(sessionStorage))")
    await page.click("Revoke made in the console")
    await page.see("Whoever uses it is refused within seconds")
    await page.click("Revoke the key")
    await page.wait("!document.querySelector('[aria-label=\"Revoke made in the console\"]')")
    await page.evaluate("document.querySelector('[data-part=revoked]').click()")
    await page.wait("document.querySelector('.keys').innerText.includes('Revoked')")

    assert (works["name"], works["role"], works["workspace"]) == ("made in the console", "viewer", WORKSPACE)
    assert key not in kept
    assert client.get("/api/v1/me", headers={"x-api-key": key}).status_code == 401
    assert [error for error in page.errors if "401" not in error] == []


async def test_a_long_log_does_not_hold_the_page_up(console: Console) -> None:
    """
    Its end is read first, what is before on request; a search over all of it is answered at once.
    """
    page = console.page
    job = console.ended(console.run("talks", "floods"))
    last = console.server.client.get(f"/api/v1/jobs/{job['id']}/logs?last=1").json()["lines"][0]

    await console.at(f"/jobs/{job['id']}/log")
    await page.wait(f"{LINES} === 2000")
    end = "document.querySelector('.lines .block:last-child .row:last-child')"
    assert last["text"] in await page.evaluate(f"{end}.textContent")
    await page.evaluate("document.querySelector('.lines').scrollIntoView()")
    box = "document.querySelector('.lines').getBoundingClientRect()"
    await page.wait(f"Math.abs({end}.getBoundingClientRect().bottom - {box}.bottom) < 40")
    await page.click("Earlier lines")
    await page.wait(f"{LINES} === 7000")
    await page.type(".log input[type=search]", last["text"][-20:])
    await page.wait(f"{LINES} < 7000 && document.querySelectorAll('.lines mark').length === {LINES}")

    assert last["number"] > 10_000


async def test_a_server_that_is_away_is_told_and_the_page_goes_on_by_itself(console: Console) -> None:
    """
    What was read stays; "Try now" does not wait; when the server is back, so is the page.
    """
    page = console.page
    away = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    await console.at(f"/jobs?workspace={WORKSPACE}")
    await page.wait(f"{ROWS} > 0")
    await page.send("Network.emulateNetworkConditions", offline=True, **away)
    await page.see("The server does not answer.")
    rows = await page.evaluate(ROWS)
    await page.send("Network.emulateNetworkConditions", offline=False, **away)
    await page.click("Try now")
    await page.wait("document.querySelector('.trouble').hidden")

    assert rows > 0


@pytest.mark.parametrize("dark", [False, True])
async def test_it_fits_a_narrow_screen_in_light_and_dark(console: Console, dark: bool, tmp_path: Path) -> None:
    """
    At 400 pixels nothing has to be scrolled sideways; text is dark on light or light on dark, as the viewer likes it.
    """
    page = console.page
    job_id = console.server.client.get(f"/api/v1/jobs?workspace={WORKSPACE}&state=failed").json()["jobs"][0]["id"]
    await page.look(width=400, dark=dark)
    versions = f"/deployments/flow/{WORKSPACE}/talks"
    for place in ("/jobs", f"/jobs/{job_id}", "/run", "/schedules", "/deployments", versions, "/keys", "/server"):
        await console.at(place)
        await page.wait("document.querySelector('main h1') && !document.body.innerText.includes('Reading the job')")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 400, place
    await page.picture(tmp_path / "narrow.png")
    paper = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    await page.look(width=1280)

    assert (paper == "rgb(255, 255, 255)") is not dark


async def test_a_revoked_key_is_told_and_another_one_goes_on_from_there(console: Console) -> None:
    """
    A viewer sees and changes nothing; when the key is taken back, the page says so, and stays where it was for the next one.
    """
    page, client, name = console.page, console.server.client, f"looks at {WORKSPACE}"
    made = client.post("/api/v1/keys", json={"name": name, "role": "viewer", "workspace": WORKSPACE}).json()
    listed = client.get("/api/v1/keys").json()["keys"]
    key_id = next(each["id"] for each in listed if each["name"] == name)
    await page.click("Sign out")
    await console.sign_in(made["key"])
    await page.see(f"{name} · viewer of {WORKSPACE}")
    await page.evaluate("location.hash = '/run'")
    await page.see("talks")
    assert await page.evaluate("[...document.querySelectorAll('.runnables button')].every(one => one.hidden)")
    await page.evaluate("location.hash = '/jobs?state=failed'")
    await page.wait(f"{ROWS} > 0")

    assert client.delete(f"/api/v1/keys/{key_id}").status_code == 200
    await page.see("The key is no longer accepted")
    await console.sign_in()
    await page.wait(f"{HERE} === '#/jobs?state=failed' && {ROWS} > 0")

    assert await page.evaluate("Object.values(sessionStorage).length") == 1
