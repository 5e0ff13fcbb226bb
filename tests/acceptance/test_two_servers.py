"""
One home has one server: a second one is refused and leaves the first one as it is; the next start on the folder is a warm one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.projects import ProjectFolder
from acceptance.running_server import KEY, RunningServer, running


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    project = ProjectFolder(tmp_path / "project").flow("plain", {"acme": {}})
    with running(tmp_path / "home", project.folder) as started:
        yield started


def headrace(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return subprocess.run(
        [sys.executable, "-m", "headrace.cli.main", *words],
        env={**environment, "HEADRACE_ADMIN_KEY": KEY, "HEADRACE_API_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("same_port", "code", "says"), [(True, 2, "cannot be used"), (False, 1, "already runs the database")]
)
def test_a_second_server_on_a_home_is_refused(server: RunningServer, same_port: bool, code: int, says: str) -> None:
    """
    It says why and what to do, in words and as JSON; commands still find the first server, which goes on.
    """
    home, project = str(server.home), str(server.project)
    port = str(server.port if same_port else 0)

    refused = headrace("up", "--json", "--home", home, "--project", project, "--port", port)
    flows = headrace("flows", "--json", "--home", home)

    assert refused.returncode == code
    told = json.loads(refused.stderr.splitlines()[-1])
    assert says in told["reason"]
    assert told["instruction"]
    assert refused.stdout == ""
    assert flows.returncode == 0, flows.stderr
    assert [flow["id"] for flow in json.loads(flows.stdout)] == ["plain"]
    assert server.run("plain", "acme")["status"] == "JOB_COMPLETED"


def test_a_second_start_on_a_folder_finds_what_was_there(server: RunningServer) -> None:
    before = server.run("plain", "acme")
    keys = next(server.home.rglob("secret.keys")).read_bytes()

    assert server.stop() == 0
    assert not (server.home / "server.json").exists()
    server.start()
    after = server.run("plain", "acme")

    assert server.status(before) == before
    assert after["sync_type"] == "incremental_sync"
    assert next(server.home.rglob("secret.keys")).read_bytes() == keys
