"""
What the serving commands make of file, environment and options.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from stand_in import headrace

from headrace.cli.serving import read_settings
from headrace.core.errors import InvalidError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("PORT", "SLOTS", "HOME", "PROJECT"):
        monkeypatch.delenv(f"HEADRACE_{name}", raising=False)
    (tmp_path / "headrace.yml").write_text("server: {port: 9001, slots: 7, grace_seconds: 3}\n")
    return tmp_path


def test_options_win_over_variables_over_the_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each place is nearer to the person who starts it than the one before.
    """
    monkeypatch.setenv("HEADRACE_SLOTS", "8")
    monkeypatch.setenv("HEADRACE_PORT", "9002")

    settings = read_settings(project=project, port=9003)

    assert (settings.grace_seconds, settings.slots, settings.port) == (3, 8, 9003)


def test_a_folder_with_a_project_file_is_the_project(project: Path) -> None:
    """
    `headrace up` in a project needs no option.
    """
    assert read_settings().project == project


def test_a_folder_without_one_serves_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Nothing is guessed.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADRACE_PROJECT", raising=False)

    assert read_settings().project is None


@pytest.mark.parametrize(
    "content",
    ["server: {slots: hunter2}", "server: [1]", "server: {", "- 1", "\t"],
)
def test_a_wrong_file_is_an_error_without_a_trace(project: Path, content: str) -> None:
    """
    It names the file or the setting, and no value.
    """
    (project / "headrace.yml").write_text(content)

    with pytest.raises(InvalidError) as caught:
        read_settings()

    assert "hunter2" not in str(caught.value)
    assert "setting" in caught.value.reason or "headrace.yml" in caught.value.reason


async def test_a_start_that_cannot_be_says_why(tmp_path: Path) -> None:
    """
    Wrong usage, in two lines, without a trace.
    """
    no_database = await headrace("worker", folder=tmp_path)
    no_project = await headrace("up", "--project", "nowhere", folder=tmp_path)
    no_setting = await headrace("up", folder=tmp_path, HEADRACE_SLOTS="many")

    assert (no_database.code, no_project.code, no_setting.code) == (2, 2, 2)
    assert "HEADRACE_DATABASE_URL" in no_database.err
    assert "headrace init nowhere" in no_project.err
    assert "slots" in no_setting.err
    assert "Traceback" not in no_database.err + no_project.err + no_setting.err


async def test_the_demo_does_not_overwrite(tmp_path: Path) -> None:
    """
    A folder that holds something else is left alone.
    """
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine.txt").write_text("mine")

    said = await headrace("demo", folder=tmp_path)

    assert said.code == 2
    assert "not empty" in said.err
    assert [file.name for file in (tmp_path / "demo").iterdir()] == ["mine.txt"]
