"""
A small shop to read: the pages in site/, served on this machine for as long as somebody reads them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.request import ProxyHandler, build_opener

SITE = Path(__file__).parent / "site"
_direct = build_opener(ProxyHandler({}))  # the shop is on this machine: no proxy leads there


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def open_shop() -> Iterator[str]:
    """
    Serve the shop on a free port and give its address.
    """
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=SITE)) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def fetch(url: str) -> str:
    with _direct.open(url, timeout=30) as reply:
        return reply.read().decode()


class Facts(HTMLParser):
    """
    Collects links, and the texts of elements that have a class.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.texts: dict[str, str] = {}
        self._class = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self._class = found.get("class") or ""
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])

    def handle_data(self, data: str) -> None:
        if self._class:
            self.texts[self._class] = self.texts.get(self._class, "") + data

    def handle_endtag(self, tag: str) -> None:
        self._class = ""
