"""
Functions with a page: Debian's Chromium, driven by Playwright, on pages that the test itself serves.
"""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from automation_kit import Automations, failure_of, result_of

from headrace.runners.automation_project import runtime_folder
from headrace.runners.environments import Environments
from headrace.runners.process import Limits, ShimPool
from headrace.runners.process_tree import below

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no /usr/bin/chromium: apt-get install chromium")

PAGE = b"<!doctype html><title>Shelf</title><p class=price>12</p><script>document.title += ' ' + navigator.language</script>"


class _Shop(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/never":
            self.server.released.wait()  # type: ignore[attr-defined]  # set below
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: object) -> None:
        """
        Say nothing.
        """


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Shop) as server:
        server.daemon_threads = True
        server.released = threading.Event()  # type: ignore[attr-defined]  # held by /never
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.released.set()  # type: ignore[attr-defined]  # as above
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[ShimPool]:
    async with ShimPool(warm=1) as pool:
        yield pool


@pytest.fixture(scope="module")
def environments(environments: Path) -> Environments:
    return Environments(environments)


@pytest.fixture
def automations(pool: ShimPool, environments: Environments, tmp_path: Path) -> Automations:
    automations = Automations(pool, environments, tmp_path)
    automations.write("requirements.txt", "playwright\n")
    return automations


def gone(automations: Automations) -> bool:
    """
    Whether no process of the call itself is left: each names the item's own folder for its temporary files.
    """
    mark = f"TMPDIR={automations.root.tmp}".encode()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if mark in (process / "environ").read_bytes():
                    return False
            except OSError:  # it ended while it was looked at, or is another user's
                continue
    return True


async def test_a_function_reads_a_page(automations: Automations, shop: str) -> None:
    """
    The page has run its scripts; the trace that was asked for is with the item.
    """
    automations.write(
        "api/work.py",
        """
        async def automation(page, params, context, **_):
            await page.goto(params["url"])
            assert context is page.context
            return [await page.locator(".price").inner_text(), await page.title(), page.viewport_size]
        """,
    )

    end = await automations.call(
        parameters={"url": shop}, options={"save_trace": True, "browser_size": {"width": 800, "height": 600}}
    )

    price, title, size = result_of(end)
    assert (price, title.startswith("Shelf "), size) == ("12", True, {"width": 800, "height": 600})
    assert (automations.root.folder / "trace.zip").stat().st_size > 0
    assert gone(automations)


async def test_a_hook_sets_up_the_context_and_a_deferred_function_asks_for_it(
    automations: Automations, shop: str
) -> None:
    automations.write(
        "hooks/setup_context.py",
        """
        import urllib.parse
        async def setup_context(*, api_name, api_parameters, cdp_url):
            print("hook", api_name, urllib.parse.urlsplit(cdp_url).scheme)
        """,
    )
    automations.write(
        "api/work.py",
        """
        from intuned_runtime import deferred_browser
        @deferred_browser
        async def automation(params, ensure_browser=None):
            if not params:
                return "no browser"
            context, page = await ensure_browser()
            await page.goto(params["url"])
            return await page.locator(".price").inner_text()
        """,
    )

    assert result_of(await automations.call()) == "no browser"
    assert "hook api/work ws" not in automations.log.texts
    assert result_of(await automations.call(parameters={"url": shop})) == "12"
    assert "hook api/work ws" in automations.log.texts


async def test_a_login_is_kept_and_brought_back(automations: Automations, shop: str) -> None:
    """
    Cookies, local and session storage; the last is there before the page's own scripts run. A check that finds none says so.
    """
    automations.write(
        "auth-sessions/create.py",
        """
        async def create(page, params, **_):
            await page.goto(params["url"])
            await page.evaluate("document.cookie = 'user=ada'; localStorage.l = 'local'; sessionStorage.s = 'session'")
        """,
    )
    automations.write(
        "auth-sessions/check.py",
        """
        from headrace_automation import get_auth_session_parameters
        async def check(page, **_):
            await page.goto((await get_auth_session_parameters())["url"])
            return await page.evaluate("[document.cookie, localStorage.l, sessionStorage.s].join()") == "user=ada,local,session"
        """,
    )
    parameters = json.dumps({"url": shop}).encode()

    created = await automations.call("create", {"url": shop}, kind="create")
    valid = await automations.call("check", kind="check", session=created.result, session_parameters=parameters)
    expired = await automations.call("check", kind="check", session=b"{}", session_parameters=parameters)

    assert result_of(created)["sessionStorage"] == [
        {"origin": shop, "sessionStorage": [{"name": "s", "value": "session"}]}
    ]
    assert (result_of(valid), result_of(expired)) == (True, False)


async def test_a_page_that_never_loads_ends_with_the_call(automations: Automations, shop: str) -> None:
    """
    Browser, driver and function are gone when the time is over, and the browser's profile with them.
    """
    automations.write(
        "api/work.py",
        """
        import os
        print(os.getppid())
        async def automation(page, params):
            await page.goto(params["url"], timeout=0)
        """,
    )

    end = await automations.call(parameters={"url": f"{shop}/never"}, timeout_seconds=6.0)

    assert failure_of(end)[0] == "timeout"
    assert gone(automations)
    assert below(int(next(text for text in automations.log.texts if text.isdigit()))) == []
    assert list(automations.root.tmp.iterdir()) == []


async def test_a_function_that_opens_a_hundred_pages_is_held_to_its_limits(automations: Automations, shop: str) -> None:
    """
    The limit is named, and nothing is left.
    """
    automations.write(
        "api/work.py",
        """
        async def automation(page, params):
            for _ in range(100):
                await (await page.context.new_page()).goto(params["url"])
            return "all open"
        """,
    )

    end = await automations.call(parameters={"url": shop}, limits=Limits(processes=20, grace_seconds=0.2))

    code, sentence, _ = failure_of(end)
    assert code == "crashed"
    assert "20" in sentence
    assert gone(automations)


def test_a_proxy_is_given_with_its_password_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    As Playwright takes it, unquoted; without one there is none.
    """
    monkeypatch.syspath_prepend(str(runtime_folder()))
    from headrace_automation.browser import proxy_of

    assert proxy_of("http://ada:p%40ss@127.0.0.1:3128") == {
        "server": "http://127.0.0.1:3128",
        "username": "ada",
        "password": "p@ss",
    }
    assert proxy_of("socks5://[::1]:1080") == {"server": "socks5://[::1]:1080"}
    assert proxy_of(None) is None
