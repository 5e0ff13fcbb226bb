"""
Workspaces made, changed and deleted over the wire, and their projects out of git repositories.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from git_kit import commit, git, new_repository, served
from matatika_mill import Mill
from matatika_rows import row

from headrace.core.errors import CallerError

MELTANO = "default_environment: dev\nenvironments: [{name: dev}]\n"


async def _make(mill: Mill, **fields: Any) -> str:
    """
    Make a workspace and let its first job run; gives its id.
    """
    workspace = str(uuid4())
    made = await mill.client.put(f"workspaces/{workspace}", json={"name": "Flights & more", **fields})
    assert (made.status_code, made.json()["status"]) == (201, "PROVISIONING"), made.text
    await _settle(mill)
    return workspace


async def _settle(mill: Mill) -> None:
    await mill.work()
    await mill.follow_ups.tick()
    await mill.work()


async def _get(mill: Mill, path: str) -> dict[str, Any]:
    found = await mill.client.get(path)
    assert found.status_code == 200, found.text
    return dict(found.json())


async def _latest_job(mill: Mill, workspace: str, kind: str) -> dict[str, Any]:
    jobs = (await _get(mill, f"workspaces/{workspace}/jobs"))["_embedded"]["jobs"]
    return next(job for job in jobs if job["type"] == kind)


@row("5.1 Initialise", "5.1 Create", "6.1 WORKSPACE_INIT")
async def test_a_workspace_is_made_by_initialise_and_put(mill: Mill) -> None:
    """
    Section 5.1: the id is the client's, a WORKSPACE_INIT job makes the project, and then the workspace is like any other.
    """
    fresh = (await mill.client.post("workspaces")).json()
    create = fresh["_links"]["create workspace"]
    assert create["type"] == "PUT"
    made = await mill.client.put(create["href"], json={"name": "Flights & more", "domains": ["example.org"]})
    assert (made.status_code, made.json()["id"], made.json()["status"]) == (201, fresh["id"], "PROVISIONING")
    here = f"workspaces/{fresh['id']}"

    await _settle(mill)

    after = await _get(mill, here)
    assert (after["name"], after["status"], after["domains"]) == ("Flights & more", "READY", ["example.org"])
    job = await _latest_job(mill, fresh["id"], "WORKSPACE_INIT")
    assert (job["status"], job["exitCode"]) == ("COMPLETE", 0)
    again = await mill.client.put(here, json={"name": "Flights", "defaultEnvironment": "prod"})
    assert (again.status_code, again.json()["name"], again.json()["domains"]) == (200, "Flights", ["example.org"])
    listed = (await _get(mill, "workspaces"))["_embedded"]["workspaces"]
    assert {each["name"] for each in listed} == {"demo", "Flights"}
    pipeline = str(uuid4())
    body = {"label": "hello", "dataComponents": [], "script": "echo in $MELTANO_ENVIRONMENT; ls"}
    assert (await mill.client.put(f"{here}/pipelines/{pipeline}", json=body)).status_code == 201
    await mill.work()
    run = await mill.run(pipeline)
    assert (run["status"], await mill.logs(run["id"])) == ("COMPLETE", "in prod\nmeltano.yml\n")


async def test_a_project_comes_out_of_its_repository_and_follows_its_deployments(mill: Mill, tmp_path: Path) -> None:
    """
    Section 5.1, J9: branch and directory are minded, the commit is told, a new commit counts from its deployment on.
    """
    repository = new_repository(tmp_path / "flights", branch="release/1")
    first = commit(
        repository,
        {"elsewhere.txt": "x", "data/meltano.yml": MELTANO, "data/pipelines/one.yml": "inline_script: ls -a\n"},
    )
    (repository / "data" / "passwd").symlink_to("/etc/passwd")
    (repository / "data" / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (repository / "data" / "run.sh").chmod(0o755)
    first = commit(repository, {})
    source = {"repositoryUrl": repository.as_uri(), "repositoryBranch": "release/1", "repositoryDirectory": "/data"}
    workspace = await _make(mill, **source)

    init = await _latest_job(mill, workspace, "WORKSPACE_INIT")
    assert (init["status"], init["commitId"]) == ("COMPLETE", first), await mill.logs(init["id"])
    (pipeline,) = (await _get(mill, f"workspaces/{workspace}/pipelines"))["_embedded"]["pipelines"]
    run = await mill.run(pipeline["id"])
    assert run["commitId"] == first
    assert (await mill.logs(run["id"])).split() == [".", "..", "meltano.yml", "pipelines", "run.sh"]

    after = {"data/pipelines/one.yml": "inline_script: ./run.sh\ntriggered_by: [deploy]\n"}
    second = commit(repository, after)
    assert (await _get(mill, f"pipelines/{pipeline['id']}"))["script"] == "ls -a"
    asked = await mill.client.post(f"workspaces/{workspace}/deployments")
    assert (asked.status_code, asked.json()["type"]) == (202, "WORKSPACE_DEPLOY")
    await _settle(mill)

    assert (await mill.job(asked.json()["id"]))["commitId"] == second
    latest = await _latest_job(mill, workspace, "PIPELINE_RUN")
    assert (latest["triggeredBy"], latest["status"], latest["commitId"]) == ("deploy", "COMPLETE", second)
    assert await mill.logs(latest["id"]) == "ran\n"


async def test_a_repository_with_a_password_is_opened_and_the_password_is_seen_nowhere(
    mill: Mill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Credentials of the address are sealed, masked wherever the address is shown, and reach git without standing in a command line.
    """
    commit(new_repository(tmp_path / "git" / "private"), {"meltano.yml": MELTANO})
    secret = "s3cret-p@ss"
    mill.allow_schemes("https", "ssh", "http")
    with served(tmp_path / "git", user="ada", password=secret) as address:
        url = address.replace("http://", "http://ada:s3cret-p%40ss@") + "/private/.git"
        workspace = await _make(mill, repositoryUrl=url)
        job = await _latest_job(mill, workspace, "WORKSPACE_INIT")
        assert job["status"] == "COMPLETE", await mill.logs(job["id"])

        shown = (await _get(mill, f"workspaces/{workspace}"))["repositoryUrl"]
        assert shown == address.replace("http://", "http://ada:***@") + "/private/.git"
        kept = await mill.client.put(f"workspaces/{workspace}", json={"name": "B", "repositoryUrl": shown})
        assert kept.status_code == 200
        deployed = (await mill.client.post(f"workspaces/{workspace}/deployments")).json()
        await _settle(mill)
        assert (await mill.job(deployed["id"]))["status"] == "COMPLETE"
        moved = shown.replace("127.0.0.1", "localhost")
        refused = await mill.client.put(f"workspaces/{workspace}", json={"repositoryUrl": moved})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "repositoryUrl")

        wrong = await mill.client.put(
            f"workspaces/{workspace}", json={"repositoryUrl": url.replace("s3cret", "wrong-one")}
        )
        assert wrong.status_code == 200
        failed = (await mill.client.post(f"workspaces/{workspace}/deployments")).json()
        await _settle(mill)
    after = await mill.job(failed["id"], **{"enable-task-details": "true"})
    assert after["status"] == "ERROR"
    seen = json.dumps(after) + await mill.logs(failed["id"]) + str(await _get(mill, f"workspaces/{workspace}"))
    for table in ("job", "job_plan", "resource", "event", "step"):
        seen += str(await mill.house.database.all(f"select * from {table}"))
    for word in ("s3cret", "wrong-one"):
        assert word not in seen
    left = [file for file in (tmp_path / "house").rglob("*") if file.is_file()]
    assert not [file for file in left if b"s3cret" in file.read_bytes()]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("repositoryUrl", "http://example.org/x.git"),
        ("repositoryUrl", "ext::sh -c touch% /tmp/x"),
        ("repositoryUrl", "--upload-pack=touch"),
        ("repositoryUrl", "/etc"),
        ("repositoryUrl", "ssh://-oProxyCommand=x/y"),
        ("repositoryUrl", "https://"),
        ("repositoryUrl", "https://example.org/a b"),
        ("repositoryBranch", "--upload-pack=x"),
        ("repositoryBranch", "a..b"),
        ("repositoryDirectory", "../other"),
        ("repositoryDirectory", "a/.git"),
        ("name", ""),
        ("domains", ["@example.org"]),
        ("domains", "example.org"),
        ("imageUrl", "https://example.org/x.png"),
        ("imageUrl", "data:" + "x" * 700_000),
        ("appProperties", ["x"]),
    ],
)
async def test_a_wrong_field_is_refused_by_its_name(shared_mill: Mill, field: str, value: Any) -> None:
    """
    Section 2.6: 400 with an error for the field, and nothing is made.
    """
    workspace = uuid4()

    refused = await shared_mill.client.put(f"workspaces/{workspace}", json={"name": "x", field: value})

    assert refused.status_code == 400, refused.text
    assert [error["field"] for error in refused.json()["errors"]] == [field]
    assert (await shared_mill.client.get(f"workspaces/{workspace}")).status_code == 404


