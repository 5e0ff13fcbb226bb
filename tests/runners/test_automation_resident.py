"""
The browser that one call leaves for the next: what the second finds of the first, and when there is none for it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from automation_kit import Automations, failure_of, result_of

from headrace.runners import resident_driver
from headrace.runners.environments import Environments
from headrace.runners.process import Limits, ShimPool
from headrace.runners.process_tree import below

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no /usr/bin/chromium: apt-get install chromium")

VISIT = """
import os

LEFT = '''async () => {
    document.cookie = "user=ada";
    localStorage.kept = sessionStorage.kept = "1";
    await new Promise(done => { indexedDB.open("kept").onsuccess = done; });
    await (await caches.open("kept")).put("/kept", new Response("1"));
}'''
FOUND = '''async () => ({
    cookie: document.cookie,
    stored: Object.keys(localStorage).concat(Object.keys(sessionStorage)),
    databases: (await indexedDB.databases()).map(each => each.name),
    caches: await caches.keys(),
    location: (await navigator.permissions.query({name: "geolocation"})).state,
})'''

async def automation(page, params):
    context = page.context
    await context.route("**/*", lambda route: route.fulfill(body="<title>shop</title>", content_type="text/html"))
    await page.goto("http://localhost/")
    found = {
        **await page.evaluate(FOUND),
        "contexts": len(context.browser.contexts),
        "pages": len(context.pages),
        "shim": os.getppid(),
    }
    await page.evaluate(LEFT)
    await context.grant_permissions(["geolocation"])
    await context.set_extra_http_headers({"x-left": "1"})
    other = await context.browser.new_context()
    await other.new_page()
    return found
"""
ENDINGS = """
import asyncio, os, time

async def go_on(browser):
    while True:
        await browser.new_context()

async def automation(page, params):
    print(os.getppid(), flush=True)
    match params["how"]:
        case "closes": await page.context.browser.close()
        case "drives": await page.context.browser.new_browser_cdp_session()
        case "exits": os._exit(3)
        case "hangs": time.sleep(600)
        case "goes on":
            globals()["task"] = asyncio.create_task(go_on(page.context.browser))
            await page.title()
        case "fails": raise RuntimeError("no")
"""
PLAIN = "import os\nasync def automation(params): return os.getppid()\n"


@pytest.fixture
async def pool() -> AsyncIterator[ShimPool]:
    async with ShimPool(warm=0) as pool:
        yield pool


@pytest.fixture
def automations(pool: ShimPool, environments: Path, tmp_path: Path) -> Automations:
    automations = Automations(pool, Environments(environments), tmp_path)
    automations.write("requirements.txt", "playwright\n")
    automations.write("api/visit.py", VISIT)
    automations.write("api/work.py", ENDINGS)
    automations.write("api/plain.py", PLAIN)
    return automations


def browsers(shim: int) -> list[int]:
    """
    List the browsers below a shim: their first processes.
    """
    found = []
    for pid in below(shim):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if b"--remote-debugging-pipe" in words and b"--type=" not in words:
            found.append(pid)
    return found


def folder_of(browser: int) -> Path:
    """
    Give the folder that a browser has its files in.
    """
    words = Path(f"/proc/{browser}/environ").read_text("utf-8", errors="replace").split("\0")
    return next(Path(word.removeprefix("TMPDIR=")) for word in words if word.startswith("TMPDIR="))


async def visit(automations: Automations, **more: Any) -> tuple[dict[str, Any], int]:
    """
    Give what a call finds, and the browser that it leaves.
    """
    found = result_of(await automations.call("visit", **more))
    (browser,) = browsers(found.pop("shim"))
    return found, browser


async def end(pid: int, *, waiting_for: int | None = None) -> None:
    """
    Kill a process, and wait for its end or another's.
    """
    watched = os.pidfd_open(waiting_for or pid)
    os.kill(pid, signal.SIGKILL)
    await over(watched)


async def over(watched: int) -> None:
    """
    Wait for the end of a process by a descriptor of it, which is closed.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(watched, ended.set)
    try:
        async with asyncio.timeout(10):
            await ended.wait()
    finally:
        loop.remove_reader(watched)
        os.close(watched)


async def test_the_next_call_has_the_same_browser_and_sees_nothing_of_the_call_before(automations: Automations) -> None:
    """
    Cookies, storages, permissions and contexts are the call's own, also when it leaves some open; a call of another workspace has another browser.
    """
    first, browser = await visit(automations)
    second, again = await visit(automations)
    elsewhere = result_of(await automations.call("visit", workspace_id=UUID(int=7)))

    assert again == browser
    assert first == second == {
        "cookie": "", "stored": [], "databases": [], "caches": [], "location": "prompt", "contexts": 1, "pages": 1
    }  # fmt: skip
    assert browser not in browsers(elsewhere["shim"])


