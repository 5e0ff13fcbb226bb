"""
A site with a login, and a project that needs it: plain functions, so that a call costs a process and no browser.

The site is a folder: `valid` holds the token that it takes, `closed` is there while nobody can log in, and each function notes what it did
in a file of its own name.
"""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

from intuned_kit import Api

from headrace.services.automations import Automations

PROJECT = "shop"
PARAMETERS = {"user": "ada", "password": "pass-word-of-ada"}
TOKEN = "cookie-value-"

_CREATE = """
    import pathlib, uuid
    SITE = pathlib.Path({site!r})
    async def create(params):
        with open(SITE / "create", "a") as notes:
            notes.write(params["user"] + "\\n")
        if (SITE / "closed").exists() or params["password"] != "pass-word-of-ada":
            raise RuntimeError("the password " + params["password"] + " is wrong")
        token = "cookie-value-" + uuid.uuid4().hex
        (SITE / "valid").write_text(token)
        print("made", token)
        return {{"cookies": [{{"name": "sid", "value": token}}], "origins": []}}
    """
_CHECK = """
    import pathlib
    from headrace_automation import get_auth_session_state
    SITE = pathlib.Path({site!r})
    async def check(page):
        with open(SITE / "check", "a") as notes:
            notes.write("check\\n")
        token = (await get_auth_session_state())["cookies"][0]["value"]
        return (SITE / "valid").read_text() == token
    """
_READ = """
    import pathlib
    from intuned_runtime import get_auth_session_parameters, run_info
    from headrace_automation import get_auth_session_state
    SITE = pathlib.Path({site!r})
    async def automation(page, params):
        token = (await get_auth_session_state())["cookies"][0]["value"]
        if params.get("break") and not (SITE / "broken").exists():
            (SITE / "broken").write_text("")
            (SITE / "valid").write_text("another login")
        if (SITE / "valid").read_text() != token:
            raise RuntimeError("please log in, " + token)
        with open(SITE / "read", "a") as notes:
            notes.write(str(params.get("n")) + "\\n")
        user = (await get_auth_session_parameters())["user"]
        return {{"n": params.get("n"), "user": user, "session": run_info().auth_session_id}}
    """


class Shop:
    """
    Args:
        folder: of the site.
        project: folder of the project.
    """

    def __init__(self, api: Api, automations: Automations, folder: Path, project: Path) -> None:
        self.api = api
        self._automations = automations
        self.folder = folder
        self.project = project

    def write(self, **settings: Any) -> None:
        """
        Write the project.
        """
        self.folder.mkdir(exist_ok=True)
        (self.folder / "valid").write_text("nobody's")
        for path, text in (
            ("auth-sessions/create.py", _CREATE),
            ("auth-sessions/check.py", _CHECK),
            ("api/read.py", _READ),
        ):
            file = self.project / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text.format(site=str(self.folder))))
        (self.project / "Intuned.json").write_text(
            json.dumps(
                {
                    "projectName": PROJECT,
                    "replication": {"maxConcurrentRequests": 4},
                    "authSessions": {"enabled": True, **settings},
                }
            )
        )

    async def reload(self) -> None:
        """
        Put what was written into force.
        """
        await self._automations.reload()

    def count(self, what: str) -> int:
        """
        Say how often a function was called.
        """
        return len(self.notes(what))

    def notes(self, what: str) -> list[str]:
        file = self.folder / what
        return file.read_text().splitlines() if file.exists() else []

    def expire(self) -> None:
        """
        Let the site forget whoever is logged in.
        """
        (self.folder / "valid").write_text("nobody's")

    def close(self, closed: bool = True) -> None:
        """
        Let nobody log in any more; or again.
        """
        (self.folder / "closed").write_text("") if closed else (self.folder / "closed").unlink()

    async def __call__(self, method: str, path: str, body: Any = None) -> Any:
        return await self.api(method, path, body, project=PROJECT)

    async def post(self, path: str, body: Any, status: int = 201) -> dict[str, Any]:
        reply = await self("POST", path, body)
        assert reply.status_code == status, reply.text
        found: dict[str, Any] = reply.json()
        return found

    async def create(self, name: str = "ada", **fields: Any) -> dict[str, Any]:
        """
        Create a session and wait for the operation's end.
        """
        started = await self.post("/auth-sessions/create", {"id": name, "parameters": PARAMETERS, **fields})
        return await self.operation(f"/auth-sessions/create/{started['operationId']}/result")

    async def update(self, name: str = "ada", **fields: Any) -> dict[str, Any]:
        started = await self.post(f"/auth-sessions/{name}/update", {"parameters": PARAMETERS, **fields})
        return await self.operation(f"/auth-sessions/{name}/update/{started['operationId']}/result")

    async def validate(self, name: str = "ada", **fields: Any) -> dict[str, Any]:
        started = await self.post(f"/auth-sessions/{name}/validate/start", fields)
        return await self.operation(f"/auth-sessions/{name}/validate/{started['operationId']}/result")

    async def operation(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = {}

        async def over() -> bool:
            found.clear()
            found.update((await self("GET", path)).json())
            return found["status"] not in ("pending", "in_progress")

        await self.api.kit.until(over)
        return found

    async def session(self, name: str = "ada") -> dict[str, Any]:
        found: dict[str, Any] = (await self("GET", f"/auth-sessions/{name}")).json()
        return found

    async def job(self, numbers: list[int], **fields: Any) -> None:
        body = {
            "id": "reading",
            "payload": [{"apiName": "read", "parameters": {"n": n}} for n in numbers],
            "configuration": {"retry": {"maximumAttempts": 1}},
            "auth_session": {"id": "ada"},
            **fields,
        }
        await self.post("/jobs", body)

    async def trigger(self, job: str = "reading") -> str:
        return str((await self.post(f"/jobs/{job}/trigger", None, 200))["jobRunId"])

    async def job_run(self, run: str, job: str = "reading") -> dict[str, Any]:
        found: dict[str, Any] = (await self("GET", f"/jobs/{job}/runs/{run}")).json()["jobRun"]
        return found

    async def job_run_is(self, run: str, status: str) -> dict[str, Any]:
        """
        Wait for a status of a job run.
        """

        async def reached() -> bool:
            return bool((await self.job_run(run))["status"] == status)

        await self.api.kit.until(reached)
        return await self.job_run(run)

    async def start(self, session: Any = None, **fields: Any) -> str:
        body = {"api": "read", "parameters": {"n": 1}, "authSession": session or {"id": "ada"}, **fields}
        return str((await self.post("/run/start", body))["runId"])

    async def result(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = {}

        async def over() -> bool:
            found.clear()
            found.update((await self("GET", f"/run/{run}/result")).json())
            return found["status"] not in ("pending", "started")

        await self.api.kit.until(over)
        return found
