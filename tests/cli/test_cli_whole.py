"""
The command line on a whole server: the shapes that the stand-in speaks are those of the real one.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from acceptance.projects import ProjectFolder
from stand_in import ROOT, Said, headrace, job, step

READY_SECONDS = 120


@asynccontextmanager
async def serving(folder: Path, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """
    Run `headrace up` on the project and home in *folder*; on leaving its standard input ends, and so does it.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    with (folder / "server.log").open("wb") as log:
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "headrace.cli.main", "up", "--with-parent"),
            *("--project", "project", "--home", ".headrace", "--port", "0"),
            cwd=folder,
            env={**kept, "PYTHONPATH": str(ROOT), **variables},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    assert server.stdin
    assert server.stdout
    try:
        said = await asyncio.wait_for(server.stdout.readline(), READY_SECONDS)
        assert said.startswith(b"Headrace serves http://127.0.0.1:"), (folder / "server.log").read_text()[-3000:]
        yield server
    finally:
        server.stdin.close()
        await asyncio.wait_for(server.wait(), READY_SECONDS)


@pytest.fixture(scope="module")
async def folder() -> AsyncIterator[Path]:
    """
    A folder in which a server runs, whose home says where it is and by which key it is asked.
    """
    folder = Path(tempfile.mkdtemp(prefix="headrace-cli-", dir="/tmp"))
    folder.chmod(0o755)
    project = ProjectFolder(folder / "project", workspaces={"demo": {"settings": {"meltano": "meltano"}}})
    project.flow("plain", {"acme": {"mode": "good"}, "broken": {"mode": "exit-3"}, "stuck": {"mode": "hang"}})
    _write(
        folder / "project" / "meltano" / "meltano.yml",
        "version: 1\ndefault_environment: dev\nenvironments:\n- name: dev\n",
    )
    _write(
        folder / "project" / "meltano" / "pipelines" / "daily.yml",
        "version: pipelines/v0.1\ninline_script: echo hello\n",
    )
    automation = folder / "project" / "automations" / "shop"
    _write(automation / "Intuned.json", "{}")
    _write(automation / "api" / "add.py", "async def automation(params):\n    return params['a'] + params['b']\n")
    two = [{"apiName": "add", "parameters": {"a": 1, "b": number}} for number in (2, "x")]
    batch = {"payload": two, "configuration": {"maxConcurrentRequests": 1, "retry": {"maximumAttempts": 1}}}
    _write(automation / "intuned-resources" / "jobs" / "sums.job.json", json.dumps(batch))
    async with serving(folder):
        yield folder
    shutil.rmtree(folder)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


async def test_a_job_is_run_and_followed(folder: Path) -> None:
    """
    From nothing but the folder to a completed job, and back to it by both its ids.
    """
    said = await headrace("run", "plain", "--tenant", "acme", "--follow", folder=folder)
    job_id = said.out.strip()
    shown = json.loads((await headrace("job", job_id, "--json", folder=folder)).out)
    by_short_id = await headrace("job", shown["public_id"], folder=folder)

    assert said.code == 0, said.err
    assert "✓ Completed in" in said.err
    assert (shown["id"], shown["state"]) == (job_id, "completed")
    assert "completed" in by_short_id.out


async def test_a_pipeline_is_run_by_its_name(folder: Path) -> None:
    """
    To its end, with its log; another name is refused with those that there are.
    """
    said = await headrace("pipeline", "run", "daily", "--follow", folder=folder)
    logs = await headrace("logs", said.out.strip(), folder=folder)
    wrong = await headrace("pipeline", "run", "dayly", folder=folder)

    assert said.code == 0, said.err
    assert "hello" in logs.out
    assert (await headrace("pipeline", "list", folder=folder)).out == "daily\n"
    assert wrong.code == 2
    assert "Known pipelines: daily." in wrong.err


@pytest.mark.parametrize("name", ["sums", "shop/sums"])
async def test_a_batch_is_run_by_its_name(folder: Path, name: str) -> None:
    """
    With or without its project; its items are listed each with its own cause, and the job's picture counts them.
    """
    said = await headrace("batch", "run", name, "--follow", "--json", folder=folder)
    ended = json.loads(said.out)
    items = json.loads((await headrace("items", ended["id"][:13], "--json", folder=folder)).out)

    assert said.code == 0, said.err
    assert [item["state"] for item in items] == ["completed", "failed"]
    assert "TypeError" in items[1]["cause"]["sentence"]
    assert "2 of 2 items ended, 1 failed" in (await headrace("job", ended["id"], folder=folder)).out
    assert (await headrace("batch", "list", folder=folder)).out == "shop/sums\n"


