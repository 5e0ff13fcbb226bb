"""
Taps that remember which files of the project they have read, by path and by time: nothing comes twice, nothing is missed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from git_kit import commit, git, new_repository
from matatika_mill import Mill
from meltano_kit import write_project

from headrace.runners.project_place import Owner, ProjectPlace

REAL = {
    "tap-jsonfile": ("tap-jsonfile==0.1.2", {"paths": ["data/*.json"]}),
    "tap-spreadsheets": (
        "tap-spreadsheets==1.1.2",
        {"files": [{"path": "data/*.csv", "format": "csv", "table_name": "flights", "primary_keys": ["id"]}]},
    ),
}


def _write(project: Path, name: str, *ids: int) -> None:
    """
    Write one table twice, each tap for its own form.
    """
    folder = project / "data"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps([{"id": each} for each in ids]))
    (folder / f"{name}.csv").write_text("".join(f"{each}\n" for each in ("id", *ids)))


async def _run(mill: Mill, pipeline: str) -> list[int]:
    """
    Run a pipeline; gives the ids that arrived.
    """
    job = await mill.run(pipeline)
    assert job["status"] == "COMPLETE", await mill.logs(job["id"])
    files = Path(mill.house.files.folder("jobs")).glob(f"*/*/*/{job['id']}/project/out/*.jsonl")
    return [int(json.loads(line)["id"]) for file in files for line in file.read_text().splitlines()]


async def test_a_file_that_was_read_is_not_read_again(mill: Mill) -> None:
    """
    A pipeline's jobs see their project at one path, whoever died there before, and each file with the time of its last change.
    """
    write_project(mill.project, script="watchful")
    _write(mill.project, "a", 1, 2)
    pipeline = await mill.pipeline("files", dataComponents=["tap-watchful", "target-jsonl"])

    assert await _run(mill, pipeline) == [1, 2]
    left = ProjectPlace(mill.places / pipeline, Owner(uuid4(), 1)).take()  # by a worker that was killed
    _write(left, "c", 99)
    _write(mill.project, "b", 3)
    assert await _run(mill, pipeline) == [3]
    assert list(mill.places.iterdir()) == []
    _write(mill.project, "a", 4)
    assert await _run(mill, pipeline) == [4]


async def test_a_deployment_dates_only_what_it_changes(mill: Mill, tmp_path: Path) -> None:
    """
    A clone has no times of use: a file that is the same as in the project before keeps its own, also when it has come back it is new.
    """
    repository = new_repository(tmp_path / "flights")
    script = "stat --format='%n %.Y' data/*"
    commit(repository, {"data/a": "1", "data/b": "1", "pipelines/times.yml": f"inline_script: {script}\n"})
    workspace = str(uuid4())
    await mill.client.put(f"workspaces/{workspace}", json={"name": "x", "repositoryUrl": repository.as_uri()})

    async def deployed() -> dict[str, str]:
        await mill.client.post(f"workspaces/{workspace}/deployments")
        await mill.work()
        await mill.follow_ups.tick()
        await mill.work()
        listed = (await mill.client.get(f"workspaces/{workspace}/pipelines")).json()["_embedded"]["pipelines"]
        job = await mill.run(listed[0]["id"])
        return dict(line.split() for line in (await mill.logs(job["id"])).splitlines())

    first = await deployed()
    commit(repository, {"data/b": "2"})
    changed = await deployed()
    git(repository, "revert", "--no-edit", "HEAD")
    back = await deployed()

    assert changed["data/a"] == back["data/a"] == first["data/a"]
    assert float(first["data/b"]) < float(changed["data/b"]) < float(back["data/b"])
    assert (await mill.client.delete(f"workspaces/{workspace}")).status_code == 204
    await mill.desk.workspaces.tick()
    assert not Path(mill.house.files.folder(f"project-times/{workspace}")).exists()


@pytest.mark.chaos
@pytest.mark.parametrize("tap", REAL)
async def test_published_taps_for_files_deliver_each_record_once(mill: Mill, tap: str) -> None:
    """
    One keeps a digest for each absolute path, the other the time of the newest file that it has read.
    """
    package, config = REAL[tap]
    write_project(mill.project)
    document: dict[str, Any] = json.loads((mill.project / "meltano.yml").read_text())
    settings = [{"name": name, "kind": "array"} for name in config]
    document["plugins"]["extractors"].append(
        {
            "name": tap,
            "namespace": tap.replace("-", "_"),
            "pip_url": package,
            "executable": tap,
            "capabilities": ["catalog", "discover", "state"],
            "settings": settings,
            "config": config,
        }
    )
    (mill.project / "meltano.yml").write_text(json.dumps(document))
    _write(mill.project, "a", 1, 2)
    pipeline = await mill.pipeline("files", dataComponents=[tap, "target-jsonl"])

    assert await _run(mill, pipeline) == [1, 2]
    assert await _run(mill, pipeline) == []
    _write(mill.project, "b", 3)
    assert await _run(mill, pipeline) == [3]
