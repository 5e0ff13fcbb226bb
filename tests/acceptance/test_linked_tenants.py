"""
A tenant who comes by the API alone: linked, discovered, run, scheduled and forgotten on a whole server.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from acceptance.projects import FAKES, ProjectFolder
from acceptance.running_server import RunningServer, eventually, running

CONNECTORS = "/hotglue/v2/demo/crm/zeta/linkedConnectors"
JOBS = "/hotglue/v2/demo/crm/zeta/jobs"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("linked")
    connectors = {
        "tap-crm": {"kind": "tap", "command": ["python", str(FAKES / "tap.py")]},
        "target-crm": {"kind": "target", "command": ["python", str(FAKES / "target.py")]},
    }
    project = ProjectFolder(folder / "project", connectors=connectors)
    project.flow("crm", {}, source="tap-crm", target="target-crm")
    flow = project.folder / "flows/crm/flow.yml"
    flow.write_text(flow.read_text().replace("tap-fake", "tap-crm").replace("target-fake", "target-crm"))
    with running(folder / "home", project.folder) as server:
        yield server


def run(server: RunningServer, body: dict[str, Any]) -> dict[str, Any]:
    made = server.client.post(JOBS, json={"connector_id": "crm", **body})
    assert made.status_code == 200, made.text
    return server.wait(made.json())


def test_a_linked_tenant_lives_and_goes(server: RunningServer) -> None:
    """
    Discover fills the catalog, a read job leaves a bookmark, the next one is incremental, a write job sends what it is given,
    and nothing is left when the tenant is deleted.
    """
    linked = server.client.post(CONNECTORS, json={"connector": {"id": "crm", "config": {"records": 4}}})
    assert linked.status_code == 200, linked.text
    server.client.put("/hotglue/tenant/demo/zeta/metadata", json={"config": {"metadata": {"plan": "gold"}}})

    server.client.get(f"{CONNECTORS}/discover?connector_id=crm")
    eventually(
        lambda: server.client.get(f"{CONNECTORS}/discover/poll?connector_id=crm").json()["status"] == "STOPPED",
        seconds=60,
        what="discovered",
    )
    [element] = server.client.get(f"{CONNECTORS}?connector_id=crm&catalog=true").json()
    assert element["discover_task_status"] == "DISCOVER_SUCCESS"
    assert [stream["tap_stream_id"] for stream in element["catalog"]["streams"]] == ["people"]

    first, second = run(server, {"job_type": "read"}), run(server, {"job_type": "read"})
    assert (first["status"], first["sync_type"], first["processed_rows"]) == ("JOB_COMPLETED", "full_sync", 4)
    assert (second["sync_type"], second["processed_rows"]) == ("incremental_sync", 0)
    assert first["metadata"] == {"plan": "gold"}
    assert "bookmarks" in server.client.get(f"{CONNECTORS}/state?connector_id=crm").json()

    written = run(server, {"job_type": "write", "state": {"people": [{"id": 1, "name": "Ada"}]}})
    assert (written["status"], written["tap"], written["target"]) == ("JOB_COMPLETED", "api", "crm"), written["message"]

    gone = server.client.delete("/hotglue/tenant/demo/zeta")
    assert gone.status_code == 200, gone.text
    assert server.client.get(JOBS).json() == []
    assert "zeta" not in server.client.get("/hotglue/tenants/demo").json()
    assert not list((server.home / "files").rglob("*zeta*"))
