"""
After jobs that used them, no secret stands in plain bytes anywhere in the server's home or its database's files.
"""

from __future__ import annotations

from pathlib import Path

from acceptance.projects import ProjectFolder
from acceptance.running_server import RunningServer, running

LINKED = "linked-s3cret-0f9a1c77"
ASKED = "asked-s3cret-5b2e88d1"
VARIABLE = "variable-s3cret-c4d70e36"
WEBHOOK = "webhook-s3cret-91ab33f8"
SECRETS = (LINKED, ASKED, VARIABLE, WEBHOOK)


def test_no_secret_is_in_plain_bytes(tmp_path: Path) -> None:
    """
    The tenant's setting, a request's override and variable, a webhook's secret: in a job that completes, one that fails and
    one that is killed; logs, job folders, database files and its write-ahead log are searched, while the server runs and after it has ended.
    """
    hook = {"url": "http://127.0.0.1:9/", "secret": WEBHOOK, "events": ["job-lifecycle"]}
    project = ProjectFolder(tmp_path / "project", workspaces={"demo": {"webhooks": [hook]}})
    tenants = {mode: {"mode": mode, "secret": LINKED} for mode in ("print-secret", "exit-3", "hang")}
    project.flow("plain", tenants, script="etl_good.py")
    body = {"override_source_config": {"refresh_token": ASKED}, "environment_variables": {"MY_TOKEN": VARIABLE}}
    with running(tmp_path / "home", project.folder) as server:
        for tenant in ("print-secret", "exit-3"):
            server.run("plain", tenant, body)
        job = server.submit("plain", "hang", body).json()
        server.wait_for(job, lambda record: record["status"] == "SYNC_STARTED")
        server.kill(job)
        server.wait(job)
        folders = [server.home, database_folder(server)]
        running_finds = found(folders, *SECRETS)

    assert running_finds == []
    assert found(folders, *SECRETS) == []
    assert [
        find for find in found(folders, "print-secret") if str(folders[1]) in find
    ]  # the search does reach the rows


def database_folder(server: RunningServer) -> Path:
    """
    Find where the embedded PostgreSQL keeps its data: run by root, that is not in the home.
    """
    commands = [process.cmdline() for process in server.processes() if process.name() == "postgres"]
    words = next(words for words in commands if "-D" in words)
    return Path(words[words.index("-D") + 1])


def found(folders: list[Path], *words: str) -> list[str]:
    """
    Name each file that has one of the words, and which.
    """
    finds = []
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            except FileNotFoundError:  # the server is at work
                continue
            finds += [f"{path}: {word}" for word in words if word.encode() in content]
    return finds
