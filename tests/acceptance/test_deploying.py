"""
A flow deployed by the command line to a running server whose project folder knows nothing of it; replayed, and run again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from acceptance.projects import FAKES, ProjectFolder
from acceptance.running_server import KEY, RunningServer

WORKSPACE = "deployed"
GREET = (FAKES / "etl_singer.py").read_text()


@dataclass(frozen=True)
class Shell:
    """
    The command line in a folder of its own, asking one server.
    """

    folder: Path
    client: httpx2.Client

    def __call__(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """
        Run a command, which has to end with *code*.
        """
        said = subprocess.run(
            [sys.executable, "-m", "headrace.cli.main", *arguments],
            cwd=self.folder,
            env={
                "PATH": "/usr/bin:/bin",
                "HEADRACE_URL": str(self.client.base_url).rstrip("/"),
                "HEADRACE_API_KEY": KEY,
                "PYTHONPATH": str(FAKES.parents[1]),
                "TOKEN": "t0ken-of-all/+",
            },
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert said.returncode == code, said.stdout + said.stderr
        return said

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/api/v1/jobs/{job_id}").json()
        return found

    def script(self, text: str) -> None:
        (self.folder / "flows/greet/etl.py").write_text(text)


@pytest.fixture(scope="module")
def shell(shared_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """
    A project folder of a developer, deployed to a workspace of its own, and run once.
    """
    project = ProjectFolder(tmp_path_factory.mktemp("developer") / "project")
    project.flow("greet", {"acme": {"mode": "good"}}, script="etl_singer.py", files={"format": "csv"})
    flow = json.loads((project.folder / "flows/greet/flow.yml").read_text())
    flow |= {"workspace": WORKSPACE, "source": "tap-greet", "target": "target-greet"}
    flow["tenants"] = {"acme": {"sources": {"tap-greet": {}}, "targets": {"target-greet": {}}}}
    (project.folder / "flows/greet/flow.yml").write_text(json.dumps(flow, indent=1))
    (project.folder / "flows/greet/lib").mkdir()
    (project.folder / "flows/greet/lib/model.bin").write_bytes(b"\x00\xff")
    connectors = {
        "tap-greet": {
            "kind": "tap",
            "command": ["python", str(FAKES / "tap.py")],
            "discover": False,
            "secrets": ["secret"],
            "settings": {"secret": "${env:TOKEN}"},
        },
        "target-greet": {"kind": "target", "command": ["python", str(FAKES / "target.py")]},
    }
    (project.folder / "headrace.yml").write_text(json.dumps({"connectors": connectors}))
    shell = Shell(project.folder, shared_server.client)
    shell("workspace", "add", WORKSPACE)
    for name in connectors:
        assert shell("connector", "deploy", name, "-w", WORKSPACE).stdout.strip() == "1"
    assert shell("flow", "deploy", "greet", "-m", "the first").stdout.strip() == "1"
    return shell


@pytest.fixture(scope="module")
def ran(shell: Shell) -> str:
    """
    A job of the deployed flow that has completed.
    """
    return shell("run", "greet", "-t", "acme", "--set", "GREETING=ahoy", "--follow").stdout.strip()


def test_a_deployed_flow_is_run_changed_and_rolled_back(shell: Shell, ran: str) -> None:
    """
    From a developer's folder alone; a version that was pulled is what was deployed.
    """
    shell.script(GREET.replace("GREETING", "FAREWELL"))
    second = shell("flow", "deploy", "greet", "-m", "the second")
    same = shell("flow", "deploy", "greet")
    listed = json.loads(shell("flow", "versions", "greet", "--json").stdout)
    back = shell("flow", "rollback", "greet")
    shown = shell("flow", "show", "greet")
    shell("flow", "pull", "greet", "pulled")

    assert shell.job(ran)["state"] == "completed"
    assert (second.stdout, same.stdout, back.stdout) == ("2\n", "2\n", "1\n")
    assert [(one["number"], one["message"], one["current"]) for one in listed] == [
        (2, "the second", True),
        (1, "the first", False),
    ]
    assert "deployments, at version 1" in shown.stdout
    assert (shell.folder / "pulled/etl.py").read_text() == GREET
    assert (shell.folder / "pulled/lib/model.bin").read_bytes() == b"\x00\xff"


def test_mistakes_are_told_before_anything_is_changed(shell: Shell) -> None:
    """
    As compilers tell them; nothing is sent over a folder that is not there.
    """
    flow = shell.folder / "flows/wrong"
    flow.mkdir()
    (flow / "flow.yml").write_text(f"workspace: {WORKSPACE}\nsource: tap-gret\ntarget: target-gret\n")

    said = shell("flow", "deploy", "wrong", code=2)
    nowhere = shell("flow", "deploy", "nowhere", code=2)

    assert "flows/wrong/flow.yml, line 2: There is no connector tap-gret" in said.stderr
    assert "Did you mean tap-greet?" in said.stderr
    assert "line 3" in said.stderr
    assert "There is no flows/nowhere/flow.yml" in nowhere.stderr


def test_what_the_folder_owns_is_not_replaced_unasked(shell: Shell) -> None:
    (shell.folder / "flows/plain").mkdir()
    (shell.folder / "flows/plain/flow.yml").write_text("workspace: demo\nsource: tap-fake\n")

    refused = shell("flow", "deploy", "plain", "--json", code=2)

    assert json.loads(refused.stderr)["code"] == "owned-by-folder"
    assert "--take-over" in json.loads(refused.stderr)["instruction"]


def test_a_job_is_run_again_from_its_script_on(shell: Shell, ran: str) -> None:
    """
    Over the files that its sync made, with the script it had; the tap is not started again, and the bookmark stays.
    """
    said = shell("rerun", ran, "--from", "etl", "--set", "env.GREETING=adieu", "--follow")
    again = shell.job(said.stdout.strip())

    assert (again["state"], again["rerun_of"]) == ("completed", ran)
    steps = {step["name"]: step for step in again["steps"]}
    assert [steps[name]["attempt"] for name in ("sync", "etl", "export")] == [0, 1, 1]
    made = shell.client.get(f"/api/v1/jobs/{again['id']}/files/etl-output/data.singer").text
    assert made.count('"greeting": "adieu"') == 3


def test_a_job_is_replayed_over_the_inputs_it_had(shell: Shell, ran: str) -> None:
    """
    With its own script the output is the same; with another one the rows that differ are named. The server is as before.
    """
    changed = shell.folder / "changed"
    changed.mkdir()
    (changed / "etl.py").write_text(GREET.replace("{**row,", "{**row, 'name': row['name'].upper(),"))
    before = shell.job(ran)

    same = shell("replay", ran)
    other = shell("replay", ran, "--script", "changed", "--keep", "kept", "--rows", "1", code=1)
    told = json.loads(shell("replay", ran, "--script", "changed", "--ignore", "name", "--json").stdout)

    assert "The same output" in same.stdout
    assert "people\t3\t3\t0\t0\t3\tsame" in other.stdout
    assert "~ id=" in other.stdout
    assert other.stdout.count("→") == 1
    kept = (shell.folder / "kept/job/etl-output/data.singer").read_text()
    assert '"greeting": "ahoy"' in kept
    assert (told["same"], told["streams"][0]["rows_before"]) == (True, 3)
    assert shell.job(ran) == before


def test_a_replay_that_cannot_be_run_is_2(shell: Shell, ran: str) -> None:
    """
    A script that fails here, says so in its own words; a job without a script has nothing to replay.
    """
    broken = shell.folder / "broken"
    broken.mkdir()
    (broken / "etl.py").write_text("raise SystemExit('no such column: colour')\n")

    failed = shell("replay", ran, "--script", "broken", code=2)
    nowhere = shell("replay", ran, "--script", "nowhere", code=2)

    assert "no such column: colour" in failed.stderr
    assert "The script failed here" in failed.stderr
    assert "There is no script in" in nowhere.stderr
