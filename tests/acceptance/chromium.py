"""
Debian's Chromium over the DevTools protocol: enough to look at a page and to use it as a person does.

A browser that speaks over a socket needs no library beside the one that the server has; an environment with Playwright would take longer to
build than these tests to run.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = Path("/usr/bin/chromium")
START_SECONDS = 60.0
WAIT_SECONDS = 30.0


class Page:
    """
    One tab.

    Attributes:
        errors: what its scripts threw, what its console called an error, and what its policy refused.
        requests: addresses that it asked for.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.dialogs: list[str] = []

    async def listen(self) -> None:
        """
        Take in what the browser says, until it ends.
        """
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                reply = self._replies.pop(told["id"], None)
                if reply is not None and not reply.done():
                    reply.set_result(told)
                continue
            match told.get("method"):
                case "Runtime.exceptionThrown":
                    self.errors.append(json.dumps(told["params"]["exceptionDetails"]))
                case "Log.entryAdded" if told["params"]["entry"]["level"] == "error":
                    self.errors.append(told["params"]["entry"]["text"])
                case "Network.requestWillBeSent":
                    self.requests.append(told["params"]["request"]["url"])
                case "Page.javascriptDialogOpening":
                    self.dialogs.append(told["params"]["message"])

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._ids)
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(WAIT_SECONDS):
            told = await reply
        assert "error" not in told, (method, told)
        return told["result"]

    async def open(self, url: str) -> None:
        await self.send("Page.navigate", url=url)

    async def evaluate(self, expression: str) -> Any:
        """
        Give the value of an expression in the page; a promise's value when it is one.
        """
        told = await self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def wait(self, expression: str, *, seconds: float = WAIT_SECONDS) -> Any:
        """
        Wait until an expression is true in the page, looking whenever it has drawn itself; gives its value.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        value: Any = None
        while not value:
            with suppress(AssertionError):  # the page may have just gone to another one
                value = await self.evaluate(
                    f"(() => {{ try {{ const it = {expression}; return it instanceof Node || it }} catch {{ return null }} }})()"
                )
            if not value:
                assert asyncio.get_running_loop().time() < deadline, (expression, await self.text(), self.errors)
                await asyncio.sleep(0.05)  # the other side is another process; there is nothing to wait on
        return value

    async def text(self) -> str:
        return str(await self.evaluate("document.body ? document.body.innerText : ''"))

    async def see(self, text: str, *, seconds: float = WAIT_SECONDS) -> None:
        """
        Wait until a text is shown.
        """
        await self.wait(f"document.body.innerText.includes({json.dumps(text)})", seconds=seconds)

    async def click(self, words: str) -> None:
        """
        Click the button or link that says *words*, as soon as it is there; while a dialog is open, the dialog's.
        """
        find = (
            "[...(document.querySelector('dialog[open]') ?? document).querySelectorAll('button, a')]"
            f".find(one => one.checkVisibility() && (one.innerText.trim() === {json.dumps(words)} || one.ariaLabel === {json.dumps(words)}))"
        )
        await self.wait(f"(() => {{ const one = {find}; if (!one) return false; one.click(); return true }})()")

    async def type(self, selector: str, text: str) -> None:
        """
        Type into a field, key by key.
        """
        field = f"document.querySelector({json.dumps(selector)})"
        await self.wait(f"(field => field && (field.focus(), field.select(), true))({field})")
        await self.send("Input.insertText", text=text)

    async def choose(self, selector: str, value: str) -> None:
        field = f"document.querySelector({json.dumps(selector)})"
        await self.wait(f"[...{field}.options].some(one => one.value === {json.dumps(value)})")
        await self.evaluate(
            f"(() => {{ {field}.value = {json.dumps(value)}; {field}.dispatchEvent(new Event('change')) }})()"
        )

    async def press(self, key: str) -> None:
        code = {"Enter": 13, "Tab": 9}[key]
        text = {"Enter": "\r"}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            await self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code,
                **({"text": text} if text and kind == "keyDown" else {}),
            )  # fmt: skip

    async def look(self, *, width: int, height: int = 900, dark: bool = False) -> None:
        """
        Give the page another size, and the viewer's taste in colours.
        """
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        taste = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[taste])

    async def picture(self, path: Path) -> None:
        told = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=False)
        path.write_bytes(base64.b64decode(told["data"]))


@asynccontextmanager
async def open_browser(folder: Path) -> AsyncIterator[Page]:
    """
    Start Chromium with a profile of its own in *folder*; gives its one tab.
    """
    profile = folder / "profile"
    process = await asyncio.create_subprocess_exec(
        str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-extensions", "--disable-background-networking", "--remote-debugging-port=0", f"--user-data-dir={profile}",
        "about:blank",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        port = await _port(profile / "DevToolsActivePort", process)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as reply:
                tab = next(each for each in await reply.json() if each["type"] == "page")
            async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                listening = asyncio.create_task(page.listen())
                for room in ("Page", "Runtime", "Log", "Network"):
                    await page.send(f"{room}.enable")
                yield page
                listening.cancel()
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()
        shutil.rmtree(profile, ignore_errors=True)


async def _port(file: Path, process: asyncio.subprocess.Process) -> int:
    """
    Wait until the browser has written down where it listens.
    """
    async with asyncio.timeout(START_SECONDS):
        while True:
            assert process.returncode is None, "Chromium ended at its start"
            if file.exists() and (lines := file.read_text().splitlines()):
                return int(lines[0])
            await asyncio.sleep(0.05)  # another process writes it
