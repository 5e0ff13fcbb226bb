"""
The files of a workspace's project, in and out: section 10 of the reference.
"""

from __future__ import annotations

import json
from pathlib import Path

from matatika_mill import Mill
from meltano_kit import write_project


def _add(folder: Path, **sections: object) -> None:
    document = json.loads((folder / "meltano.yml").read_text())
    (folder / "meltano.yml").write_text(json.dumps({**document, **sections}))


async def _pipelines(mill: Mill) -> dict[str, dict[str, object]]:
    found = (await mill.client.get(f"{mill.workspace}/pipelines")).json()
    return {each["name"]: each for each in found.get("_embedded", {}).get("pipelines", [])}


async def test_jobs_and_schedules_of_a_project_become_pipelines(mill: Mill) -> None:
    """
    meltano.yml: each schedule is a pipeline, five fields and macros get a second before them; so is each job nobody schedules.
    """
    write_project(mill.project)
    _add(
        mill.project,
        jobs=[
            {"name": "load", "tasks": ["tap-jsonl target-jsonl"]},
            {"name": "alone", "tasks": ["tap-jsonl target-jsonl"]},
        ],
        schedules=[
            {"name": "nightly", "interval": "30 2 * * *", "job": "load"},
            {"name": "pair", "interval": "@daily", "extractor": "tap-jsonl", "loader": "target-jsonl"},
            {"name": "by-hand", "interval": "@once", "job": "load"},
        ],
    )

    assert await mill.deployments.tick() == 1
    assert await mill.deployments.tick() == 0
    found = await _pipelines(mill)
    due = await mill.house.database.all("select expression from schedule order by expression")

    assert {name: each.get("schedule") for name, each in found.items()} == {
        "nightly": "0 30 2 * * *",
        "pair": "0 0 0 * * *",
        "by-hand": "-",
        "alone": None,
    }
    assert found["nightly"]["actions"] == ["load"]
    assert found["pair"]["dataComponents"] == ["tap-jsonl", "target-jsonl"]
    assert {each["status"] for each in found.values()} == {"READY"}
    assert [row["expression"] for row in due] == ["spring(0 0 0 * * *)", "spring(0 30 2 * * *)"]


async def test_pipeline_and_store_files_come_in_and_go_out_unchanged(mill: Mill) -> None:
    """
    pipelines/*.yml and datastores/*.yml define what the API shows; what goes out defines the same again, without secrets.
    """
    write_project(mill.project)
    (mill.project / "pipelines").mkdir()
    (mill.project / "datastores").mkdir()
    (mill.project / "datastores" / "Warehouse.yml").write_text(
        "version: datastores/v0.1\ndata_plugin: loaders/target-jsonl\nproperties:\n  destination_path: out\n"
    )
    (mill.project / "pipelines" / "first.yml").write_text(
        "version: pipelines/v0.1\ndata_components: [tap-jsonl, Warehouse]\nmax_retries: 2\ntimeout: 60\n"
        "properties:\n  tap-jsonl.api_token: t0p-secret\n  tap-jsonl.path: x.jsonl\nschedule: 0 0 6 * * MON-FRI\n"
    )
    (mill.project / "pipelines" / "a-second.yml").write_text(
        "version: pipelines/v0.1\ninline_script: |\n  echo hi\ntriggered_by: [first]\n"
    )

    deployed = await mill.client.post(f"{mill.workspace}/deployments")
    found = await _pipelines(mill)
    out = (await mill.client.get(f"{mill.workspace}/project-files")).json()

    assert deployed.status_code == 202, deployed.text
    assert set(found) == {"first", "a-second"}
    assert (found["first"]["timeout"], found["first"]["maxRetries"]) == (60, 2)
    assert found["a-second"]["triggeredBy"] == ["first"]
    assert "t0p-secret" not in str(out)
    assert "tap-jsonl.path: x.jsonl" in out["pipelines/first.yml"]
    before = {
        name: (mill.project / name).read_text() for name in ("pipelines/a-second.yml", "datastores/Warehouse.yml")
    }
    for name in before:
        (mill.project / name).write_text(out[name])
    await mill.deployments.tick()
    again = (await mill.client.get(f"{mill.workspace}/project-files")).json()
    assert again == out


async def test_a_wrong_file_costs_itself_alone_and_its_last_good_version_stays(mill: Mill) -> None:
    """
    Half-written files change nothing; a file that is gone takes its pipeline with it.
    """
    write_project(mill.project)
    pipelines = mill.project / "pipelines"
    pipelines.mkdir()
    (pipelines / "one.yml").write_text("inline_script: echo 1\n")
    (pipelines / "two.yml").write_text("inline_script: echo 2\n")
    await mill.deployments.tick()

    (pipelines / "one.yml").write_text("inline_script: [echo\n")
    (pipelines / "three.yml").write_text("inline_skript: echo 3\n")
    (pipelines / "two.yml").unlink()
    definitions = await mill.deployments.apply(mill.house.workspace)
    found = await _pipelines(mill)

    assert set(found) == {"one"}
    assert found["one"]["script"] == "echo 1"
    assert sorted(str(problem.facts["file"]) for problem in definitions.problems) == [
        "pipelines/one.yml",
        "pipelines/three.yml",
    ]


async def test_a_broken_meltano_file_takes_nothing_down(mill: Mill) -> None:
    """
    meltano.yml that is no YAML, or has not Meltano's form: told, and the wire goes on.
    """
    for text in ("plugins: [", "plugins: [1]", "- a", "plugins: {extractors: [{}]}", "plugins: {extractors: {a: 1}}"):
        (mill.project / "meltano.yml").write_text(text)
        definitions = await mill.deployments.apply(mill.house.workspace)

        assert len(definitions.problems) == 1, text
        assert (await mill.client.get(f"{mill.workspace}/pipelines")).status_code == 200
