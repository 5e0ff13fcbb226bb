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
        **keys: Any,
    ) -> ProjectFolder:
        """
        Add a flow. *tenants* maps each tenant to its tap's settings, or to a pair with the target's, too.

        Args:
            script: a file of `tests/fakes`, copied as `etl.py`.
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
        body = {"workspace": "demo", "source": "tap-fake", "target": "target-fake", "tenants": links, **keys}
        (folder / "flow.yml").write_text(json.dumps(body, indent=1))
        if script:
            shutil.copy(FAKES / script, folder / "etl.py")
        if requirements:
            (folder / "requirements.txt").write_text(requirements)
        return self
