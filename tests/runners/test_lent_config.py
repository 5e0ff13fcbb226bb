"""
What a connector rewrites in its settings comes back to the connection, and nothing else does.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headrace.core.plan import ConnectorSpec
from headrace.runners.connector import Connector, forget_lent, lend_config, take_back
from headrace.runners.home_link import HomeLink
from headrace.runners.job_root import JobRoot

SETTINGS = {"refresh_token": "r1", "start_date": "2020-01-01", "page": 3}


@pytest.fixture
def root(tmp_path: Path) -> JobRoot:
    root = JobRoot(tmp_path / "job")
    root.prepare()
    return root


def connector(**more: object) -> Connector:
    spec = ConnectorSpec(name="tap-x", kind="tap")
    return Connector(spec=spec, command=["tap-x"], settings=SETTINGS, connection="c1", **more)  # type: ignore[arg-type] -- any field


def rewrite(path: Path, **changed: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def test_what_was_rewritten_is_told(root: JobRoot) -> None:
    lend_config(root, connector(), root.config)
    rewrite(root.config, refresh_token="r2", expires_in=1767225600)

    assert take_back(root) == {"c1": {"refresh_token": "r2", "expires_in": 1767225600}}


def test_values_of_this_job_alone_are_never_told(root: JobRoot) -> None:
    """
    An override, and what the platform adds, stays out of the connection even when the tap writes it back changed.
    """
    lend_config(
        root,
        connector(private=frozenset({"start_date", "hg_sync_output"})),
        root.config,
        {**SETTINGS, "hg_sync_output": "/x"},
    )
    rewrite(root.config, start_date="2026-01-01", hg_sync_output="/y", refresh_token="r2")

    assert take_back(root) == {"c1": {"refresh_token": "r2"}}


def test_a_worker_that_died_leaves_enough_to_take_back(root: JobRoot) -> None:
    """
    What was lent stands beside the job, so the next attempt sees what changed; once forgotten, it says nothing.
    """
    lend_config(root, connector(), root.folder / "targets/t/config.json")
    rewrite(root.folder / "targets/t/config.json", refresh_token="r2")
    later = JobRoot(root.folder)

    assert take_back(later) == {"c1": {"refresh_token": "r2"}}
    forget_lent(later)
    assert take_back(later) == {}


@pytest.mark.parametrize("left", ["", "{", '["no", "object"]'])
def test_a_file_that_was_cut_off_changes_nothing(root: JobRoot, left: str) -> None:
    lend_config(root, connector(), root.config)
    root.config.write_text(left)

    assert take_back(root) == {}


def test_no_settings_are_left_when_secrets_are_forgotten(root: JobRoot) -> None:
    lend_config(root, connector(), root.config)
    lend_config(root, connector(), root.folder / "targets/t/config.json")
    root.tenant_config.write_text("{}")

    root.forget_secrets()

    assert not [file for file in root.folder.rglob("*.json") if file.is_file()]


def test_the_job_is_found_under_hotglues_home(tmp_path: Path, root: JobRoot) -> None:
    """
    `{home}/{JOB_ID}` leads to the job's folder while it runs; a link that an attempt which died left is taken over.
    """
    home = tmp_path / "hotglue"
    home.mkdir()
    (home / "37g_DK").symlink_to(root.folder)

    with HomeLink("37g_DK", root.folder, home=home):
        assert (home / "37g_DK/sync-output").is_dir()

    assert list(home.iterdir()) == []


def test_another_jobs_link_is_left_alone(tmp_path: Path, root: JobRoot) -> None:
    home = tmp_path / "hotglue"
    (home / "37g_DK").mkdir(parents=True)

    with HomeLink("37g_DK", root.folder, home=home), HomeLink("../x", root.folder, home=home):
        pass

    assert (home / "37g_DK").is_dir()
    assert not (home / "37g_DK").is_symlink()


def test_no_permission_is_no_failure(root: JobRoot) -> None:
    with HomeLink("37g_DK", root.folder, home=Path("/proc/hotglue")):
        pass
