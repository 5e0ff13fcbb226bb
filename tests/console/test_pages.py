"""
The console's files over HTTP: what they are, what they allow, and where they are found.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from house import House, open_house
from house_app import client_of, face_of, furnish_flights

from headrace.console.pages import console_routes, files

ASSETS = dict(files())
MODULES = sorted(path for path in ASSETS if path.endswith(".js"))


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(database_url, tmp_path) as house:
        await furnish_flights(house)
        yield house


@pytest.fixture
async def client(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(face_of(house, pages=console_routes(at_root=True)), key=None) as client:
        yield client


async def test_every_file_is_served_as_what_it_is_and_allows_nothing_else(client: httpx2.AsyncClient) -> None:
    """
    Without a key: the files hold nothing of anybody's. The policy lets no script or style but these run.
    """
    kinds = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    for path, content in ASSETS.items():
        reply = await client.get("/console" if path == "index.html" else f"/console/{path}")

        policy = reply.headers["content-security-policy"]
        assert (reply.status_code, reply.content) == (200, content)
        assert reply.headers["content-type"].partition(";")[0] == kinds[path.rpartition(".")[2]]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"


async def test_what_a_browser_has_is_not_sent_again(client: httpx2.AsyncClient) -> None:
    first = await client.get("/console/app.js")

    same = await client.get("/console/app.js", headers={"if-none-match": f'"other", W/{first.headers["etag"]}'})
    other = await client.get("/console/app.js", headers={"if-none-match": '"other"'})

    assert first.headers["cache-control"] == "no-cache"
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", first.headers["etag"])
    assert other.status_code == 200


async def test_head_unknown_files_and_other_methods(client: httpx2.AsyncClient) -> None:
    head = await client.head("/")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(ASSETS["index.html"]))
    for path in ("/console/none.js", "/console/../pages.py", "/console/index.html"):
        assert (await client.get(path)).status_code == 404
    assert (await client.post("/console/app.js")).status_code == 405
    slash = await client.get("/console/")
    assert (slash.status_code, slash.headers["location"]) == (308, "../console")


async def test_a_dialect_at_the_root_leaves_the_console_its_own_place(house: House) -> None:
    """
    `/` and whatever else the console does not have are the dialect's then, a workspace that is called `console` included.
    """
    app = face_of(house, pages=console_routes(at_root=False), root_dialect="hotglue")
    async with client_of(app) as client:
        console = await client.get("/console")
        script = await client.get("/console/app.js")
        root = await client.get("/")
        job = await client.post("/console/flights/acme/jobs", json={})
        named = await client.post("/demo/flights/acme/jobs", json={})

    assert (console.content, script.content) == (ASSETS["index.html"], ASSETS["app.js"])
    assert root.content != ASSETS["index.html"]
    assert (job.status_code, "console" in job.text) == (400, True)  # hotglue does not know that workspace
    assert named.status_code == 200


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere() -> None:
    page = ASSETS["index.html"].decode()
    named = re.findall(r'(?:src|href)="(?!#)([^"]*)"', page)

    assert re.findall(r"<style|\sstyle=|\son\w+=|<script>", page) == []
    assert {name.removeprefix("console/") for name in named} <= set(ASSETS)
    for path, content in ASSETS.items():
        assert re.findall(r"https?://(?!www\.w3\.org/)", content.decode()) == [], path


@pytest.mark.parametrize("path", MODULES)
def test_no_module_makes_markup_of_text_or_keeps_the_key_for_long(path: str) -> None:
    """
    Text is set as text; the key is kept for the tab alone. What a module imports is there.
    """
    source = ASSETS[path].decode()
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|localStorage|document\.cookie|indexedDB"

    assert re.findall(forbidden, source) == []
    assert set(re.findall(r'from "\./([^"]+)"', source)) <= set(MODULES)


@pytest.mark.skipif(not shutil.which("node"), reason="there is no node")
def test_values_are_put_in_words(tmp_path: Path) -> None:
    """
    The pure part of the modules, in Node where there is one; the others are read by it, which finds what is no JavaScript.
    """
    for path in MODULES:
        (tmp_path / path).write_bytes(ASSETS[path])
        read = subprocess.run(
            ["node", "--input-type=module", "--check"], input=ASSETS[path], capture_output=True, timeout=60, check=False
        )
        assert read.returncode == 0, (path, read.stderr)
    shutil.copy(Path(__file__).parent / "format.test.mjs", tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')

    done = subprocess.run(
        ["node", "--test", "format.test.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stdout[-3000:]
