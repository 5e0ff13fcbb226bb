"""
One server with the flows that most acceptance tests share.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from acceptance import witnesses
from acceptance.projects import FAKES, ProjectFolder, contract_flow
from acceptance.running_server import RunningServer, running
from acceptance.widget_kit import installed_widget, widget_flows

TAP_MODES = (
    "good", "slow", "exit-3", "raise", "garbage", "nothing", "no-schema", "noise", "print-secret", "state-then-crash",
    "ignore-term", "hang", "silent", "daemon", "rotate-token",
)  # fmt: skip


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """
    Show what a server said last beside the test that failed on it.
    """
    report = yield
    if report.failed:
        servers = {
            id(found): found for found in getattr(item, "funcargs", {}).values() if isinstance(found, RunningServer)
        }
        report.sections += [("server.log, its end", server.last_words()) for server in servers.values()]
    return report


@pytest.fixture(scope="session")
def shared_server() -> Iterator[RunningServer]:
    """
    A server over every fake tap, script and target; no test may stop it.
    """
    folder = Path(tempfile.mkdtemp(prefix="headrace-acceptance-", dir="/tmp"))
    folder.chmod(0o755)
    with running(folder / "home", shared_project(folder / "project").folder, HEADRACE_SLOTS="4") as server:
        yield server
    if not os.environ.get("HEADRACE_KEEP"):
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def widget(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    hotglue's widget in a folder's `node_modules`.
    """
    return installed_widget(tmp_path_factory.mktemp("widget"))


def shared_project(folder: Path) -> ProjectFolder:
    project = ProjectFolder(
        folder,
        workspaces={
            "demo": {},
            "discovering": {"settings": {"force_discover": True}},
            **witnesses.workspaces(folder),
        },
        connectors={
            **witnesses.CONNECTORS,
            "tap-missing": {"kind": "tap", "command": ["no-such-tap"], "discover": False},
        },
    )
    contract_flow(project)
    witnesses.witness_flows(project)
    project.flow("no-such-program", {"acme": {}}, source="tap-missing")
    taps = {mode: {"mode": mode, "secret": "s3cr3t-t0ken/with+signs", "refresh_token": "r1"} for mode in TAP_MODES}
    taps |= {"endless": {"mode": "slow", "records": 10**6}, "queued": {}}
    project.flow("plain", taps, limits={"sync": {"grace_seconds": 1}})
    # Apart from the others: on a busy machine a good tap, too, has sent nothing after two seconds.
    patience = {"sync": {"no_progress_seconds": 2, "grace_seconds": 1}}
    project.flow("impatient", {mode: taps[mode] for mode in ("hang", "silent")}, limits=patience)
    project.flow("discovered", {mode: taps[mode] for mode in ("good", "exit-3", "silent")}, workspace="discovering")
    project.flow("many", {f"t{number}": {} for number in range(8)})
    project.flow("script-good", {"acme": {}}, script="etl_singer.py", files={"format": "csv"})
    project.flow("script-quiet", {"acme": {}}, script="etl_nothing.py", empty_output="allow")
    project.flow("script-js", {"acme": {}}, script="etl_node.js", files={"format": "csv"})
    project.flow("script-ts", {"acme": {}}, script="etl_node.ts")
    for name in ("raises", "nothing", "errors_txt"):
        project.flow(f"script-{name.replace('_', '-')}", {"acme": {}}, script=f"etl_{name}.py")
    project.flow("script-loop", {"acme": {}}, script="etl_loop.py", limits={"etl": {"wall_seconds": 1}})
    project.flow("script-memory", {"acme": {}}, script="etl_memory.py", limits={"etl": {"memory_bytes": "100 MiB"}})
    project.flow("script-syntax", {"acme": {}}, script="etl_syntax_error.py.txt")
    targets = ("good", "exits-early", "exit-4", "no-state", "sdk", "sdk-failures")
    project.flow("target", {mode: ({"records": 2000}, {"mode": mode}) for mode in targets})
    project.flow("no-such-package", {"acme": {}}, script="etl_good.py", requirements="headrace-no-such-package==1\n")
    widget_flows(project)
    project.automation("console", wait=(FAKES / "function_wait.py").read_text())
    return project
