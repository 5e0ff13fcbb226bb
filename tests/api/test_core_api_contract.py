"""
The core API keeps to its own OpenAPI document, whatever it is sent.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import schemathesis
import uvicorn
from fastapi import FastAPI
from house import ADMIN_KEY
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

_DISABLED = {
    # A request that fits the schema may still name a flow, a job or a workspace that is not there.
    "positive_data_acceptance",
}


@pytest.fixture
async def served(app: FastAPI) -> AsyncIterator[str]:
    """
    The API's address, on a real socket.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=2))
    serving = asyncio.create_task(running.serve(sockets=[listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"
    running.should_exit = True
    await serving
    listener.close()


async def test_every_operation_keeps_to_the_document_under_fuzzing(served: str, client: httpx2.AsyncClient) -> None:
    """
    Every answer has a documented status, form and content type; none is a 5xx; what the document forbids is refused.
    """
    runs = "/api/v1/flows/demo/flights/runs"
    made = await client.post(runs, json={"tenant": "acme", "ignore_parallel_jobs": True})
    document = (await client.get("/api/v1/openapi.json")).json()
    document["servers"] = [{"url": "/"}]
    _know_a_job(document, made.json()["id"])

    await asyncio.to_thread(_fuzz, served, document)


def _know_a_job(document: dict[str, Any], job_id: str) -> None:
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "job_id":
                    parameter["schema"] = {"anyOf": [{"enum": [job_id]}, {"type": "string", "format": "uuid"}]}


def _fuzz(url: str, document: dict[str, Any]) -> None:
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=url)
    schema.config.generation.update(with_security_parameters=False)  # a good key is sent; `ignored_auth` tries bad ones
    load_all_checks()
    checks = [CHECKS.get_one(name) for name in CHECKS.get_all_names() if name not in _DISABLED]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            modes = [GenerationMode.POSITIVE]
            if operation.get("parameters") or operation.get("requestBody"):
                modes.append(GenerationMode.NEGATIVE)
            for mode in modes:
                _fuzz_operation(schema[path][method.upper()], mode, checks)


def _fuzz_operation(operation: Any, mode: GenerationMode, checks: list[Any]) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=6, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    def send(case: schemathesis.Case) -> None:
        case.call_and_validate(headers={"x-api-key": ADMIN_KEY}, checks=checks)

    send()
