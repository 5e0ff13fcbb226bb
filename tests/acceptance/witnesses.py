"""
Flows whose tap, script and target write down what they were given, and what a test then sees of a job from inside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acceptance.projects import FAKES, ProjectFolder
from acceptance.running_server import RunningServer, eventually

WORKSPACE = "witnessed"
KEEPING = "keeping"
LINKING = "linking"
WITNESS = ["python", str(FAKES / "witness.py")]

CONNECTORS: Mapping[str, dict[str, Any]] = {
    "tap-seen": {"kind": "tap", "command": [*WITNESS, "tap"]},
    "tap-older": {"kind": "tap", "command": [*WITNESS, "tap"], "catalog_flag": "properties"},
    "target-seen": {"kind": "target", "command": [*WITNESS, "target"]},
    "target-other": {"kind": "target", "command": [*WITNESS, "target"]},
    "target-files": {"kind": "target", "command": [*WITNESS, "target"], "input": "files"},
}


@dataclass(frozen=True)
class Witnessed:
    """
    A job that has ended, and what its processes wrote down.

    Attributes:
        notes: by `tap`, `script`, `target-{connector}`, `tap-discover`; `target` in a streaming job.
        folder: of the job, in the file store.
    """

    record: dict[str, Any]
    folder: Path
    notes: dict[str, dict[str, Any]] = field(repr=False)

    def variables(self, role: str) -> dict[str, str]:
        """
        Give the variables that a process had.
        """
        found: dict[str, str] = self.notes[role]["variables"]
        return found

    def files(self, role: str) -> dict[str, Any]:
        """
        Give the files below the root as a process found them, by path; JSON read, anything else as text.
        """
        found: dict[str, Any] = self.notes[role]["files"]
        return found

    def exported(self) -> list[dict[str, Any]]:
        """
        Give the lines that the target of the flow read.
        """
        lines: list[dict[str, Any]] = self.notes["target-target-seen"]["lines"]
        return lines


def workspaces(project: Path) -> dict[str, dict[str, Any]]:
    """
    Say which workspaces the flows live in.
    """
    environment = {"NOTES": str(notes_of(project)), "SEEN_SHARED": "the workspace's", "SEEN_OWN": "the workspace's"}
    return {
        WORKSPACE: {"environment": environment},
        KEEPING: {"environment": environment, "settings": {"save_snapshots_on_failure": True}},
        LINKING: {"environment": environment, "settings": {"job_on_link": True, "default_schedule": True}},
    }


def notes_of(project: Path) -> Path:
    return project.parent / "notes"


def witness_flows(project: ProjectFolder) -> None:
    """
    Add the flows; their tenants are linked by the API, but for `keeping`.
    """
    own: dict[str, Any] = {"workspace": WORKSPACE, "source": "tap-seen", "target": "target-seen"}
    csv = {"format": "csv"}
    project.flow("seen", {}, script="witness.py", files=csv, **own)
    project.flow("seen-plain", {}, **{**own, "source": "tap-older"}, files=csv)
    project.flow("seen-twice", {}, workspace=WORKSPACE, source="tap-seen", targets=["target-seen", "target-other"])
    project.flow("seen-files", {}, **{**own, "target": "target-files"})
    project.flow("keeping", {"acme": {}}, script="witness.py", files=csv, **{**own, "workspace": KEEPING})
    project.flow("linked", {}, script="witness.py", files=csv, **{**own, "workspace": LINKING})
    plugins = project.folder / "flows/seen/plugins"
    plugins.mkdir()
    (plugins / "people_post_process.py").write_text("def main(context, df, model, key_properties, tenant_config):\n    return df\n")  # fmt: skip


def witnessed(server: RunningServer, record: dict[str, Any]) -> Witnessed:
    """
    Read what the processes of a job wrote down.
    """
    folder = notes_of(server.project) / record["job_id"]
    notes = {file.stem: json.loads(file.read_text("utf-8")) for file in folder.glob("*.json")}
    return Witnessed(record=record, folder=server.folder(record), notes=notes)


def run(server: RunningServer, flow: str, tenant: str, body: dict[str, Any] | None = None) -> Witnessed:
    """
    Run a flow and see what its processes saw; the job has completed.
    """
    found = witnessed(server, server.run(flow, tenant, body, environment=WORKSPACE))
    assert found.record["status"] == "JOB_COMPLETED", found.record["message"]
    return found


def run_v2(server: RunningServer, flow: str, tenant: str, body: dict[str, Any]) -> Witnessed:
    """
    Run one connector of a flow, and see what its processes saw; the job has completed.
    """
    made = server.client.post(f"/hotglue/v2/{WORKSPACE}/{flow}/{tenant}/jobs", json=body)
    assert made.status_code == 200, made.text
    found = witnessed(server, server.wait(made.json()))
    assert found.record["status"] == "JOB_COMPLETED", found.record["message"]
    return found


def link(
    server: RunningServer, flow: str, tenant: str, kind: str, body: dict[str, Any], *, workspace: str = WORKSPACE
) -> None:
    """
    Link a source, target or connector; *kind* is the last part of the path.
    """
    prefix = "/hotglue/v2" if kind == "linkedConnectors" else "/hotglue"
    answer = server.client.post(f"{prefix}/{workspace}/{flow}/{tenant}/{kind}", json=body)
    assert answer.status_code == 200, answer.text


def discover(server: RunningServer, flow: str, tenant: str, kind: str, name: str) -> None:
    """
    Discover what is linked, to the end.
    """
    path = f"/hotglue/{WORKSPACE}/{flow}/{tenant}/{kind}/discover"
    query = {"tap_name" if kind == "linkedSources" else "target_name": name}
    answer = server.client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    eventually(
        lambda: server.client.get(f"{path}/poll", params=query).json()["status"] == "STOPPED",
        seconds=60,
        what=f"{name} is discovered",
    )
