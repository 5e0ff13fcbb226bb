"""
Pipelines that run a real Meltano project: a tap and a target from the index, installed once for all tests.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from matatika_mill import Mill
from matatika_rows import row
from meltano_kit import write_project

from headrace.store import pipeline_states

_DISCOVERY = "Running catalog discovery"


async def _states(mill: Mill, scope: str) -> dict[str, dict[str, Any]]:
    async with mill.house.database.connection() as connection:
        return await pipeline_states.load(connection, mill.house.workspace.id, scope)


def _files_read(states: dict[str, dict[str, Any]]) -> list[str]:
    """
    List the files that tap-jsonl knows of; it reads all of them once for each.
    """
    ((_, state),) = states.items()
    partitions = state["completed"]["singer_state"]["bookmarks"]["flights"]["partitions"]
    return [partition["context"]["_sdc_filename"] for partition in partitions]


def _output(mill: Mill, job_id: str) -> list[Path]:
    return sorted((Path(mill.house.files.folder("jobs"))).glob(f"*/*/*/{job_id}/project/out/*.jsonl"))


async def test_a_pair_of_plugins_runs_and_each_pipeline_keeps_its_own_state(mill: Mill) -> None:
    """
    Section 7.1, 9.15: the default command has the pipeline's id as suffix of its state id, so that two pipelines do not share one.
    """
    write_project(mill.project)
    pair = ["tap-jsonl", "target-jsonl"]
    first, second = (
        await mill.pipeline("first", dataComponents=pair),
        await mill.pipeline("second", dataComponents=pair),
    )

    job = await mill.run(first)

    assert (job["status"], job["exitCode"]) == ("COMPLETE", 0), await mill.logs(job["id"])
    (file,) = _output(mill, job["id"])
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == [1, 2]
    (metrics,) = (await mill.client.get(f"pipelines/{first}/metrics")).json()
    assert metrics == {"metrics.job-created": job["created"], "metrics.value": 2}
    assert list(await _states(mill, first)) == [f"dev:tap-jsonl-to-target-jsonl:{first}"]
    assert _files_read(await _states(mill, first)) == [str(mill.places / first / "project" / "data.jsonl")]
    assert await _states(mill, second) == {}

    again, other = await mill.run(first), await mill.run(second)

    assert again["status"] == other["status"] == "COMPLETE"
    assert "No state was found" not in await mill.logs(again["id"])
    assert _files_read(await _states(mill, first)) == [str(mill.places / first / "project" / "data.jsonl")]
    assert _DISCOVERY in await mill.logs(job["id"])
    assert _DISCOVERY not in await mill.logs(again["id"])
    assert _DISCOVERY in await mill.logs(other["id"])
    assert "No state was found" in await mill.logs(other["id"])
    assert not list(Path(mill.house.files.folder("jobs")).glob("*/*/*/*/project/.meltano"))


async def test_a_catalog_is_discovered_anew_when_what_defines_it_changes(mill: Mill) -> None:
    """
    Section 7.1: a catalog is never used with other settings, nor with another project; it goes with its pipeline.
    """
    write_project(mill.project)
    fields: dict[str, Any] = {"label": "daily", "dataComponents": ["tap-jsonl", "target-jsonl"]}
    pipeline = await mill.pipeline(**fields)
    first = await mill.run(pipeline)
    changed = {**fields, "properties": {"tap-jsonl.api_token": "t0ken-of-another"}}
    await mill.client.put(f"{mill.workspace}/pipelines/{pipeline}", json=changed)
    await mill.work()

    other_settings = await mill.run(pipeline)
    (mill.project / "data.jsonl").write_text('{"id": 1, "name": "a", "gate": "B4"}\n')
    other_file = await mill.run(pipeline)

    for job in (first, other_settings, other_file):
        assert job["status"] == "COMPLETE", await mill.logs(job["id"])
        assert _DISCOVERY in await mill.logs(job["id"])
    (written,) = _output(mill, other_file["id"])
    assert [json.loads(line)["gate"] for line in written.read_text().splitlines()] == ["B4"]

    assert (await mill.client.delete(f"pipelines/{pipeline}")).status_code == 204
    assert await mill.house.database.all("select extractor from pipeline_catalog", {}) == []


async def test_a_failing_tap_is_an_error_that_says_why(mill: Mill) -> None:
    """
    Section 7.3: Meltano ends with 1, whatever the tap's own code was; the cause is the tap's last word.
    """
    write_project(mill.project, script="broken")

    job = await mill.run(await mill.pipeline("broken", dataComponents=["tap-broken", "target-jsonl"]))
    detailed = await mill.job(job["id"], **{"enable-task-details": "true"})

    assert (job["status"], job["exitCode"]) == ("ERROR", 1)
    assert "the source is not there" in await mill.logs(job["id"])
    assert detailed["arguments"][:2] == ["meltano", "run"]


async def test_a_stop_ends_meltano_and_its_plugins(mill: Mill) -> None:
    """
    Section 7.3: TERM to the whole group, exit 143, no process left.
    """
    write_project(mill.project, script="sleepy")
    pipeline = await mill.pipeline("slow", dataComponents=["tap-sleepy", "target-jsonl"])
    job = await mill.create(pipeline)
    working = asyncio.create_task(mill.work())
    async with asyncio.timeout(90):
        while "asleep" not in await mill.logs(job["id"]):  # noqa: ASYNC110 - another process prints it
            await asyncio.sleep(0.1)

    await mill.client.put(f"jobs/{job['id']}/stopped")
    await asyncio.wait_for(working, 30)
    after = await mill.job(job["id"])

    assert (after["status"], after["exitCode"]) == ("STOPPED", 143)


async def test_a_component_under_a_name_of_its_own_inherits_its_plugin(mill: Mill) -> None:
    """
    Section 1: many components per plugin, each with its own properties, which reach it as variables of its name.
    """
    write_project(mill.project, path="missing.jsonl")
    (mill.project / "other.jsonl").write_text('{"id": 9}\n')
    component = "5c2f7c55-6c0b-4f5d-9a57-6f9f4d3c0001"
    made = await mill.client.put(
        f"{mill.workspace}/datacomponents/{component}",
        json={"name": "flights", "dataPlugin": "extractors/tap-jsonl", "properties": {"path": "other.jsonl"}},
    )

    job = await mill.run(await mill.pipeline("named", dataComponents=["flights", "target-jsonl"]))

    assert made.status_code == 201, made.text
    assert job["status"] == "COMPLETE", await mill.logs(job["id"])
    (file,) = _output(mill, job["id"])
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == [9]


@row("3 J8")
async def test_a_verification_tries_the_extractor_and_installs_nothing(mill: Mill) -> None:
    """
    Meltano reads one record with the pipeline's settings; the environments that other jobs share stay as they are.
    """
    write_project(mill.project)
    pipeline = await mill.pipeline("tested", dataComponents=["tap-jsonl", "target-jsonl"])

    async def verify() -> dict[str, object]:
        made = (await mill.client.post(f"pipelines/{pipeline}/verification")).json()
        await mill.work()
        return await mill.job(made["id"], **{"enable-task-details": "true"})

    good = await verify()
    write_project(mill.project, path="missing.jsonl")
    bad = await verify()
    said = [await mill.logs(str(job["id"])) for job in (good, bad)]

    assert (good["status"], good["exitCode"]) == ("COMPLETE", 0), said[0]
    assert (bad["status"], bad["exitCode"]) == ("ERROR", 1), said[1]
    assert "Plugin configuration is invalid" in str(bad["errorMessage"])
    assert not any("nstalling" in each or "Creating virtual environment" in each for each in said)


@row("6.5 FAILED")
async def test_a_pipeline_of_an_unknown_package_is_failed_and_says_so(mill: Mill) -> None:
    """
    Section 6.5: a configuration that cannot be made leaves the pipeline FAILED; the job's log says what the installer said.
    """
    write_project(mill.project, package="headrace-no-such-package==1")

    pipeline = await mill.pipeline("lost", dataComponents=["tap-jsonl", "target-jsonl"])
    shown = (await mill.client.get(f"pipelines/{pipeline}")).json()
    (config,) = (await mill.client.get(f"pipelines/{pipeline}/jobs")).json()["_embedded"]["jobs"]

    assert shown["status"] == "FAILED"
    assert (config["type"], config["status"]) == ("PIPELINE_CONFIG", "ERROR")


async def test_a_verification_shows_the_streams_of_its_extractor(mill: Mill) -> None:
    """
    Section 5.3: `streams` of a component are filled by verification, with what the selection rules make of each field.
    """
    write_project(mill.project)
    await mill.deployments.tick()
    pair = ["tap-jsonl", "target-jsonl"]
    pipeline = await mill.pipeline("x", dataComponents=pair, properties={"tap-jsonl._select": '["flights.id"]'})

    job = (await mill.client.post(f"pipelines/{pipeline}/verification")).json()
    await mill.work()
    await mill.follow_ups.tick()

    assert (await mill.job(job["id"]))["status"] == "COMPLETE", await mill.logs(job["id"])
    listed = (await mill.client.get(f"{mill.workspace}/datacomponents")).json()["_embedded"]["datacomponents"]
    (tap,) = [each for each in listed if each["name"] == "tap-jsonl"]
    (stream,) = tap["streams"]
    fields = {each["name"]: each["selected"] for each in stream["fields"]}
    assert (stream["name"], stream["selected"]) == ("flights", "SELECTED")
    assert (fields["id"], fields["name"]) == ("AUTOMATIC", "EXCLUDED")
    changed = await mill.client.put(f"datacomponents/{tap['id']}", json={"properties": {"api_token": "t"}})
    assert changed.json()["streams"] == tap["streams"]
