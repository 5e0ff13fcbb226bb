"""
The calls of Intuned's clients, for tests.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import httpx2
from item_kit import Batches as BatchKit

from headrace.dialects.intuned.places import IntunedServices

BODY: dict[str, Any] = {
    "id": "demo-batch",
    "payload": [{"apiName": "map", "parameters": {"n": 1}}, {"apiName": "map", "parameters": {"n": 2}}],
    "configuration": {},
}


class Api:
    """
    The calls of the clients, by the path below a project.
    """

    def __init__(self, client: httpx2.AsyncClient, kit: BatchKit, services: IntunedServices) -> None:
        self.client = client
        self.kit = kit
        self.services = services

    async def __call__(self, method: str, path: str, body: Any = None, *, project: str = "demo", **options: Any) -> Any:
        """
        Make one call and give the reply.
        """
        content = json.dumps(body).encode() if body is not None else b""
        headers = {"content-type": "application/json"} if body is not None else {}
        return await self.client.request(
            method,
            f"/demo/projects/{project}{path}",
            content=content,
            headers={**headers, **options.pop("headers", {})},
            **options,
        )

    async def create(self, **fields: Any) -> None:
        reply = await self("POST", "/jobs", {**BODY, **fields})
        assert reply.status_code == 201, reply.text

    async def trigger(self, job: str = "demo-batch") -> str:
        reply = await self("POST", f"/jobs/{job}/trigger")
        assert reply.status_code == 200, reply.text
        return str(reply.json()["jobRunId"])

    async def job_run(self, run: str, job: str = "demo-batch") -> dict[str, Any]:
        found: dict[str, Any] = (await self("GET", f"/jobs/{job}/runs/{run}")).json()["jobRun"]
        return found

    async def ended(self, run: str) -> dict[str, Any]:
        """
        Wait until a job run has ended; workers have to be there.
        """
        await self.kit.ended(await self.kit.house.job(UUID(run)))
        return await self.job_run(run)

    async def start(self, api: str = "map", **fields: Any) -> str:
        reply = await self("POST", "/run/start", {"api": api, "parameters": {}, **fields})
        assert reply.status_code == 201, reply.text
        return str(reply.json()["runId"])

    async def result(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self("GET", f"/run/{run}/result")).json()
        return found
