"""
hotglue's published widget for tests: taken from the npm registry when a test asks for it, kept nowhere.

The package lists the parts of its own build among its dependencies (250 packages, 300 MB); its two bundles need React alone, so
that is what is installed with it. happy-dom is the document that it is mounted in under Node; playwright-core drives a Chromium that is
there already.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from acceptance.projects import ProjectFolder
from acceptance.running_server import RunningServer

WIDGET = "@hotglue/widget@1.4.63"
PARTS = ("react@17.0.2", "react-dom@17.0.2", "happy-dom@15.11.7", "playwright-core@1.49.1")
SCRIPTS = Path(__file__).parent / "widget"
WORKSPACE, READING, TWO_WAY = "widgets", "reading", "two-way"
_NPM_SECONDS = 120
_RUN_SECONDS = 150


def widget_flows(project: ProjectFolder) -> None:
    """
    Add a workspace of its own, because the widget shows all that one has: a flow of sources and one of connectors.
    """
    main = project.folder / "headrace.yml"
    document = json.loads(main.read_text())
    document["workspaces"][WORKSPACE] = {}
    main.write_text(json.dumps(document, indent=1))
    project.flow(READING, {}, workspace=WORKSPACE)
    project.flow(TWO_WAY, {}, workspace=WORKSPACE, links="connectors")


def run_widget(script: str, widget: Path, given: dict[str, Any], *more: str) -> dict[str, Any]:
    """
    Run one of the scripts in Node; gives what it printed last, for the widget prints as it polls.
    """
    done = subprocess.run(
        ["node", str(SCRIPTS / script), str(widget), json.dumps(given), *more],
        capture_output=True, text=True, timeout=_RUN_SECONDS, check=False, env={**os.environ, "NODE_ENV": "production"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return printed


def config_of(server: RunningServer) -> dict[str, str]:
    """
    Make what a customer gives the widget: our address, the environment, a public key.
    """
    return {
        "apiUrl": f"http://127.0.0.1:{server.port}/hotglue",
        "apiKey": public_key(server),
        "envId": WORKSPACE,
    }


def public_key(server: RunningServer) -> str:
    """
    Make the kind of key that stands in pages which show the widget.
    """
    made = server.client.post("/api/v1/keys", json={"name": "widget", "role": "public", "workspace": WORKSPACE})
    key: str = made.json()["key"]
    return key


def installed_widget(folder: Path) -> Path:
    """
    Install the widget in a folder, or skip the test where Node, npm or the registry cannot be reached.
    """
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("the widget's tests need node and npm: apt-get install nodejs npm")
    (folder / "package.json").write_text('{"private": true}')
    _npm(folder, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", *PARTS)
    archive = _npm(folder, "pack", "--silent", "--prefer-offline", WIDGET).strip().splitlines()[-1]
    package = folder / "node_modules" / "@hotglue" / "widget"
    with tarfile.open(folder / archive) as opened:
        opened.extractall(folder / "unpacked", filter="data")
    package.parent.mkdir(parents=True)
    (folder / "unpacked" / "package").rename(package)
    return folder


def _npm(folder: Path, *arguments: str) -> str:
    ran = subprocess.run(
        ["npm", *arguments], cwd=folder, capture_output=True, text=True, timeout=_NPM_SECONDS, check=False
    )
    if ran.returncode:
        pytest.skip(f"npm could not fetch the widget: {ran.stderr[-300:]}")
    return ran.stdout
