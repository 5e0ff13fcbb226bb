"""
Our own description of the hotglue wire: for the two calls that hotglue documents, the same contract in our words.

A test holds it against the pages "Run a V1 job" and "Poll job status" (API v1.2, OpenAPI 3.1.0) where they are at hand.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from headrace.dialects.hotglue.project import STATUSES

_JSON = dict[str, Any]


@cache
def document() -> _JSON:
    """
    Give the OpenAPI document of everything under `/hotglue`.
    """
    jobs = "/{env_id}/{flow_id}/{tenant}/jobs"
    return {
        "openapi": "3.1.0",
        "info": {"title": "Headrace: hotglue API", "version": "1.2"},
        "servers": [{"url": "/hotglue"}],
        "security": [{"sec0": []}],
        "paths": {
            jobs: {"post": _run(), "get": _history()},
            f"{jobs}/status": {"get": _status()},
            f"{jobs}/latest": {"get": _latest()},
            f"{jobs}/kill": {"post": _kill("jobs-kill"), "delete": _kill("jobs-kill-delete")},
            f"{jobs}/logs": {"get": _logs()},
        },
        "components": {"securitySchemes": {"sec0": {"type": "apiKey", "in": "header", "name": "x-api-key"}}},
    }


def _run() -> _JSON:
    return {
        "summary": "Run a V1 job",
        "description": "Run a flow for a tenant; `queue_if_active_job` waits for the job that is in the way.",
        "operationId": "jobs-create",
        "parameters": _path_parameters(),
        "requestBody": {
            "content": {"application/json": {"schema": {"type": "object", "properties": _run_properties()}}}
        },
        "responses": {
            "200": _answer("The job.", _schema(_RUN_ANSWER), "Result", _RUN_EXAMPLE),
            "202": _answer(
                "The job waits for another one.",
                _schema(_QUEUED),
                "Queued Job",
                {name: schema["example"] for name, schema in _QUEUED.items()},
            ),
            "400": _answer("The request cannot be run.", {"type": "object", "properties": {}}, "Result", {}),
            **_our_refusals(),
        },
        "deprecated": False,
    }


def _status() -> _JSON:
    return {
        "summary": "Poll job status",
        "description": "Show a job by the root that the run call answered with.",
        "operationId": "jobs-status",
        "parameters": [_root_parameter(), *_path_parameters()],
        "responses": {
            "200": _answer("The job.", _schema(_STATUS_ANSWER), "Result", _STATUS_EXAMPLE),
            "400": _answer(
                "There is no such job.", _schema(_ERROR), "Result", {name: _ERROR[name]["example"] for name in _ERROR}
            ),
            **_our_refusals(),
        },
        "deprecated": False,
    }


def _history() -> _JSON:
    filters = [
        _query("entity_id", "string", "Only jobs of this tap, or target."),
        _query("entity_type", "string", "What `entity_id` names: `source` or `target`."),
        _query("count", "integer", "Jobs at most, up to 1000; 50 when left out. `limit` means the same."),
        _query("limit", "integer", "See `count`."),
    ]
    schema = {"type": "array", "items": _schema(_RUN_ANSWER)}
    return _ours("Job history, newest first", "jobs-list", filters, schema)


def _latest() -> _JSON:
    filters = [
        _query("entity_id", "string", "Only jobs of this tap, or target."),
        _query("entity_type", "string", "What `entity_id` names: `source` or `target`."),
    ]
    return _ours("The latest job; an empty object when there is none", "jobs-latest", filters, _schema(_RUN_ANSWER))


def _kill(operation_id: str) -> _JSON:
    operation = _ours(
        "End a job that has not ended",
        operation_id,
        [_query("job_root", "string", "Root of the job.")],
        _schema(_RUN_ANSWER),
    )
    body = {"type": "object", "properties": {"job_root": {"type": "string", "description": "In place of the query."}}}
    if operation_id == "jobs-kill":
        operation["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return operation


def _logs() -> _JSON:
    parameters = [
        _root_parameter(),
        _query("format", "string", "`ndjson` for one JSON object a line; else plain text."),
        _query("after", "integer", "Only lines with numbers above this."),
    ]
    operation = _ours("The job's log so far", "jobs-logs", parameters, {})
    text = {"schema": {"type": "string"}}
    operation["responses"]["200"]["content"] = {"text/plain": text, "application/x-ndjson": text}
    return operation


def _ours(summary: str, operation_id: str, parameters: list[_JSON], schema: _JSON) -> _JSON:
    return {
        "summary": summary,
        "operationId": operation_id,
        "parameters": [*parameters, *_path_parameters()],
        "responses": {
            "200": {"description": summary, "content": {"application/json": {"schema": schema}}},
            "400": {"description": "Refused.", "content": {"application/json": {"schema": _schema(_ERROR)}}},
            **_our_refusals(),
        },
    }


def _our_refusals() -> _JSON:
    told = {
        "403": "No key, an unknown one, or one that may not do this.",
        "413": "The body is too large.",
        "415": "The body is encoded.",
        "503": "The database does not answer; try again after the seconds of Retry-After.",
    }
    content = {"application/json": {"schema": _schema(_ERROR)}}
    return {status: {"description": description, "content": content} for status, description in told.items()}


def _answer(description: str, schema: _JSON, name: str, example: _JSON) -> _JSON:
    content = {"application/json": {"examples": {name: {"value": example}}, "schema": schema}}
    return {"description": description, "content": content}


def _schema(properties: _JSON) -> _JSON:
    return {"type": "object", "properties": properties}


def _path_parameters() -> list[_JSON]:
    told = {"env_id": "Name or UUID of the environment", "flow_id": "Id of the flow", "tenant": "Id of the tenant"}
    return [
        {"name": name, "in": "path", "description": description, "schema": {"type": "string"}, "required": True}
        for name, description in told.items()
    ]


def _root_parameter() -> _JSON:
    return {**_query("job_root", "string", "Root of the job: `s3_root` of the run call's reply"), "required": True}


def _query(name: str, kind: str, description: str) -> _JSON:
    return {"name": name, "in": "query", "description": description, "schema": {"type": kind}}


def _text(example: str) -> _JSON:
    return {"type": "string", "example": example}


def _run_properties() -> _JSON:
    def option(kind: str, description: str, **more: str) -> _JSON:
        return {"type": kind, "description": description, **more}

    return {
        "state": option(
            "object", "Data for the job; with the tap `api`, the records by stream. Not the source's state."
        ),
        "tap": option("string", "The source; `api` for data that come with the request."),
        "job_name": option("string", "A name; made up when left out."),
        "override_start_date": option("string", "Read from this time on; ignores the saved state.", format="date-time"),
        "reset_source_state": option("boolean", "Forget the source's saved state first: a full sync."),
        "streaming_job": option("boolean", "Tap straight to target, without a script."),
        "override_selected_tables": option("object", "Selection of unified objects for this job."),
        "override_field_map": option("object", "Field map for this job."),
        "override_end_date": option("string", "Read until this time, where the tap can.", format="date-time"),
        "override_source_config": option("object", "Settings of the source for this job; never saved."),
        "override_target_config": option("object", "Settings of the target for this job; never saved."),
        "ignore_parallel_jobs": option("boolean", "Run beside other jobs of this flow and tenant."),
        "queue_if_active_job": option("boolean", "Wait for the job that is in the way; else that is an error."),
        "environment_variables": option("object", "Variables for this job's processes; never saved."),
    }


_STATUS_WORD: _JSON = {"type": "string", "enum": list(STATUSES)}

_RUN_ANSWER: _JSON = {
    "job_id": _text("37g_DK"),
    "env_id": _text("mydomain.hotglue.xyz"),
    "flow_id": _text("l8odS2mce"),
    "job_name": _text("l8odS2mce-chargebee-20220119-153011"),
    "tenant": _text("12598713"),
    "started_by": _text("12598713"),
    "s3_root": _text("12598713/flows/l8odS2mce/jobs/2022/01/4/19/15/37g_DK"),
    "start_time": _text("2022-01-19T15:30:11.731333+00:00"),
    "state": {"type": "object", "properties": {}},
    "tap": _text("chargebee"),
    "status": {**_STATUS_WORD, "example": "JOB_CREATED"},
    "scheduled_job": {"type": "boolean", "example": True, "default": True},
    "message": _text("..."),
    "last_updated": _text("2022-01-19T15:35:13.982380+00:00"),
    "processed_rows": {"type": "integer", "example": 0, "default": 0},
}
_RUN_EXAMPLE: _JSON = {name: schema.get("example", {}) for name, schema in _RUN_ANSWER.items()}

_QUEUED: _JSON = {
    "message": _text("Job has been queued. It will run when available"),
    "reason": _text("There is a job currently running"),
}

_STATUS_ANSWER: _JSON = {
    "job_id": _text("lmaEbA"),
    "env_id": _text("dev.example-env.hotglue.xyz"),
    "job_name": _text("test_job:_V-vgdlLN"),
    "tenant": _text("default"),
    "started_by": _text("default"),
    "flow": _text("l8odS2mce"),
    "s3_root": _text("default/flows/l8odS2mce/jobs/lmaEbA"),
    "start_time": _text("2020-12-30T18:01:01.828266+00:00"),
    "state": {"type": "object", "properties": {}},
    "tap": _text("quickbooks:sandbox"),
    "status": {**_STATUS_WORD, "example": "ETL_FAILED"},
    "message": _text("ETL error..."),
    "last_updated": _text("2020-12-30T20:31:00.081282+00:00"),
}
_STATUS_EXAMPLE: _JSON = {name: schema.get("example", {}) for name, schema in _STATUS_ANSWER.items()}

_ERROR: _JSON = {"Code": _text("Error"), "Message": _text("Invalid job_root supplied - job does not exist!")}
