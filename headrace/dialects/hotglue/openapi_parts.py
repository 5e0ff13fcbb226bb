"""
Parts of the description of the hotglue wire: parameters, bodies and answers that several calls share.
"""

from __future__ import annotations

import re
from typing import Any

from headrace.dialects.hotglue.project import STATUSES

JSON = dict[str, Any]


def our_refusals() -> JSON:
    """
    Describe what any call may be refused with, besides a 400.
    """
    told = {
        "403": "No key, an unknown one, or one that may not do this.",
        "413": "The body is too large.",
        "415": "The body is encoded.",
        "503": "The database does not answer; try again after the seconds of Retry-After.",
    }
    content = {"application/json": {"schema": object_with(ERROR)}}
    return {status: {"description": description, "content": content} for status, description in told.items()}


def answer(description: str, schema: JSON, name: str, example: JSON) -> JSON:
    content = {"application/json": {"examples": {name: {"value": example}}, "schema": schema}}
    return {"description": description, "content": content}


def object_with(properties: JSON) -> JSON:
    """
    Describe an object that may have these fields, and others.
    """
    return {"type": "object", "properties": properties}


_PATH = {
    "env_id": "Name or UUID of the environment",
    "flow_id": "Id of the flow",
    "tenant": "Id of the tenant",
    "tap": "The source",
    "connector": "The connector, by any of its names",
    "connector_id": "The connector",
    "stream": "The stream that is written to",
}


def path_parameters(path: str) -> list[JSON]:
    """
    Describe what stands in braces in a path, in its order.
    """
    return [
        {"name": name, "in": "path", "description": _PATH[name], "schema": {"type": "string"}, "required": True}
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def root_parameter() -> JSON:
    return {**query("job_root", "string", "Root of the job: `s3_root` of the run call's reply"), "required": True}


def query(name: str, kind: str, description: str) -> JSON:
    return {"name": name, "in": "query", "description": description, "schema": {"type": kind}}


def text(example: str) -> JSON:
    return {"type": "string", "example": example}


STATUS_WORD: JSON = {"type": "string", "enum": list(STATUSES)}

RUN_ANSWER: JSON = {
    "job_id": text("37g_DK"),
    "env_id": text("mydomain.hotglue.xyz"),
    "flow_id": text("l8odS2mce"),
    "job_name": text("l8odS2mce-chargebee-20220119-153011"),
    "tenant": text("12598713"),
    "started_by": text("12598713"),
    "s3_root": text("12598713/flows/l8odS2mce/jobs/2022/01/4/19/15/37g_DK"),
    "start_time": text("2022-01-19T15:30:11.731333+00:00"),
    "state": {"type": "object", "properties": {}},
    "tap": text("chargebee"),
    "status": {**STATUS_WORD, "example": "JOB_CREATED"},
    "scheduled_job": {"type": "boolean", "example": True, "default": True},
    "message": text("..."),
    "last_updated": text("2022-01-19T15:35:13.982380+00:00"),
    "processed_rows": {"type": "integer", "example": 0, "default": 0},
}
RUN_EXAMPLE: JSON = {name: schema.get("example", {}) for name, schema in RUN_ANSWER.items()}

QUEUED: JSON = {
    "message": text("Job has been queued. It will run when available"),
    "reason": text("There is a job currently running"),
}

STATUS_ANSWER: JSON = {
    "job_id": text("lmaEbA"),
    "env_id": text("dev.example-env.hotglue.xyz"),
    "job_name": text("test_job:_V-vgdlLN"),
    "tenant": text("default"),
    "started_by": text("default"),
    "flow": text("l8odS2mce"),
    "s3_root": text("default/flows/l8odS2mce/jobs/lmaEbA"),
    "start_time": text("2020-12-30T18:01:01.828266+00:00"),
    "state": {"type": "object", "properties": {}},
    "tap": text("quickbooks:sandbox"),
    "status": {**STATUS_WORD, "example": "ETL_FAILED"},
    "message": text("ETL error..."),
    "last_updated": text("2020-12-30T20:31:00.081282+00:00"),
}
STATUS_EXAMPLE: JSON = {name: schema.get("example", {}) for name, schema in STATUS_ANSWER.items()}

ERROR: JSON = {"Code": text("Error"), "Message": text("Invalid job_root supplied - job does not exist!")}


def run_properties() -> JSON:
    def option(kind: str, description: str, **more: str) -> JSON:
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
