"""
Workspaces whose repository is read over ssh: which key opens it, where that lies, and which server is trusted.
"""

from __future__ import annotations

import getpass
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from git_kit import commit, new_repository
from matatika_mill import Mill
from ssh_kit import StandIn, free_port, new_key, server, why_no_server

from headrace.runners.git import GitRules

MELTANO = "default_environment: dev\nenvironments: [{name: dev}]\n"


async def _deployed(mill: Mill, workspace: str, **fields: Any) -> dict[str, Any]:
    """
    Make a workspace or change it, and deploy it; gives the job with its details.
    """
    put = await mill.client.put(f"workspaces/{workspace}", json={"name": "Flights", **fields})
    assert put.status_code in (200, 201), put.text
    await mill.work()
    await mill.follow_ups.tick()
    made = (await mill.client.post(f"workspaces/{workspace}/deployments")).json()
    await mill.work()
    await mill.follow_ups.tick()
    return await mill.job(made["id"], **{"enable-task-details": "true"})


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ssh://git@git.test:2222/{folder}/team/flights", ["-p", "2222", "git@git.test"]),
        ("git@git.test:team/flights", ["git@git.test"]),
    ],
)
async def test_a_deploy_key_opens_the_repository_and_is_seen_nowhere(
    mill: Mill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, words: list[str]
) -> None:
    """
    ssh gets the workspace's key in a file that is its owner's alone and goes with the clone; nobody is asked, and no other key is tried.
    """
    ssh = StandIn(tmp_path / "served")
    commit(new_repository(ssh.folder / "team" / "flights"), {"meltano.yml": MELTANO})
    ssh.install(monkeypatch)
    url = address.format(folder=str(ssh.folder)[1:])

    job = await _deployed(mill, str(uuid4()), repositoryUrl=url, sshPrivateKey=ssh.key.replace("\n", "\r\n").strip())

    assert job["status"] == "COMPLETE", await mill.logs(job["id"])
    asked = ssh.asked()[-1]
    assert (asked["key"], asked["modes"]) == (ssh.key, ["0o600", "0o700"])
    assert not Path(asked["file"]).exists()
    assert asked["argv"][-len(words) - 1 : -1] == words
    assert asked["argv"][:2] == ["-F", "/dev/null"]
    fixed = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "StrictHostKeyChecking": "accept-new",
    }
    assert fixed.items() <= asked["options"].items()
    left = [file for file in (tmp_path / "house").rglob("*") if file.is_file()]
    assert left
    assert not [file for file in left if b"b3BlbnNzaC1rZXk" in file.read_bytes()]
    rows = [str(await mill.house.database.all(f"select * from {table}")) for table in ("job", "job_plan", "resource")]
    assert "b3BlbnNzaC1rZXk" not in "".join(rows) + str(job) + await mill.logs(job["id"])


async def test_a_refused_key_says_so_and_the_right_one_mends_it(
    mill: Mill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Git's own last words fit every cause; the job names this one. A workspace without a key tries none, not the worker's own.
    """
    ssh = StandIn(tmp_path / "served")
    commit(new_repository(ssh.folder / "flights"), {"meltano.yml": MELTANO})
    ssh.install(monkeypatch)
    workspace, url = str(uuid4()), "git@git.test:flights"

    without = await _deployed(mill, workspace, repositoryUrl=url)
    wrong = await _deployed(mill, workspace, sshPrivateKey="-----BEGIN another-----")
    right = await _deployed(mill, workspace, sshPrivateKey=ssh.key)

    for job in (without, wrong):
        assert job["status"] == "ERROR"
        assert job["errorMessage"] == "The ssh server lets nobody in with the workspace's key, or without one."
        assert "Permission denied (publickey)" in await mill.logs(job["id"])
    assert ssh.asked()[0]["options"]["IdentityFile"] == "none"
    assert right["status"] == "COMPLETE", await mill.logs(right["id"])


@pytest.mark.chaos
@pytest.mark.skipif(bool(why_no_server()), reason=why_no_server() or "there is a server")
async def test_openssh_lets_the_key_in_and_another_host_key_is_refused(mill: Mill, tmp_path: Path) -> None:
    """
    A server that is met for the first time is noted; one that shows another key later gets nothing, whatever path the home has.
    """
    home = tmp_path / "a %h home"
    home.mkdir()
    mill.commands._git = replace(GitRules(schemes=("ssh",)), known_hosts=home / "git_known_hosts")
    repository = new_repository(tmp_path / "flights")
    commit(repository, {"meltano.yml": MELTANO})
    keys = {name: new_key(tmp_path / name) for name in ("host", "other-host", "deploy", "other")}
    workspace, port = str(uuid4()), free_port()
    url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{repository}"

    with server(tmp_path, host_key=keys["host"], opens=keys["deploy"], port=port):
        right = await _deployed(mill, workspace, repositoryUrl=url, sshPrivateKey=keys["deploy"].read_text())
        wrong = await _deployed(mill, workspace, sshPrivateKey=keys["other"].read_text())
        unreadable = await _deployed(mill, workspace, sshPrivateKey=Path(f"{keys['deploy']}.pub").read_text())
    with server(tmp_path, host_key=keys["other-host"], opens=keys["deploy"], port=port):
        changed = await _deployed(mill, workspace, sshPrivateKey=keys["deploy"].read_text())
    nobody = await _deployed(mill, workspace)

    assert right["status"] == "COMPLETE", await mill.logs(right["id"])
    assert f"[127.0.0.1]:{port} ssh-ed25519 " in (home / "git_known_hosts").read_text()
    assert [job["errorMessage"] for job in (wrong, unreadable, changed, nobody)] == [
        "The ssh server lets nobody in with the workspace's key, or without one.",
        "ssh cannot read the workspace's `sshPrivateKey`.",
        "The ssh server shows another host key than when it was first met.",
        "The repository's server does not answer.",
    ]
