"""
What `headrace init` writes.
"""

from __future__ import annotations

import csv
from pathlib import Path
from uuid import UUID

import pytest

from headrace.cli.init import write_project
from headrace.core.errors import ConflictError, EnvironmentBuildError, NotFoundError
from headrace.services.meltano_projects import Snapshot
from headrace.services.project_definitions import definitions_of
from headrace.store.automation_projects import project_folders, read_automation_project
from headrace.store.meltano_folder import read_folder
from headrace.store.project import load_project


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("init") / "project"
    write_project(directory)
    return directory


def test_the_demo_project_loads_without_a_problem(demo: Path) -> None:
    """
    It has workspace demo, flow flights, tenant acme, and every name in it fits.
    """
    result = load_project(demo, {}, home=demo / "home")

    assert result.problems == []
    assert [workspace.name for workspace in result.project.workspaces] == ["demo"]
    assert [(flow.id, [tenant.tenant for tenant in flow.tenants]) for flow in result.project.flows] == [
        ("flights", ["acme"])
    ]
    assert result.project.flows[0].script is not None


def test_the_demo_has_a_batch_and_a_pipeline(demo: Path) -> None:
    """
    Workspace demo has one of each; neither needs a browser or Meltano itself.
    """
    (folder,) = project_folders(demo)
    automations = read_automation_project(folder)
    meltano = read_folder(demo / "meltano")
    found = definitions_of(Snapshot(folder=meltano), UUID(int=0))

    assert (automations.name, list(automations.jobs)) == ("demo", ["demo-batch"])
    assert (found.problems, [pipeline.name for pipeline in found.pipelines]) == ((), ["flights-daily"])
    assert found.pipelines[0].script


def test_the_demo_has_all_its_data(demo: Path) -> None:
    """
    336,776 flights in twelve files with a header each, and sixteen airlines.
    """
    months = sorted((demo / "data").glob("flights-2013-*.csv"))
    rows = 0
    for month in months:
        with month.open(newline="") as file:
            reader = csv.reader(file)
            assert next(reader)[:3] == ["year", "month", "day"]
            rows += sum(1 for _ in reader)

    assert len(months) == 12
    assert rows == 336_776
    assert (demo / "data" / "airlines.csv").read_text().count("\n") >= 16


def test_nothing_but_the_project_is_left(demo: Path) -> None:
    """
    What was needed to fetch the data is gone.
    """
    assert [path.name for path in demo.parent.iterdir()] == ["project"]
    assert (demo / ".gitignore").is_file()


def test_files_are_never_written_over(tmp_path: Path) -> None:
    """
    A folder that holds anything is refused and stays as it is.
    """
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(ConflictError, match="is not empty"):
        write_project(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_without_a_network_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The error says what to check, and the same command can be given again.
    """
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))

    with pytest.raises(EnvironmentBuildError, match="data could not be fetched") as caught:
        write_project(tmp_path / "parent" / "project")

    assert "run the same command again" in caught.value.instruction
    assert list((tmp_path / "parent").iterdir()) == []


def test_an_unknown_template_is_refused(tmp_path: Path) -> None:
    """
    The error lists those that exist.
    """
    with pytest.raises(NotFoundError) as caught:
        write_project(tmp_path, "no-such")

    assert "demo" in caught.value.instruction
