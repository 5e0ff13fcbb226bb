"""
A browser for one call: Chromium, driven by the Playwright of the project's own environment.

The machine's Chromium is used where there is one, else the one that Playwright has downloaded. It starts when a function needs it. Where the server
lends a driver (lent_driver.py), both may be up already, and stay for the next call; the context with all that is in it is the call's alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import json
import os
import shlex
import shutil
import socket
import sys
import tempfile
import urllib.request
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from headrace_automation import functions
from headrace_automation.call import Call, needed
from headrace_automation.deferred import is_deferred
from headrace_automation.errors import RefusedError
from headrace_automation.lent_driver import LentDriver

FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",  # containers give it 64 MB, and pages crash
    "--disable-gpu",
    "--disable-sync",
    "--no-first-run",
)
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_WINDOWLESS = "chromium-headless-shell"
_LAUNCHER = Path(__file__).with_name("chromium.sh")
_SIZE = {"width": 1024, "height": 800}
_CDP_SECONDS = 10.0
_READY_SECONDS = 15.0  # what a browser that is up may take for a context
_RESTORE_SESSION_STORAGE = """
(stored => {
    const own = stored.find(each => each.origin === location.origin);
    for (const {name, value} of own ? own.sessionStorage : []) {
        if (sessionStorage.getItem(name) === null) sessionStorage.setItem(name, value);
    }
})(%s);
"""
_TAKE_SESSION_STORAGE = """
() => ({origin: location.origin, sessionStorage: Object.entries(sessionStorage).map(([name, value]) => ({name, value}))})
"""


async def with_browser(call: Call, function: functions.Function) -> Any:
    """
    Call *function* with a page, or with what starts one when it asks; give its result. For `create`, give the login's state instead.

    Raises:
        RefusedError: the project's environment has no Playwright, or the machine no browser.
    """
    async with AsyncExitStack() as stack:
        browser = Browser(call, stack)
        if is_deferred(function):
            result = await functions.call(function, None, call.parameters, ensure_browser=browser.ensure)
            if call.kind == "check":
                return bool(result)
            return await state_of(browser.context) if call.kind == "create" and browser.context else result
        context, page = await browser.ensure()
        if call.kind == "check":
            return bool(await functions.call(function, page))
        result = await functions.call(function, page, call.parameters)
        return await state_of(context) if call.kind == "create" else result


class Browser:
    """
    Args:
        call: whose settings say how the browser is to be.
        stack: ends it.
    """

    def __init__(self, call: Call, stack: AsyncExitStack) -> None:
        self._call = call
        self._stack = stack
        self._open: tuple[Any, Any] | None = None

    @property
    def context(self) -> Any:
        """
        The context, once it was asked for; else None.
        """
        return self._open[0] if self._open else None

    async def ensure(self) -> tuple[Any, Any]:
        """
        Give the context and its page; start the browser if it is not up.
        """
        if self._open is None:
            self._open = await self._start()
        return self._open

    async def _start(self) -> tuple[Any, Any]:
        hook = _hook_of(self._call)
        port = _free_port() if hook else None
        context = await self._lent_context() or await self._own_context(port)
        page = None
        if hook:
            context, page = await self._hooked(hook, context, port or 0)
        stored = (self._call.session or {}).get("sessionStorage")
        if stored:
            await context.add_init_script(_RESTORE_SESSION_STORAGE % json.dumps(stored))
        if self._call.options.get("save_trace"):
            await context.tracing.start(screenshots=True, snapshots=True)
            self._stack.push_async_callback(_keep_trace, context, self._call)
        return context, page or await context.new_page()

    async def _lent_context(self) -> Any:
        """
        Give a context in the browser that the server lends; None where it lends none, or one that was up does not answer.
        """
        if self._call.driver_folder is None:
            return None
        lent = LentDriver(Path(self._call.driver_folder), needed().channel)
        async with AsyncExitStack() as stack:
            async with lent.in_place():
                playwright = await stack.enter_async_context(self._client())
            with contextlib.suppress(*([Exception] if lent.was_up else [])):
                async with asyncio.timeout(_READY_SECONDS if lent.was_up else None):
                    browser = await self._launch(playwright, None, lent.folder)
                    context = await browser.new_context(**_context_options(self._call))
                stack.push_async_callback(lent.give_back, browser)
                self._stack.push_async_callback(stack.pop_all().aclose)
                return context
        return None

    async def _own_context(self, port: int | None) -> Any:
        playwright = await self._stack.enter_async_context(self._client())
        browser = await self._launch(playwright, port, Path(tempfile.gettempdir()))
        self._stack.push_async_callback(browser.close)
        return await browser.new_context(**_context_options(self._call))

    def _client(self) -> Any:
        try:
            from playwright.async_api import async_playwright
        except ImportError:
            raise RefusedError(
                "invalid",
                f"{self._call.name} reads its page, but the project's environment has no Playwright.",
                "Add `playwright` to the project's requirements, or set `browser` to false in its settings.",
            ) from None
        return async_playwright()

    async def _launch(self, playwright: Any, port: int | None, folder: Path) -> Any:
        from playwright.async_api import Error

        headful = bool(self._call.options.get("headful"))
        try:
            return await playwright.chromium.launch(
                executable_path=_program(headful=headful, folder=folder),
                headless=not headful,
                args=[*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else []), *_debugging(port)],
                proxy=proxy_of(self._call.proxy),
                handle_sigterm=False,
            )
        except Error as error:
            sys.stderr.write(f"{error}\n")  # what the browser itself said, for the log
            reason = str(error).strip().splitlines()[0]
            raise RefusedError(
                "invalid",
                f"The browser did not start: {reason}",
                "Install Chromium on the server's machine, or run `playwright install chromium` as the server's user.",
                retryable=True,
            ) from error

    async def _hooked(self, hook: Any, context: Any, port: int) -> tuple[Any, Any]:
        """
        Let the project's hook set the context up; it may give another context, a page, and what is to be done at the end.
        """
        call = self._call
        given = await hook(api_name=f"api/{call.name}", api_parameters=call.parameters, cdp_url=_cdp_url(port))
        found = given if isinstance(given, tuple) else (given,)
        if len(found) > 2 and found[2]:
            self._stack.push_async_callback(found[2])
        return found[0] or context, found[1] if len(found) > 1 else None


def proxy_of(url: str | None) -> dict[str, str] | None:
    """
    Give a proxy's URL as Playwright takes it: the password apart.
    """
    if not url:
        return None
    parts = urlsplit(url)
    address = parts.hostname or ""
    address = f"[{address}]" if ":" in address else address
    server = urlunsplit((parts.scheme, f"{address}:{parts.port}" if parts.port else address, "", "", ""))
    named = {"username": parts.username, "password": parts.password}
    return {"server": server, **{name: unquote(value) for name, value in named.items() if value}}


async def state_of(context: Any) -> dict[str, Any]:
    """
    Give what keeps a login: cookies, local storage, and the session storage of the pages that are open.
    """
    state: dict[str, Any] = await context.storage_state()
    stored = [await page.evaluate(_TAKE_SESSION_STORAGE) for page in context.pages if page.url.startswith("http")]
    return {**state, "sessionStorage": [each for each in stored if each["sessionStorage"]] or None}


def _context_options(call: Call) -> dict[str, Any]:
    options: dict[str, Any] = {"viewport": {**_SIZE, **call.options.get("browser_size", {})}}
    if call.session:
        options["storage_state"] = {name: call.session.get(name, []) for name in ("cookies", "origins")}
    return options


async def _keep_trace(context: Any, call: Call) -> None:
    with contextlib.suppress(
        Exception
    ):  # a trace that cannot be written, as when the browser is gone, is no reason to fail
        await context.tracing.stop(path=call.output / "trace.zip")


def _program(*, headful: bool, folder: Path) -> str | None:
    """
    Give the machine's browser, if it has one: that without any window first, else one that leaves out of its window what it can.
    """
    if not headful and (windowless := shutil.which(_WINDOWLESS)):
        return windowless
    found = next((found for name in _PROGRAMS if (found := shutil.which(name))), None)
    if found is None or headful:
        return found
    launcher = folder / "headrace-chromium"
    if not launcher.exists():
        launcher.write_text(_LAUNCHER.read_text().replace("@PROGRAM@", shlex.quote(found)))
        launcher.chmod(0o700)
    return (
        str(launcher) if os.access(launcher, os.X_OK) else found
    )  # a folder may be mounted so that nothing is run from it


def _hook_of(call: Call) -> Any:
    if call.kind != "api" or not (call.project / "hooks" / "setup_context.py").is_file():
        return None
    hook = getattr(importlib.import_module("hooks.setup_context"), "setup_context", None)
    if not inspect.iscoroutinefunction(hook):
        raise RefusedError("invalid", "hooks/setup_context.py has no async function setup_context.", "Write one.")
    return hook


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _debugging(port: int | None) -> list[str]:
    return [f"--remote-debugging-port={port}", "--remote-debugging-address=127.0.0.1"] if port else []


def _cdp_url(port: int) -> str:
    address = f"http://127.0.0.1:{port}/json/version"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback goes through no proxy
    with opener.open(address, timeout=_CDP_SECONDS) as reply:
        return str(json.load(reply)["webSocketDebuggerUrl"])
