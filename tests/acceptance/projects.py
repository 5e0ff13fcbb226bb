"""
Project folders for acceptance tests: flows over the misbehaving taps, scripts and targets of `tests/fakes`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FAKES = Path(__file__).parent.parent / "fakes"


class ProjectFolder:
    """
    A project folder in the making. YAML is a superset of JSON, which is what this writes.
    """

    def __init__(self, folder: Path, **sections: Any) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        connectors = {
            "tap-fake": {
                "kind": "tap",
                "command": ["python", str(FAKES / "tap.py")],
                "discover": False,
                "secrets": ["secret"],
            },
            "tap-source": {
                "kind": "tap",
                "command": ["python", str(FAKES / "tap_source.py")],
                "secrets": ["refresh_token"],
            },
            "target-fake": {"kind": "target", "command": ["python", str(FAKES / "target.py")]},
        }
        main: dict[str, Any] = {"workspaces": {"demo": {}}, **sections}
        main["connectors"] = connectors | main.get("connectors", {})
        (folder / "headrace.yml").write_text(json.dumps(main, indent=1))

    def flow(
        self,
        name: str,
        tenants: Mapping[str, Any],
        *,
        script: str | None = None,
        requirements: str = "",
        empty_output: str = "",
        **keys: Any,
    ) -> ProjectFolder:
        """
        Add a flow. *tenants* maps each tenant to its tap's settings, or to a pair with the target's, too.

        Args:
            script: a file of `tests/fakes`, copied as `etl.py`, or `etl` with the suffix it has.
        """
        folder = self.folder / "flows" / name
        folder.mkdir(parents=True, exist_ok=True)
        links = {}
        for tenant, given in tenants.items():
            tap, target = given if isinstance(given, tuple) else (given, {})
            links[tenant] = {
                "sources": {keys.get("source", "tap-fake"): {"config": tap}},
                "targets": {keys.get("target", "target-fake"): {"config": target}},
            }
        entry = f"etl{Path(script).suffix}" if script and not script.endswith(".txt") else "etl.py"
        if entry != "etl.py" or empty_output:
            keys["script"] = {"entry": entry} | ({"empty_output": empty_output} if empty_output else {})
        body = {"workspace": "demo", "source": "tap-fake", "target": "target-fake", "tenants": links, **keys}
        if "targets" in keys:
            del body["target"]
        (folder / "flow.yml").write_text(json.dumps(body, indent=1))
        if script:
            shutil.copy(FAKES / script, folder / entry)
        if requirements:
            (folder / "requirements.txt").write_text(requirements)
        return self

    def automation(self, project: str, **functions: str) -> ProjectFolder:
        """
        Add an automation project with functions by their names.
        """
        folder = self.folder / "automations" / project
        (folder / "api").mkdir(parents=True)
        (folder / "Intuned.json").write_text("{}")
        for name, text in functions.items():
            (folder / "api" / f"{name}.py").write_text(text)
        return self


CONTRACT_TENANTS = (
    "cycle", "files", "at-discover", "at-sync", "at-etl", "at-export", "shot-sync", "shot-etl", "shot-export", "limited", "refused",
    "cut",
)  # fmt: skip


def contract_flow(project: ProjectFolder) -> None:
    """
    Add the flow `contract`: a tap with a rotating token, a script that looks at its surroundings, a target that reports each record.
    """
    project.flow(
        "contract",
        {tenant: (_source(project.folder, tenant), {"mode": "sdk"}) for tenant in CONTRACT_TENANTS},
        script="etl_contract.py",
        source="tap-source",
        files={"format": "csv"},
        limits={stage: {"grace_seconds": 2} for stage in ("sync", "etl", "export")},
    )


def _source(project: Path, tenant: str) -> dict[str, Any]:
    """
    Make a source for `tap_source.py`, three rows and a token beside the project folder; gives the tap's settings.
    """
    folder = project.parent / "source"
    folder.mkdir(parents=True, exist_ok=True)
    rows, tokens = folder / f"{tenant}.json", folder / f"{tenant}.token"
    rows.write_text(json.dumps([{"id": number, "name": f"name {number}"} for number in (1, 2, 3)]))
    tokens.write_text("token-1")
    return {"rows": str(rows), "tokens": str(tokens), "refresh_token": "token-1"}
