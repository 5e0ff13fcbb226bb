"""
What a job left behind, and what its script was given, over the core API.
"""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from house import House
from house_app import client_of

from headrace.core.job import Job
from headrace.store.job_rows import folder_of

FILES = {
    "sync-output/people.csv": "id\n1\n",
    "etl-output/data.singer": "{}",
    "catalog.json": "{}",
    "errors.txt": "none",
    "config.json": '{"token": "left-by-a-job"}',
    "targets/target-jsonl/config.json": '{"password": "left-by-a-job"}',
    "snapshots/changed.csv": "after",
    "snapshots/same.csv": "same",
    "snapshots/new.csv": "new",
    ".headrace/snapshots.json": json.dumps({"changed.csv": [6, 1], "same.csv": [4, 1], "gone.csv": [4, 1]}),
    ".headrace/snapshots-before/changed.csv": "before",
    ".headrace/snapshots-before/gone.csv": "gone",
}


@pytest.fixture
async def job(house: House, client: httpx2.AsyncClient, tmp_path: Path) -> Job:
    """
    A job with files of every kind in its folder, and links that lead out of it.
    """
    body = {"tenant": "acme", "environment_variables": {"PASSPHRASE": "open-sesame"}}
    made = await client.post("/api/v1/flows/demo/flights/runs", json=body)
    job = await house.job(UUID(made.json()["id"]))
    folder = folder_of(job.id, job.created_at)
    for path, content in FILES.items():
        await house.files.put(f"{folder}/{path}", content.encode())
    (tmp_path / "secret.keys").write_text("the server's own")
    local = house.files.folder(folder)
    (local / "etl-output/link").symlink_to(tmp_path / "secret.keys")
    (local / "etl-output/folder").symlink_to(tmp_path)
    return job


async def _read(client: httpx2.AsyncClient, job: Job, path: str) -> str | int:
    reply = await client.get(f"/api/v1/jobs/{job.id}/{path}")
    return reply.text if reply.status_code == 200 else reply.status_code


async def test_the_files_of_a_job_are_listed_and_read(client: httpx2.AsyncClient, job: Job) -> None:
    """
    What is ours alone is not among them, nor what a link leads to.
    """
    listed = (await client.get(f"/api/v1/jobs/{job.id}/files")).json()["files"]

    shown = {one["path"]: one["size_bytes"] for one in listed}
    assert shown == {path: len(text) for path, text in FILES.items() if not path.startswith(".headrace")}
    assert await _read(client, job, "files/sync-output/people.csv") == "id\n1\n"
    for path in ("etl-output/link", "etl-output/folder/secret.keys", ".headrace/snapshots.json", "gone", "%2e%2e/x"):
        assert await _read(client, job, f"files/{path}") in (400, 404)


async def test_a_script_s_inputs_are_as_it_found_them(client: httpx2.AsyncClient, job: Job) -> None:
    """
    Snapshots as they were before the job, settings beside them; nothing that a later stage made.
    """
    inputs = (await client.get(f"/api/v1/jobs/{job.id}/inputs")).json()

    snapshots = {
        name: await _read(client, job, f"inputs/files/snapshots/{name}")
        for name in ("changed.csv", "same.csv", "gone.csv")
    }
    assert set(inputs["files"]) == {
        "sync-output/people.csv", "catalog.json", "config.json", "source-config.json", "target-config.json",
        *(f"snapshots/{name}" for name in snapshots),
    }  # fmt: skip
    assert snapshots == {"changed.csv": "before", "same.csv": "same", "gone.csv": "gone"}
    assert json.loads(str(await _read(client, job, "inputs/files/config.json"))) == {"token": "secret-of-acme"}
    assert inputs["variables"]["PASSPHRASE"] == "open-sesame"
    assert (inputs["withheld"], inputs["entry"], inputs["outcome"]) == ([], "etl.py", "pending")
    assert await _read(client, job, "inputs/files/etl-output/data.singer") == 404


async def test_a_viewer_sees_which_files_there_are_and_none_of_them(
    house: House, app: FastAPI, client: httpx2.AsyncClient, job: Job
) -> None:
    """
    Neither data nor settings nor variables that came with the job; it is told what is withheld. Others see nothing at all.
    """
    viewer = await house.access.make_key(name="looks", role="viewer")
    elsewhere = await house.access.make_workspace("elsewhere")
    stranger = await house.access.make_key(name="other", role="environment", workspace_id=elsewhere.id)

    async with client_of(app, viewer) as looker:
        listed = await looker.get(f"/api/v1/jobs/{job.id}/files")
        inputs = await looker.get(f"/api/v1/jobs/{job.id}/inputs")
        data = ("files/sync-output/people.csv", "inputs/files/sync-output/people.csv")
        settings = ("files/config.json", "inputs/files/config.json")
        read = [await _read(looker, job, path) for path in (*data, *settings)]
    async with client_of(app, stranger) as other:
        unseen = [
            await _read(other, job, path)
            for path in ("files", "files/errors.txt", "inputs", "inputs/files/catalog.json")
        ]

    assert "config.json" not in listed.text
    assert set(inputs.json()["withheld"]) == {"config.json", "source-config.json", "target-config.json", "environment"}
    assert "secret-of-acme" not in inputs.text + listed.text
    assert "open-sesame" not in inputs.text
    assert "sync-output/people.csv" in listed.text
    assert read == [403] * 4
    assert unseen == [404] * 4


async def test_inputs_that_retention_took_are_told_as_such(house: House, client: httpx2.AsyncClient, job: Job) -> None:
    await house.files.remove(folder_of(job.id, job.created_at))

    reply = await client.get(f"/api/v1/jobs/{job.id}/inputs")

    assert (reply.status_code, reply.json()["code"]) == (409, "conflict")
    assert "gone" in reply.json()["reason"]
