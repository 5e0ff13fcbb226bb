"""
A Meltano project in a job's folder.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headrace.core.errors import DefinitionError
from headrace.core.meltano import MeltanoProject, plugin_of, read_project, variable
from headrace.runners.meltano import ProjectFolder, StateFiles, requirements_of

PROJECT = {
    "plugins": {
        "extractors": [
            {"name": "tap-x", "pip_url": "tap-x==1", "config": {"a": 1}, "settings": [{"name": "a"}]},
            {"name": "mine", "inherit_from": "tap-x", "settings": [{"name": "b", "kind": "password"}]},
            {"name": "ring-a", "inherit_from": "ring-b"},
            {"name": "ring-b", "inherit_from": "ring-a"},
        ],
        "mappers": [{"name": "map-x", "pip_url": "map-x", "mappings": [{"name": "hide"}]}],
    },
    "jobs": [{"name": "load", "tasks": ["mine hide", ["tap-x target-x"]]}],
}


def project() -> MeltanoProject:
    return read_project(PROJECT)


def test_what_a_run_needs_is_found_through_jobs_mappings_and_parents() -> None:
    """
    Blocks, `plugin:command`, jobs and mappings; a plugin has its parent's package and settings; a ring of parents has none.
    """
    assert [each.name for each in project().needed(["load", "tap-x:test", "nobody"])] == ["mine", "map-x", "tap-x"]
    assert getattr(project().ancestor("mine"), "pip_url", None) == "tap-x==1"
    assert project().ancestor("ring-a") is None
    assert {setting.name: setting.sensitive for setting in project().settings("mine")} == {"b": True, "a": False}
    assert project().configured("mine") == {"a"}


@pytest.mark.parametrize(
    ("plugin", "setting", "name"),
    [
        ("tap-x", "oauth.client_id", "TAP_X_OAUTH_CLIENT_ID"),
        ("tap-x", "_select", "TAP_X__SELECT"),
        ("tap.y", "a-b", "TAP_Y_A_B"),
    ],
)
def test_variables_are_named_as_meltano_names_them(plugin: str, setting: str, name: str) -> None:
    """
    Upper case, everything but letters and digits an underscore.
    """
    assert variable(plugin, setting) == name


@pytest.mark.parametrize(
    ("pip_url", "lines"),
    [
        ("tap-x==1", ("tap-x==1",)),
        ("tap-x==1 'setuptools<81'", ("tap-x==1", "setuptools<81")),
        ("git+https://host/team/tap-x.git@main", ("git+https://host/team/tap-x.git@main",)),
        ("-e extract/tap-x", None),
        ("./tap-x", None),
        ("$TAP_X_URL", None),
        ("tap-x 'unfinished", None),
    ],
)
def test_only_what_means_the_same_everywhere_goes_to_a_shared_environment(
    pip_url: str, lines: tuple[str, ...] | None
) -> None:
    """
    Options, paths and variables are left to Meltano's own installer.
    """
    assert requirements_of(plugin_of("extractors", {"name": "tap-x", "pip_url": pip_url})) == lines


def test_added_definitions_win_and_the_rest_of_the_file_stays(tmp_path: Path) -> None:
    """
    A definition of a known name changes what it names; an empty folder becomes a project.
    """
    (tmp_path / "meltano.yml").write_text(json.dumps(PROJECT))
    folder = ProjectFolder(tmp_path)
    folder.add_plugins(
        {"extractors": [{"name": "mine", "settings": [{"name": "c"}]}], "loaders": [{"name": "target-x"}]}
    )
    found = folder.read()
    empty = ProjectFolder(tmp_path / "empty")
    empty.folder.mkdir()
    empty.add_plugins({"loaders": [{"name": "target-x"}]})

    assert found.plugins["mine"].parent == "tap-x"
    assert [setting.name for setting in found.plugins["mine"].settings] == ["c"]
    assert set(found.plugins) == {"tap-x", "mine", "ring-a", "ring-b", "map-x", "target-x"}
    assert found.jobs["load"] == ("mine", "hide", "tap-x", "target-x")
    assert set(empty.read().plugins) == {"target-x"}


@pytest.mark.parametrize(
    "text", ["a: [", "[]", "plugins: {extractors: [{name: ../x}]}", "plugins: {gadgets: [{name: x}]}"]
)
def test_a_wrong_project_is_refused_with_the_reason(tmp_path: Path, text: str) -> None:
    """
    Never a traceback, and no plugin's name leads out of its folder.
    """
    (tmp_path / "meltano.yml").write_text(text if text != "[]" else "[1]")

    with pytest.raises(DefinitionError, match=r"^meltano"):
        ProjectFolder(tmp_path).read()


async def test_state_is_laid_out_once_and_only_changes_come_back(tmp_path: Path) -> None:
    """
    Files that an attempt before has left are newer than the database; stale locks are void; half a file changes nothing.
    """
    files = StateFiles(tmp_path / "state")
    known = {"dev:a-to-b:p": {"completed": {"x": 1}}, "dev:c-to-d": {"completed": {}}, "../out": {}}
    await files.lay_out(known)
    (tmp_path / "state" / "dev:a-to-b:p" / "state.json").write_text('{"completed": {"x": 2}}')
    (tmp_path / "state" / "dev:a-to-b:p" / "lock").touch()
    (tmp_path / "state" / "dev:c-to-d" / "state.json").write_text('{"comp')
    await files.lay_out(known)

    assert await files.changed(known) == {"dev:a-to-b:p": {"completed": {"x": 2}}}
    assert not (tmp_path / "state" / "dev:a-to-b:p" / "lock").exists()
    assert not (tmp_path / "out").exists()
