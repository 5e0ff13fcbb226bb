"""
A session made in a real browser: a login page on loopback that sets a cookie and both storages, and pages that ask for all of them.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from textwrap import dedent
from urllib.parse import parse_qs

import pytest
from session_kit import PARAMETERS, Shop

from headrace.engine.item_executor import ItemExecutor

pytestmark = pytest.mark.skipif(
    not Path("/usr/bin/chromium").exists(), reason="there is no /usr/bin/chromium: apt-get install chromium"
)

LOGIN = """<!doctype html><title>Login</title>
<form method=post action=/login><input id=user name=user><input id=password name=password><button>Log in</button></form>"""
HOME = """<!doctype html><title>Home</title>
<script>localStorage.setItem("theme", "dark-theme"); sessionStorage.setItem("ticket", "ticket-of-the-tab")</script>"""
ORDERS = """<!doctype html><title>Orders</title><p id=seen></p>
<script>seen.textContent = localStorage.getItem("theme") + " " + sessionStorage.getItem("ticket")</script>"""


class _Shop(BaseHTTPRequestHandler):
    """Pages; who is logged in is told by a cookie, and forgotten when the test says so."""

    def do_GET(self) -> None:
        known = f"sid={self.server.token}" in (self.headers.get("cookie") or "")  # type: ignore[attr-defined]  # set below
        if self.path == "/login":
            self._page(LOGIN)
        elif not known:
            self._to("/login")
        else:
            self._page(HOME if self.path == "/" else ORDERS)

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        if form["password"] != [PARAMETERS["password"]]:
            self._to("/login")
            return
        token = secrets.token_hex(16)
        self.server.token = token  # type: ignore[attr-defined]  # as above
        self._to("/", ("set-cookie", f"sid={token}; Path=/; HttpOnly"))

    def _page(self, text: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(text.encode())

    def _to(self, path: str, *headers: tuple[str, str]) -> None:
        self.send_response(303)
        self.send_header("location", path)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """
        Say nothing.
        """


@pytest.fixture
def pages() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Shop) as server:
        server.daemon_threads = True
        server.token = "nobody"  # type: ignore[attr-defined]  # whose cookie is taken
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.row("§3.12 session storage is put back before page scripts run")
async def test_a_login_in_a_browser_is_kept_and_made_again(
    shop: Shop, executor: ItemExecutor, pages: ThreadingHTTPServer
) -> None:
    """
    The function finds cookie, local and session storage as the login left them; when the site forgets the cookie, the login is made again.
    """
    site = f"http://127.0.0.1:{pages.server_port}"
    for path, text in (
        ("requirements.txt", "playwright\n"),
        (
            "auth-sessions/create.py",
            f"""
            async def create(page, params):
                await page.goto("{site}/login")
                await page.fill("#user", params["user"])
                await page.fill("#password", params["password"])
                await page.click("button")
                await page.wait_for_url("{site}/")
            """,
        ),
        (
            "auth-sessions/check.py",
            f"""
            async def check(page):
                await page.goto("{site}/orders")
                return "/login" not in page.url
            """,
        ),
        (
            "api/read.py",
            f"""
            async def automation(page, params):
                await page.goto("{site}/orders")
                return {{"title": await page.title(), "seen": await page.text_content("#seen")}}
            """,
        ),
    ):
        (shop.project / path).write_text(dedent(text))
    await shop.reload()

    async with shop.api.kit.workers(executor):
        made = await shop.create()
        token = pages.token  # type: ignore[attr-defined]  # as above
        pages.token = "nobody"  # type: ignore[attr-defined]  # the site forgets it
        found = await shop.result(await shop.start({"id": "ada", "checkAttempts": 1}))

    assert made["status"] == "done"
    assert found["result"] == {"title": "Orders", "seen": "dark-theme ticket-of-the-tab"}
    assert pages.token not in ("nobody", token)  # type: ignore[attr-defined]  # as above