async def test_a_failure_is_1_and_says_why(folder: Path) -> None:
    """
    The tap's own exit code is the evidence.
    """
    said = await headrace("run", "plain", "--tenant", "broken", "--follow", folder=folder)

    assert said.code == 1
    assert "Failed after" in said.err
    assert "exit code" in said.err


async def test_a_second_job_is_refused_and_the_first_one_cancelled(folder: Path) -> None:
    """
    4 while a job of the tenant is active; 3 for who follows a job that is cancelled.
    """
    first = (await headrace("run", "plain", "--tenant", "stuck", folder=folder)).out.strip()
    refused = await headrace("run", "plain", "--tenant", "stuck", folder=folder)
    queued = asyncio.create_task(
        headrace("run", "plain", "--tenant", "stuck", "--queue", "--follow", "--json", folder=folder)
    )
    cancelled = await headrace("cancel", first, folder=folder)
    waiting = ""
    async with asyncio.timeout(30):
        while not waiting:
            found = await headrace("jobs", "--tenant", "stuck", "--json", folder=folder)
            waiting = next((one["id"] for one in json.loads(found.out) if one["id"] != first), "")
    await headrace("cancel", waiting, folder=folder)
    said = await queued

    assert refused.code == 4
    assert cancelled.out == f"{first}\n"
    assert said.code == 3
    assert json.loads(said.out)["state"] == "cancelled"


async def test_a_log_is_read(folder: Path) -> None:
    """
    What the tap wrote can be read, whole and by stage.
    """
    listed = await headrace("jobs", "--tenant", "broken", "--state", "failed", "--limit", "1", folder=folder)
    everything = await headrace("logs", listed.out.strip(), folder=folder)
    nothing = await headrace("logs", listed.out.strip(), "--stage", "nonsense", folder=folder)

    assert everything.code == 0
    assert " sync " in everything.out
    assert nothing.out == ""


async def test_a_key_opens_until_it_is_revoked(folder: Path) -> None:
    """
    A key made for one role may not do more; one taken back opens nothing.
    """
    made = (
        await headrace("keys", "add", "reader", "--role", "viewer", "--workspace", "demo", folder=folder)
    ).out.strip()
    reads = await headrace("jobs", "--limit", "1", "--key", made, folder=folder)
    runs = await headrace("run", "plain", "--tenant", "acme", "--key", made, folder=folder)
    listed = json.loads((await headrace("keys", "list", "--json", folder=folder)).out)
    key_id = next(one["id"] for one in listed if one["name"] == "reader")
    revoked = await headrace("keys", "revoke", key_id, folder=folder)
    refused = await headrace("jobs", "--key", made, folder=folder)

    assert (reads.code, runs.code, revoked.code, refused.code) == (0, 2, 0, 2)
    assert "lacks the right `run`" in runs.err
    assert "not known" in refused.err


async def test_flows_and_problems_are_told(folder: Path) -> None:
    """
    A mistake in a file costs its flow a word, not the server.
    """
    flows = await headrace("flows", folder=folder)
    problems = await headrace("problems", folder=folder)

    assert flows.out == "plain\n"
    assert (problems.code, problems.out) == (0, "The project folder has no mistakes.\n")


async def test_the_doctor_finds_the_server_well(folder: Path) -> None:
    """
    Ready, one worker alive.
    """
    said: Said = await headrace("doctor", "--project", "project", folder=folder)

    assert said.code == 0, said.out
    assert "is ready" in said.out
    assert "1 alive" in said.out


async def test_the_stand_in_shows_what_the_server_shows(folder: Path) -> None:
    """
    Every field that the stand-in's jobs and steps have is one of the real API's.
    """
    listed = json.loads((await headrace("jobs", "--json", "--limit", "1", folder=folder)).out)
    real = json.loads((await headrace("job", listed[0]["id"], "--json", folder=folder)).out)

    assert set(job()) <= set(real)
    assert set(step("sync", "running")) <= set(real["steps"][0])


async def test_up_ends_with_its_parent(tmp_path: Path, database_url: str) -> None:
    """
    When whoever started it with --with-parent is gone, the server stops as if asked to, and takes its word back.
    """
    ProjectFolder(tmp_path / "project")
    async with serving(tmp_path, HEADRACE_DATABASE_URL=database_url) as server:
        assert (tmp_path / ".headrace" / "server.json").exists()

    assert server.returncode == 0
    assert not (tmp_path / ".headrace" / "server.json").exists()
