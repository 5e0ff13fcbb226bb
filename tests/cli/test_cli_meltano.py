"""
`headrace meltano add`: an existing Meltano project under Headrace in one command.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from headrace.cli.main import main

MELTANO = """
plugins:
  extractors:
  - name: tap-x
    namespace: tap_x
    pip_url: tap-x
jobs:
- name: load
  tasks: [tap-x target-x]
schedules:
- name: nightly
  interval: '@daily'
  job: load
"""


def _settings(file: Path, workspace: str) -> dict[str, str]:
    return dict(YAML(typ="safe").load(file.read_text())["workspaces"][workspace]["settings"])


def test_a_project_is_put_under_a_workspace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    What headrace.yml says already stays; the Meltano project is not touched; the answer names the pipelines.
    """
    (tmp_path / "elt").mkdir()
    (tmp_path / "elt" / "meltano.yml").write_text(MELTANO)
    (tmp_path / "headrace.yml").write_text("# ours\nworkspaces:\n  demo:\n    environment: {A: b}  # kept\n")

    with pytest.raises(SystemExit) as ended:
        main(["meltano", "add", str(tmp_path / "elt"), "--project", str(tmp_path), "-w", "demo", "--json"])
    found = json.loads(capsys.readouterr().out)

    assert ended.value.code == 0
    assert found["pipelines"] == ["nightly"]
    assert found["components"] == ["tap-x"]
    assert _settings(tmp_path / "headrace.yml", "demo") == {"meltano": "elt"}
    assert "# kept" in (tmp_path / "headrace.yml").read_text()
    assert (tmp_path / "elt" / "meltano.yml").read_text() == MELTANO
    assert sorted(each.name for each in tmp_path.iterdir()) == ["elt", "headrace.yml"]


@pytest.mark.parametrize("text", [None, "plugins: [", "jobs: {a: b}"])
def test_what_is_no_meltano_project_is_refused(tmp_path: Path, text: str | None) -> None:
    """
    Nothing is written then.
    """
    (tmp_path / "elt").mkdir()
    if text is not None:
        (tmp_path / "elt" / "meltano.yml").write_text(text)

    with pytest.raises(SystemExit) as ended:
        main(["meltano", "add", str(tmp_path / "elt"), "--project", str(tmp_path)])

    assert ended.value.code == 2
    assert not (tmp_path / "headrace.yml").exists()
