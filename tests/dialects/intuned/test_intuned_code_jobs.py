"""
Jobs and sessions that are files of an automation project.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from intuned_kit import BODY
from session_kit import Shop

from headrace.dialects.intuned.code_jobs import CodeJobs

DEFINITION = {"payload": BODY["payload"], "configuration": {"maxConcurrentRequests": 2}}


@pytest.fixture
def files(project_folder: Path) -> Path:
    folder = project_folder / "automations" / "demo" / "intuned-resources" / "jobs"
    (folder / "nightly").mkdir(parents=True)
    return folder


@pytest.fixture
def code_jobs(api: Any) -> CodeJobs:
    services = api.services
    return CodeJobs(services.automations, services.batches, services.sessions, workspaces=api.kit.house.workspaces.all)


async def names(api: Any) -> dict[str, str]:
    return {job["id"]: job["source"] for job in (await api("GET", "/jobs")).json()}


async def test_a_file_defines_a_job_that_runs_and_is_changed_in_the_file_alone(
    api: Any, files: Path, code_jobs: CodeJobs
) -> None:
    """
    It is named after its file, in whatever folder; the API can pause it, but neither update nor delete it.
    """
    (files / "nightly" / "map.job.jsonc").write_text(f"// twice\n{json.dumps(DEFINITION)}")

    await code_jobs.tick()

    assert await names(api) == {"map": "CODE"}
    assert (await api("GET", "/jobs/map")).json()["configuration"]["maxConcurrentRequests"] == 2
    assert (await api("PUT", "/jobs/map", DEFINITION)).status_code == 400
    assert (await api("DELETE", "/jobs/map")).status_code == 400
    assert (await api("POST", "/jobs/map/pause")).status_code == 200
    assert (await api("POST", "/jobs/map/resume")).status_code == 200
    assert (await api("POST", "/jobs/map/trigger")).status_code == 200


async def test_what_the_files_say_comes_into_force_and_goes(api: Any, files: Path, code_jobs: CodeJobs) -> None:
    """
    A change, a file that is gone, and one that goes wrong: that leaves its job as it was. The API's own jobs stay.
    """
    await api.create()
    for name in ("changed", "gone", "wrong", BODY["id"]):
        (files / f"{name}.job.json").write_text(json.dumps(DEFINITION))
    await code_jobs.tick()
    before = await names(api)

    (files / "changed.job.json").write_text(json.dumps({**DEFINITION, "configuration": {"maxConcurrentRequests": 7}}))
    (files / "gone.job.json").unlink()
    (files / "wrong.job.json").write_text(json.dumps({**DEFINITION, "payload": []}))
    await code_jobs.tick()

    assert before == {BODY["id"]: "API", "changed": "CODE", "gone": "CODE", "wrong": "CODE"}
    assert await names(api) == {BODY["id"]: "API", "changed": "CODE", "wrong": "CODE"}
    assert (await api("GET", "/jobs/changed")).json()["configuration"]["maxConcurrentRequests"] == 7
    assert (await api("GET", "/jobs/wrong")).json()["payload"] == BODY["payload"]
    assert (await api("GET", f"/jobs/{BODY['id']}")).json()["configuration"] == {}


async def test_a_file_defines_a_session_and_is_not_copied(shop: Shop, code_jobs: CodeJobs) -> None:
    """
    It is there at once, and made when it is first needed; one that is there stays. The copy that jobs run has neither the file nor the
    sessions that were made on a person's machine.
    """
    kept = shop.project / "auth-sessions-instances" / "ada" / "auth-session.json"
    files = shop.project / "intuned-resources" / "auth-sessions"
    for folder in (kept.parent, files):
        folder.mkdir(parents=True)
    kept.write_text('{"cookies": ["local-cookie"]}')
    (files / "ada.auth-session.jsonc").write_text(
        json.dumps({"parameters": {"password": "password-in-a-file"}}) + "// of the demo"
    )
    (files / "wrong.auth-session.json").write_text("{}")

    await code_jobs.tick()

    (session,) = (await shop("GET", "/auth-sessions")).json()
    assert (session["id"], session["type"], session["status"]) == ("ada", "CREDENTIALS", "EXPIRED")
    copies = [path for path in (shop.folder.parent / "files").rglob("*") if path.is_file()]
    secret = [
        path for path in copies if any(word in path.read_bytes() for word in (b"password-in-a-file", b"local-cookie"))
    ]
    assert [path.name for path in copies if path.name == "create.py"] == ["create.py"]
    assert secret == []


async def test_a_wrong_file_is_among_the_problems_until_it_is_right(api: Any, files: Path, code_jobs: CodeJobs) -> None:
    """
    Whatever is wrong with it, it leaves its own job and everything else of the project as they are.
    """
    (files / "map.job.json").write_text(json.dumps(DEFINITION))
    (files / "crawl.job.json").write_text(json.dumps(DEFINITION))
    await code_jobs.tick()
    wrong = {
        "map.job.json": "{",
        "nightly/crawl.job.jsonc": json.dumps(DEFINITION),
        "hourly.job.json": json.dumps({**DEFINITION, "schedule": {"calendars": [{"hour": 24}]}}),
        "no name.job.json": json.dumps(DEFINITION),
    }
    for name, text in wrong.items():
        (files / name).write_text(text)
    (files / "daily.job.json").write_text(json.dumps(DEFINITION))

    await code_jobs.tick()
    meanwhile = set(await names(api))
    problems = {problem.facts["resource"]: str(problem) for problem in api.services.automations.problems()}
    for name in wrong:
        (files / name).unlink()
    await code_jobs.tick()

    assert (meanwhile, set(await names(api))) == ({"map", "crawl", "daily"}, {"crawl", "daily"})
    assert set(problems) == {"map", "crawl", "hourly", "no name"}
    assert "(line 1)" in problems["map"]
    assert "Two files" in problems["crawl"]
    assert "schedule.calendars[0].hour" in problems["hourly"]
    assert api.services.automations.problems() == ()


async def test_packages_of_this_machine_are_not_copied(api: Any, project_folder: Path, code_jobs: CodeJobs) -> None:
    """
    A folder of Node's, which has more files than a job gets, is no reason to refuse the project.
    """
    folder = project_folder / "automations" / "demo"
    for number in range(2001):
        file = folder / "node_modules" / str(number // 100) / f"{number}.js"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (folder / "api" / "other.py").write_text("async def automation(params): ...")

    await code_jobs.tick()

    project = next(each for each in api.services.automations.projects if each.folder == folder)
    assert api.services.automations.problems() == ()
    assert "other" in project.apis
