"""
W3: files that a tenant uploads, and those that are picked.
"""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from hotglue_rows import row
from house import House

from headrace.services import uploads
from headrace.services.tenants import snapshots_of

FILES = "/hotglue/demo/flights/acme/taps/file"
HARD = b"\x00\xff\r\n--not the boundary\r\n\r\n\r\n"


async def send(client: httpx2.AsyncClient, *files: tuple[str, bytes], path: str = FILES) -> httpx2.Response:
    """
    Upload as the widget does: a form field for each file, called like it.
    """
    return await client.post(path, files=[(name, (name, content, "text/csv")) for name, content in files])


@row("2.2 W3")
@row("2.2 W3")
async def test_w3_what_is_uploaded_is_listed_kept_whole_and_cleared(client: httpx2.AsyncClient, house: House) -> None:
    """
    Each byte arrives, whatever it is; a file of the same name is replaced; another tenant has none of it.
    """
    kept = house.files.folder(snapshots_of(house.workspace.id, "acme")) / "uploads" / "flights"
    await send(client, ("people.csv", b"old"), ("Größe (1).csv", b""))
    replies = [await send(client, ("people.csv", HARD))]

    assert [reply.json() for reply in replies] == [{}]
    assert (await client.get(FILES)).json() == ["Größe (1).csv", "people.csv"]
    assert (kept / "people.csv").read_bytes() == HARD
    assert (await client.get(FILES.replace("acme", "zeta"))).json() == []
    assert (await client.delete(FILES)).json() == {}
    assert (await client.get(FILES)).json() == []


@pytest.mark.parametrize("name", ["..", ".hidden", "a\x01b", "-x", "x" * 151, "a%2fb", "end."])
async def test_w3_a_name_that_is_none_is_refused_and_nothing_kept(client: httpx2.AsyncClient, name: str) -> None:
    reply = await send(client, ("good.csv", b"1"), (name, b"2"))

    assert reply.status_code == 400
    assert (await client.get(FILES)).json() == []


@pytest.mark.parametrize("name", ["../../secrets", "/etc/passwd", "C:\\data\\x.csv"])
async def test_w3_folders_in_a_name_are_left_out(client: httpx2.AsyncClient, name: str) -> None:
    """
    Old browsers send the path on the visitor's disk; others mean harm by it.
    """
    await send(client, (name, b"1"))

    assert (await client.get(FILES)).json() == [name.replace("\\", "/").rsplit("/", 1)[-1]]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"--x\r\n\r\n"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=a; filename=a\r\n\r\nhalf"),
        ("multipart/form-data; boundary=x", b"--x\r\nno end of headers\r\n--x--"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nno file\r\n--x--\r\n",
        ),
    ],
)
async def test_w3_a_body_that_is_no_form_is_refused(client: httpx2.AsyncClient, content_type: str, body: bytes) -> None:
    reply = await client.post(FILES, content=body, headers={"content-type": content_type})

    assert reply.status_code == 400
    assert (await client.get(FILES)).json() == []


async def test_w3_there_is_an_end_to_what_a_tenant_may_keep(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MOST_FILES", 1)

    replies = [
        await send(client, ("a.csv", b"1")),
        await send(client, ("b.csv", b"1")),
        await send(client, ("a.csv", b"2")),
    ]

    assert [reply.status_code for reply in replies] == [200, 413, 200]
    assert (await client.get(FILES)).json() == ["a.csv"]


async def test_w3_the_files_go_with_the_tenant(client: httpx2.AsyncClient) -> None:
    await send(client, ("a.csv", b"1"))

    await client.delete("/hotglue/tenant/demo/acme")

    assert (await client.get(FILES)).json() == []


@row("2.2 W3")
async def test_w3_picked_files_are_a_setting_of_the_source(client: httpx2.AsyncClient) -> None:
    path = "/hotglue/demo/flights/acme/taps/tap-flights/files"
    files: list[Any] = [{"path": "/in/a.csv"}]

    await client.post(path, json={"files": files})

    assert (await client.get(path)).json() == files
    [linked] = (await client.get("/hotglue/demo/flights/acme/linkedSources?config=true")).json()
    assert linked["config"]["files"] == files
    assert (await client.post(path, json={"files": "all"})).status_code == 400


@pytest.mark.parametrize("picker", ["sheets?query=x", "sftp?path=/"])
@row("2.2 W3")
async def test_w3_pickers_of_other_products_say_what_to_do_instead(client: httpx2.AsyncClient, picker: str) -> None:
    reply = await client.get(f"/hotglue/demo/flights/acme/taps/{picker}")

    assert reply.status_code == 400
    assert "`config`" in reply.json()["Message"]
