"""
Our own description of the hotglue wire: for the two calls that hotglue documents the same contract in our words, for all others our own.

A test holds it against the pages "Run a V1 job" and "Poll job status" (API v1.2, OpenAPI 3.1.0) where they are at hand, and another against
the routes: none is missing, none is made up.
"""

from __future__ import annotations

from functools import cache

from headrace.dialects.hotglue.openapi_calls import CALLS, JOBS
from headrace.dialects.hotglue.openapi_parts import (
    ERROR,
    JSON,
    QUEUED,
    RUN_ANSWER,
    RUN_EXAMPLE,
    STATUS_ANSWER,
    STATUS_EXAMPLE,
    answer,
    object_with,
    our_refusals,
    path_parameters,
    root_parameter,
    run_properties,
)


@cache
def document() -> JSON:
    """
    Give the OpenAPI document of everything under `/hotglue`.
    """
    paths: dict[str, JSON] = {JOBS: {"post": _run()}, f"{JOBS}/status": {"get": _status()}}
    for call in CALLS:
        paths.setdefault(call.path, {})[call.method] = call.operation()
    return {
        "openapi": "3.1.0",
        "info": {"title": "Headrace: hotglue API", "version": "1.2"},
        "servers": [{"url": "/hotglue"}],
        "security": [{"sec0": []}],
        "paths": paths,
        "components": {"securitySchemes": {"sec0": {"type": "apiKey", "in": "header", "name": "x-api-key"}}},
    }


def _run() -> JSON:
    return {
        "summary": "Run a V1 job",
        "description": "Run a flow for a tenant; `queue_if_active_job` waits for the job that is in the way.",
        "operationId": "jobs-create",
        "parameters": path_parameters(JOBS),
        "requestBody": {
            "content": {"application/json": {"schema": {"type": "object", "properties": run_properties()}}}
        },
        "responses": {
            "200": answer("The job.", object_with(RUN_ANSWER), "Result", RUN_EXAMPLE),
            "202": answer(
                "The job waits for another one.",
                object_with(QUEUED),
                "Queued Job",
                {name: schema["example"] for name, schema in QUEUED.items()},
            ),
            "400": answer("The request cannot be run.", {"type": "object", "properties": {}}, "Result", {}),
            **our_refusals(),
        },
        "deprecated": False,
    }


def _status() -> JSON:
    return {
        "summary": "Poll job status",
        "description": "Show a job by the root that the run call answered with.",
        "operationId": "jobs-status",
        "parameters": [root_parameter(), *path_parameters(JOBS)],
        "responses": {
            "200": answer("The job.", object_with(STATUS_ANSWER), "Result", STATUS_EXAMPLE),
            "400": answer(
                "There is no such job.", object_with(ERROR), "Result", {name: ERROR[name]["example"] for name in ERROR}
            ),
            **our_refusals(),
        },
        "deprecated": False,
    }