async def test_only_a_call_that_ended_in_order_leaves_its_browser(automations: Automations) -> None:
    """
    One that closed it, reached for it, exited, or left a task that goes on with it leaves none, and the next call has its own; a function
    that merely failed leaves it.
    """
    for how in ("closes", "drives", "exits", "goes on", "fails"):
        await automations.call(parameters={"how": how})
        shim = int(next(text for text in reversed(automations.log.texts) if text.isdigit()))
        assert len(browsers(shim)) == (how == "fails"), how


async def test_a_browser_that_is_gone_is_no_calls_misfortune(automations: Automations) -> None:
    """
    Killed between two calls, browser or driver: the next call starts its own.
    """
    _found, browser = await visit(automations)
    await end(browser)
    _found, second = await visit(automations)
    driver = int(Path(f"/proc/{second}/stat").read_text().rpartition(")")[2].split()[1])
    await end(driver, waiting_for=second)
    third = result_of(await automations.call("visit"))

    assert second != browser
    assert third["cookie"] == ""


async def test_the_browser_counts_for_the_call_that_has_it_alone(automations: Automations) -> None:
    """
    A function without a page has its limits for itself while one waits beside it; a page has them with the browser.
    """
    _found, browser = await visit(automations)

    plain = result_of(await automations.call("plain", limits=Limits(processes=2, grace_seconds=0.2)))
    assert browsers(plain) == [browser]
    code, sentence, fatal = failure_of(await automations.call("visit", limits=Limits(processes=4, grace_seconds=0.2)))
    assert (code, fatal) == ("crashed", False)
    assert "4" in sentence
    assert browsers(plain) == []


async def test_a_browser_grows_no_older_than_it_may_and_ends_with_its_shim(
    automations: Automations, pool: ShimPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    After so many calls it is ended; when the pool is closed or the worker is gone, nothing of it is left, its folder neither.
    """
    monkeypatch.setattr(resident_driver, "CALLS", 2)
    _found, browser = await visit(automations)
    worn = result_of(await automations.call("visit"))["shim"]
    assert browsers(worn) == []
    assert not Path(f"/proc/{browser}").exists()

    _found, browser = await visit(automations)
    folder = folder_of(browser)
    assert folder.is_dir()
    await pool.__aexit__()
    assert not Path(f"/proc/{browser}").exists()
    assert not folder.exists()


async def test_a_browser_that_waits_for_a_call_ends_with_its_worker(environments: Path, tmp_path: Path) -> None:
    """
    kill -9 of a worker while a lent browser waits: no process of driver or browser is left, and none of their files.
    """
    program = Path(__file__).with_name("lending_worker.py")
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        str(program),
        str(tmp_path),
        str(environments),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert worker.stdout is not None
        async with asyncio.timeout(60):
            shim = int(await worker.stdout.readline())
        lent = [os.pidfd_open(pid) for pid in below(shim)]
        (browser,) = browsers(shim)
        folder = folder_of(browser)
        assert folder.is_dir()
        watched = os.pidfd_open(shim)
    finally:
        worker.kill()
        await worker.wait()
    await over(watched)

    assert len(lent) > 2
    for process in lent:
        await over(process)
    assert not folder.exists()


async def test_files_are_those_of_the_call_whose_browser_it_is(automations: Automations) -> None:
    """
    Relative paths of downloads, uploads and traces are read in the call's own folder, also by a driver that was up before.
    """
    automations.write("given.txt", "given")
    automations.write(
        "api/work.py",
        """
        import os
        from pathlib import Path
        print(os.getppid())
        PAGE = '<a href="data:text/plain,got" download="got.txt">get</a><input type="file">'
        async def automation(page, params):
            await page.set_content(PAGE)
            await page.context.tracing.start()
            async with page.expect_download() as coming:
                await page.get_by_text("get").click()
            download = await coming.value
            await download.save_as("got.txt")
            await page.locator("input").set_input_files("given.txt")
            await page.context.tracing.stop(path="mine.zip")
            return [
                Path("got.txt").read_text(), Path(await download.path()).read_text(), Path("mine.zip").stat().st_size > 0,
                await page.locator("input").evaluate("input => input.files[0].text()"),
            ]
        """,
    )

    had = []
    for _ in range(2):
        assert result_of(await automations.call()) == ["got", "got", True, "given"]
        had.append(browsers(int(automations.log.texts[-1])))
    assert len(had[0]) == 1
    assert had[0] == had[1]


async def test_a_project_may_have_a_browser_for_each_call(automations: Automations) -> None:
    automations.write("api/work.py", "import os\nasync def automation(page, params): return os.getppid()\n")

    shim = result_of(await automations.call(options={"keep_browser": False}))

    assert browsers(shim) == []
