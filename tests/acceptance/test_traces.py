"""
A run's trace on its whole way: asked for on Intuned's wire, kept by a call in a real Chromium, and fetched by a client.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import httpx2
import pytest

from acceptance.intuned_client import IntunedClient
from acceptance.projects import ProjectFolder
from acceptance.running_server import running

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no /usr/bin/chromium: apt-get install chromium")

LOOK = """
async def automation(page, params):
    await page.set_content("<h1>" + params["shown"] + "</h1>")
    return await page.locator("h1").inner_text()
"""


def write_project(folder: Path) -> Path:
    project = ProjectFolder(folder).folder
    shop = project / "automations" / "shop"
    (shop / "api").mkdir(parents=True)
    (shop / "api" / "look.py").write_text(LOOK)
    (shop / "requirements.txt").write_text("playwright\n")
    (shop / "Intuned.json").write_text(json.dumps({"saveTraces": True}))
    return project


class _Client(IntunedClient):
    """With single runs of the function, and the core API's call for files."""

    def run(self, shown: str, **more: Any) -> str:
        """
        Run the function once, and give the run's id.
        """
        run: str = self("POST", "/run/start", {"api": "look", "parameters": {"shown": shown}, **more})["runId"]
        result = self.ended(f"/run/{run}/result")
        assert (result["status"], result["result"]) == ("completed", shown)
        return run

    def files_of(self, run: str) -> tuple[str, list[str]]:
        """
        Give the path of a run's files, and what they are called.
        """
        jobs = self.server.client.get("/api/v1/jobs", params={"definition": "shop"}).json()["jobs"]
        (job,) = [job["id"] for job in jobs if job["details"].get("run") == run]
        path = f"/api/v1/jobs/{job}/files"
        return path, [file["path"] for file in self.server.client.get(path).json()["files"]]


def texts_in(trace: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(trace)) as archive:
        assert "trace.trace" in archive.namelist()
        return archive.read("trace.trace").decode()


def test_a_trace_that_was_asked_for_is_fetched_by_a_client(tmp_path: Path) -> None:
    """
    Of a single run among its files, and none where it said no; of a job run by the address in its results, which needs no key.
    """
    with running(tmp_path / "home", write_project(tmp_path / "project")) as server:
        client = _Client(server, "shop")
        traced, untraced = client.run("wanted", saveTrace=True), client.run("unwanted", saveTrace=False)
        job = {"id": "looks", "payload": [{"apiName": "look", "parameters": {"shown": "of a job"}}]}
        client("POST", "/jobs", {**job, "configuration": {"maxConcurrentRequests": 1, "retry": {"maximumAttempts": 1}}})
        job_run = client("POST", "/jobs/looks/trigger")["jobRunId"]
        address = client.job_run("looks", job_run)["results"]["signed_url"]
        path, files = client.files_of(traced)
        trace = server.client.get(f"{path}/items/000000/trace.zip")
        with httpx2.Client() as anybody:
            line = json.loads(anybody.get(address).text)["apiInfo"]
            fetched = anybody.get(line["trace_url"])

        assert "items/000000/trace.zip" in files
        assert "wanted" in texts_in(trace.content)
        assert client.files_of(untraced)[1] == []
        assert fetched.headers["content-type"] == "application/zip"
        assert "of a job" in texts_in(fetched.content)
