"""
A kept login on a whole server: made by another worker when the first is killed, used, expired, made again; and never in plain bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

from acceptance.intuned_client import IntunedClient
from acceptance.projects import ProjectFolder
from acceptance.running_server import eventually, running
from acceptance.test_secrets_at_rest import database_folder, found

PASSWORD = "login-s3cret-7d1be02f"

CREATE = """
    import asyncio, pathlib, uuid
    SITE = pathlib.Path({site!r})
    async def create(params):
        with open(SITE / "begun", "a") as notes:
            notes.write("begun\\n")
        while not (SITE / "go").exists():
            await asyncio.sleep(0.02)
        print("logging in with", params["password"])
        token = uuid.uuid4().hex
        (SITE / "valid").write_text(token)
        with open(SITE / "tokens", "a") as notes:
            notes.write(token + "\\n")
        print("made", "cookie-s3cret-" + token, "storage-s3cret-" + token)
        return {{
            "cookies": [{{"name": "sid", "value": "cookie-s3cret-" + token, "domain": "shop.test", "path": "/"}}],
            "origins": [{{"origin": "http://shop.test", "localStorage": [{{"name": "a", "value": "storage-s3cret-" + token}}]}}],
            "sessionStorage": [{{"origin": "http://shop.test", "sessionStorage": [{{"name": "b", "value": "storage-s3cret-" + token}}]}}],
        }}
    """
CHECK = """
    import pathlib
    from headrace_automation import get_auth_session_state
    SITE = pathlib.Path({site!r})
    async def check(page):
        state = await get_auth_session_state()
        print(state)
        return state["cookies"][0]["value"] == "cookie-s3cret-" + (SITE / "valid").read_text()
    """
READ = """
    from headrace_automation import get_auth_session_parameters, get_auth_session_state
    async def automation(page, params):
        state, given = await get_auth_session_state(), await get_auth_session_parameters()
        print(state, given)
        if params.get("fail"):
            raise RuntimeError("refused: " + state["cookies"][0]["value"] + given["password"])
        return {{"user": given["user"]}}
    """


def write_project(folder: Path, site: Path) -> Path:
    project = ProjectFolder(folder).folder
    shop = project / "automations" / "shop"
    for path, text in (("auth-sessions/create.py", CREATE), ("auth-sessions/check.py", CHECK), ("api/read.py", READ)):
        (shop / path).parent.mkdir(parents=True, exist_ok=True)
        (shop / path).write_text(dedent(text.format(site=str(site))))
    (shop / "Intuned.json").write_text(json.dumps({"authSessions": {"enabled": True}}))
    return project


class Client(IntunedClient):
    """With single runs of the function."""

    def run(self, **parameters: Any) -> dict[str, Any]:
        body = {"api": "read", "parameters": parameters, "authSession": {"id": "ada"}, "retry": {"maximumAttempts": 1}}
        return self.ended(f"/run/{self('POST', '/run/start', body)['runId']}/result")


def test_a_login_outlives_its_worker_and_is_never_in_plain_bytes(tmp_path: Path) -> None:
    """
    kill -9 of the worker while it logs in: another one does, and nobody else has meanwhile. Then logs, files, rows and the write-ahead log
    of whatever used the login are searched, while the server runs and after it has ended.
    """
    site = tmp_path / "site"
    site.mkdir()
    project = write_project(tmp_path / "project", site)
    settings = {"HEADRACE_WORKER_TTL_SECONDS": "10", "HEADRACE_WORKER_BEAT_SECONDS": "0.5"}
    with running(tmp_path / "home", project, **settings) as server:
        client = Client(server, "shop")
        started = client(
            "POST", "/auth-sessions/create", {"id": "ada", "parameters": {"user": "ada", "password": PASSWORD}}
        )
        update = client("POST", "/auth-sessions/ada/update", {"parameters": {"user": "ada", "password": PASSWORD}})
        eventually(lambda: lines(site / "begun") == 1, seconds=60, what="the login has begun")
        server.kill_worker()
        eventually(lambda: lines(site / "begun") == 2, seconds=120, what="another worker logs in")
        waiting = client("GET", f"/auth-sessions/ada/update/{update['operationId']}/result")
        (site / "go").touch()
        made = client.ended(f"/auth-sessions/create/{started['operationId']}/result")
        client.ended(f"/auth-sessions/ada/update/{update['operationId']}/result")
        good, bad = client.run(), client.run(fail=True)
        (site / "valid").write_text("nobody's")
        again = client.run()
        folders = [server.home, database_folder(server)]
        secrets = (PASSWORD, *(site / "tokens").read_text().split())
        running_finds = found(folders, *secrets)

    assert (made, waiting) == ({"status": "done", "authSessionId": "ada"}, {"status": "pending"})
    assert (good["result"], again["result"]) == ({"user": "ada"}, {"user": "ada"})
    assert (bad["status"], bad["error"]["message"]) == ("failed", "RuntimeError: refused: ******")
    assert lines(site / "begun") == 2 + 1 + 1
    assert len(secrets) == 1 + 3
    assert running_finds == []
    assert found(folders, *secrets) == []


def lines(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0
