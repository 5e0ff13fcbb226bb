"""
Mistakes of Meltano projects as the core API lists them, and stored projects that nothing needs any more.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from git_kit import commit, new_repository
from matatika_mill import Mill

from headrace.services.project_retention import ProjectRetention
from headrace.services.stored_projects import StoredProjects
from headrace.store import pruning

MELTANO = "default_environment: dev\nenvironments: [{name: dev}]\n"


async def _problems(mill: Mill) -> dict[str, dict[str, Any]]:
    answer = await mill.client.get("http://headrace.test/api/v1/problems")
    assert answer.status_code == 200, answer.text
    return {str(each["file"]): each for each in answer.json()["problems"]}


async def test_mistakes_of_a_project_are_listed_with_their_place_until_they_are_mended(mill: Mill) -> None:
    """
    What cannot be read, and what names something that is not there: file, line, workspace, remedy.
    """
    (mill.project / "meltano.yml").write_text(MELTANO + "schedules:\n- {name: lost, interval: '@daily', job: nobody}\n")
    pipelines = mill.project / "pipelines"
    pipelines.mkdir()
    (pipelines / "one.yml").write_text("inline_script: echo\n\ntimeout: soon\n")
    (pipelines / "two.yml").write_text("inline_script: echo\nrunn: x\n")
    (pipelines / "three.yml").write_text("inline_script: [\n")
    (pipelines / "four.yml").write_text("data_components: [nobody]\n")

    await mill.deployments.tick()
    found = await _problems(mill)

    assert {name: each["line"] for name, each in found.items()} == {
        "pipelines/one.yml": 3,
        "pipelines/two.yml": 2,
        "pipelines/three.yml": 2,
        "pipelines/four.yml": None,
        "meltano.yml": None,
    }
    assert found["pipelines/one.yml"]["reason"] == "timeout is not a whole number, 0 or more."
    assert "nobody" in found["pipelines/four.yml"]["instruction"]
    assert {each["facts"]["workspace"] for each in found.values()} == {"demo"}

    (mill.project / "meltano.yml").write_text("plugins:\n  extractors: tap-x\n")
    for file in pipelines.iterdir():
        file.unlink()
    await mill.deployments.tick()
    found = await _problems(mill)
    assert {name: each["line"] for name, each in found.items()} == {"meltano.yml": 2}

    (mill.project / "meltano.yml").write_text(MELTANO)
    await mill.deployments.tick()
    assert await _problems(mill) == {}


async def test_mistakes_in_a_repository_are_its_workspaces_alone(mill: Mill, tmp_path: Path) -> None:
    """
    A key of another workspace does not see them; they go with the workspace.
    """
    repository = new_repository(tmp_path / "flights")
    commit(repository, {"meltano.yml": MELTANO, "pipelines/one.yml": "timeout: soon\n"})
    workspace = f"workspaces/{uuid4()}"
    await mill.client.put(workspace, json={"name": "flights", "repositoryUrl": repository.as_uri()})
    await mill.work()
    await mill.follow_ups.tick()
    other = mill.client_with(
        await mill.house.access.make_key(name="x", role="admin", workspace_id=mill.house.workspace.id)
    )

    assert (await _problems(mill))["pipelines/one.yml"]["facts"]["workspace"] == "flights"
    assert (await other.get("http://headrace.test/api/v1/problems")).json()["problems"] == []
    await mill.client.delete(workspace)
    await mill.deployments.tick()
    assert await _problems(mill) == {}
    await other.aclose()


async def test_a_stored_project_is_kept_as_long_as_something_needs_it(mill: Mill, tmp_path: Path) -> None:
    """
    In force, in a job that is kept, or used within a day: it stays; else it goes, and comes back when it is used again.
    """
    days = 0
    stored = StoredProjects(mill.house.files)
    retention = ProjectRetention(
        mill.house.database, stored, mill.projects, clock=lambda: datetime.now(UTC) + timedelta(days=days)
    )
    repository = new_repository(tmp_path / "flights")
    commit(repository, {"meltano.yml": MELTANO, "of-the-repository.txt": ""})
    workspace = f"workspaces/{uuid4()}"
    await mill.client.put(workspace, json={"name": "flights", "repositoryUrl": repository.as_uri()})
    (mill.project / "meltano.yml").write_text(MELTANO)
    pipeline = await mill.pipeline(script="ls")
    job = await mill.run(pipeline)
    await mill.follow_ups.tick()
    (mill.project / "other.txt").write_text("x")
    again = await mill.run(pipeline)
    abandoned = tmp_path / "abandoned"
    abandoned.mkdir()
    (abandoned / "meltano.yml").write_text("default_environment: prod\n")
    lost = await stored.keep(abandoned, workspace_id=mill.house.workspace.id)

    assert await retention.tick() == 0
    days = 2
    assert await retention.tick() == 1
    assert await stored.unused_since(datetime.now(UTC) + timedelta(days=9)) != []
    assert not Path(mill.house.files.folder(f"projects/{lost}")).exists()
    for each in (job, again):
        await pruning.delete(mill.house.database, [UUID(each["id"])])
    configs = await mill.house.database.all("select id from job where details ->> 'type' = 'PIPELINE_CONFIG'")
    await pruning.delete(mill.house.database, [row["id"] for row in configs])
    assert await retention.tick() == 1
    await mill.client.delete(workspace)
    assert await retention.tick() == 1

    assert await stored.keep(abandoned, workspace_id=mill.house.workspace.id) == lost
    assert (await stored.read(lost)).project.default_environment == "prod"
    assert (await mill.run(pipeline))["status"] == "COMPLETE"