async def test_a_clone_that_cannot_be_says_why_and_a_correction_starts_another(
    mill: Mill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    FAILED until an update starts the job again: no repository, no such directory, no git on the machine.
    """
    repository = new_repository(tmp_path / "flights")
    commit(repository, {"meltano.yml": MELTANO})
    workspace = await _make(mill, repositoryUrl=(tmp_path / "nothing").as_uri())
    assert (await _get(mill, f"workspaces/{workspace}"))["status"] == "FAILED"
    assert "Could not read from remote repository" in await mill.logs(
        (await _latest_job(mill, workspace, "WORKSPACE_INIT"))["id"]
    )

    right = {"repositoryUrl": repository.as_uri(), "repositoryDirectory": "data"}
    await mill.client.put(f"workspaces/{workspace}", json=right)
    await _settle(mill)
    job = await _latest_job(mill, workspace, "WORKSPACE_INIT")
    detailed = await mill.job(job["id"], **{"enable-task-details": "true"})
    assert detailed["errorMessage"] == "The repository has no directory data."

    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(tmp_path))
        await mill.client.put(f"workspaces/{workspace}", json={"repositoryDirectory": ""})
        await _settle(mill)
    job = await _latest_job(mill, workspace, "WORKSPACE_INIT")
    detailed = await mill.job(job["id"], **{"enable-task-details": "true"})
    assert detailed["errorMessage"] == "There is no git on this machine to clone the repository with."

    again = await mill.client.put(f"workspaces/{workspace}", json={})
    assert again.json()["status"] == "PROVISIONING"
    await _settle(mill)
    assert (await _get(mill, f"workspaces/{workspace}"))["status"] == "READY"


async def test_a_workspace_job_run_again_puts_its_project_in_force(mill: Mill, tmp_path: Path) -> None:
    """
    A rerun over the core API owes what the first job owed: what it clones is the workspace's project, and its definitions count.
    """
    address = (tmp_path / "late").as_uri()
    workspace = await _make(mill, repositoryUrl=address)
    failed = await _latest_job(mill, workspace, "WORKSPACE_INIT")
    assert ((await _get(mill, f"workspaces/{workspace}"))["status"], failed["status"]) == ("FAILED", "ERROR")
    files = {"meltano.yml": MELTANO, "pipelines/hello.yml": "inline_script: echo hello\n"}
    head = commit(new_repository(tmp_path / "late"), files)

    made = await mill.client.post(f"http://headrace.test/api/v1/jobs/{failed['id']}/rerun", json={})
    assert made.status_code in (200, 201, 202), made.text
    await _settle(mill)

    again = await _latest_job(mill, workspace, "WORKSPACE_INIT")
    assert (again["id"], again["status"], again["commitId"]) == (made.json()["id"], "COMPLETE", head)
    assert (await _get(mill, f"workspaces/{workspace}"))["status"] == "READY"
    (pipeline,) = (await _get(mill, f"workspaces/{workspace}/pipelines"))["_embedded"]["pipelines"]
    assert (pipeline["name"], pipeline["status"]) == ("hello", "READY")


async def test_a_former_repository_does_not_come_back_by_a_rerun(mill: Mill, tmp_path: Path) -> None:
    """
    Whoever gave the workspace another repository, or another key to it, deploys; an old job run again would undo that.
    """
    commit(new_repository(tmp_path / "former"), {"meltano.yml": MELTANO})
    as_it_was = {"repositoryUrl": (tmp_path / "former").as_uri(), "repositoryBranch": "main"}
    workspace = await _make(mill, **as_it_was)
    job = await _latest_job(mill, workspace, "WORKSPACE_INIT")
    as_it_was |= {"repositoryDirectory": "", "sshPrivateKey": ""}

    async def run_again_with(**fields: str) -> int:
        put = await mill.client.put(f"workspaces/{workspace}", json={**as_it_was, **fields})
        assert put.status_code == 200, put.text
        return (await mill.client.post(f"http://headrace.test/api/v1/jobs/{job['id']}/rerun", json={})).status_code

    assert await run_again_with(repositoryUrl=(tmp_path / "new").as_uri()) == 409
    for field in ("repositoryBranch", "repositoryDirectory", "sshPrivateKey"):
        assert await run_again_with(**{field: "another"}) == 409, field
    assert await run_again_with() == 201


async def test_nothing_of_a_repository_runs_while_it_is_cloned(mill: Mill, tmp_path: Path) -> None:
    """
    No hooks, no filters, no submodules: a repository is only read.
    """
    outside = new_repository(tmp_path / "outside")
    commit(outside, {"secret.txt": "x"})
    repository = new_repository(tmp_path / "flights")
    trap = f"touch {tmp_path}/trap"
    commit(
        repository,
        {
            "meltano.yml": MELTANO,
            ".gitattributes": "* filter=trap\n",
            ".gitmodules": f'[submodule "sub"]\n\tpath = sub\n\turl = {outside.as_uri()}\n',
        },
    )
    git(repository, "config", "uploadpack.packObjectsHook", trap)
    git(repository, "config", "filter.trap.smudge", trap)
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{trap}\n")
    hook.chmod(0o755)

    workspace = await _make(mill, repositoryUrl=repository.as_uri())

    assert (await _get(mill, f"workspaces/{workspace}"))["status"] == "READY"
    assert not (tmp_path / "trap").exists()


@row("5.1 Delete")
async def test_a_deleted_workspace_takes_with_it_what_is_its(mill: Mill) -> None:
    """
    Pipelines, jobs, files, logs, schedules, keys and profiles go; its waiting job ends; everybody else keeps theirs.
    """
    workspace = await _make(mill)
    here = f"workspaces/{workspace}"
    key = await mill.house.access.make_key(
        name="its own", role="admin", workspace_id=(await mill.desk.doors.open(workspace)).id
    )
    theirs = mill.client_with(key)
    made = (await theirs.put(f"apikeys/{uuid4()}", json={"name": "another"})).json()
    await theirs.put(f"{here}/default")
    await mill.client.put(f"{here}/default")
    pipeline = str(uuid4())
    body = {"label": "hello", "dataComponents": [], "script": "echo hello", "schedule": "0 0 0 * * *"}
    await mill.client.put(f"{here}/pipelines/{pipeline}", json=body)
    await mill.work()
    done = await mill.run(pipeline)
    await mill.create(pipeline)  # waits
    other = await mill.pipeline("kept", script="echo kept")

    gone = await mill.client.delete(here)
    await mill.desk.workspaces.tick()

    assert gone.status_code == 204
    assert (await mill.client.get(here)).status_code == 404
    for path in (f"jobs/{done['id']}", f"pipelines/{pipeline}", f"{here}/pipelines"):
        assert (await mill.client.get(path)).status_code == 404, path
    for one in (theirs, mill.client_with(made["accessToken"])):
        assert (await one.get("workspaces")).status_code == 401
        await one.aclose()
    await theirs.aclose()
    tables = await mill.house.database.all(
        "select table_name as name from information_schema.columns where column_name = 'workspace_id' and table_schema = 'public'"
    )
    for table in tables:
        rows = await mill.house.database.all(
            f"select * from {table['name']} where workspace_id = %(id)s", {"id": workspace}
        )
        assert rows == [], table
    left = [str(file) for file in Path(mill.house.files.folder("jobs")).rglob("*") if done["id"] in str(file)]
    assert left == []
    assert not list(Path(mill.house.files.folder("logs")).glob(done["id"]))
    assert "defaultWorkspace" not in (await _get(mill, "profiles"))["_embedded"]["profiles"][0]
    assert (await mill.run(other))["status"] == "COMPLETE"
    assert await mill.house.database.one("select * from resource where kind = 'apikey'") is None


async def test_a_workspace_whose_job_runs_goes_when_the_job_has_ended(mill: Mill) -> None:
    """
    It is hidden at once; its running job is stopped, and only then its files go.
    """
    workspace = await _make(mill)
    pipeline = str(uuid4())
    body = {"label": "long", "dataComponents": [], "script": "echo begun; exec sleep 3456"}
    await mill.client.put(f"workspaces/{workspace}/pipelines/{pipeline}", json=body)
    await mill.work()
    job = await mill.create(pipeline)
    working = asyncio.create_task(mill.work())
    async with asyncio.timeout(60):
        while "begun" not in await mill.logs(job["id"]):  # noqa: ASYNC110 - another process prints it
            await asyncio.sleep(0.05)

    assert (await mill.client.delete(f"workspaces/{workspace}")).status_code == 204
    assert (await mill.client.get(f"workspaces/{workspace}")).status_code == 404
    taken = await mill.client.put(f"workspaces/{workspace}", json={"name": "again"})
    assert (taken.status_code, "being deleted" in taken.json()["message"]) == (409, True)
    await asyncio.wait_for(working, 30)

    assert await mill.desk.workspaces.tick() == 1
    assert await mill.house.database.one("select * from job where workspace_id = %(id)s", {"id": workspace}) is None
    assert (await mill.client.put(f"workspaces/{workspace}", json={"name": "again"})).status_code == 201


async def test_who_may_make_and_delete_workspaces(mill: Mill) -> None:
    """
    headrace.yml owns its own; a key of one workspace makes no others; deleting is for administrators.
    """
    declared = await mill.client.delete(mill.workspace)
    assert declared.status_code == 409
    assert "headrace.yml" in declared.json()["message"]
    assert (await mill.client.get(mill.workspace)).json()["status"] == "READY"
    workspace = await _make(mill)
    mine = (await mill.desk.doors.open(workspace)).id
    for role, may_delete in (("viewer", False), ("developer", False), ("admin", True)):
        key = await mill.house.access.make_key(name=role, role=role, workspace_id=mine)
        client = mill.client_with(key)
        assert (await client.post("workspaces")).status_code == 403
        assert (await client.put(f"workspaces/{uuid4()}", json={"name": "x"})).status_code == 403
        assert (await client.delete(mill.workspace)).status_code == 403
        members = (await client.get(f"workspaces/{workspace}/members")).json()["_embedded"]["members"]
        assert role in {each["name"] for each in members}
        assert (await client.delete(f"workspaces/{workspace}")).status_code == (204 if may_delete else 403)
        await client.aclose()


async def test_of_many_that_make_the_same_workspace_one_is_told_so(mill: Mill) -> None:
    """
    Twenty at once: one 201, the others 200, and one job.
    """
    workspace = uuid4()

    answers = await asyncio.gather(*(mill.client.put(f"workspaces/{workspace}", json={"name": "x"}) for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    jobs = await _get(mill, f"workspaces/{workspace}/jobs")
    assert jobs["page"]["totalElements"] == 1


async def test_two_titles_that_sound_alike_get_two_names_in_paths(mill: Mill) -> None:
    """
    A name in paths is made of the title, and never taken from another workspace.
    """
    await _make(mill, name="Demo")
    await _make(mill, name="demo!")

    names = [each.name for each in await mill.desk.doors.all()]

    assert len(names) == len(set(names)) == 3
    with pytest.raises(CallerError):
        await mill.desk.doors.open("Demo")
