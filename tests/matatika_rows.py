"""
What Matatika documents, row by row, the paths of our wire that serve it, and the mark by which a test says which rows it proves.

The numbers are those of the sections of our Matatika reference: 3 jobs, 4 pipelines, 5 other resources, 6 the lifecycle.
tests/dialects/matatika/test_matatika_rows.py sees to it that no row is without a test and no path without a row. A row of `ABSENT` is
not served, and docs/reference/matatika.md says why. `pytest -m row` runs them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import pytest


def _fields(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "a field, with its type, its rule, and when it is missing")


def _links(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "a link, with its address and method, and when it is missing")


ROWS: Final[dict[str, dict[str, str]]] = {
    "3": {
        "J1": "GET /workspaces/{id}/jobs",
        "J2": "GET /pipelines/{id}/jobs",
        "J3": "GET /jobs/{id}",
        "J4": "GET /jobs/{id}/logs",
        "J5": "POST /pipelines/{id}/jobs",
        "J6": "PUT /jobs/{id}/stopped",
        "J7": "DELETE /jobs/{id}",
        "J8": "POST /pipelines/{id}/verification",
        "J9": "POST /workspaces/{id}/deployments",
        "J10": "POST /workspaces/{id}/deployments/github-webhook",
        "2021": "the paths of 2021: /pipeline/{id}/jobs, /pipelines/{id}/verify",
    },
    "3.1": {
        "J1": "jobs of all types are listed, queued ones too",
        "J5": "refused while a job of the pipeline is active, or while it is PROVISIONING",
        "J6": "running and queued jobs can be stopped; one that has ended is a 409",
        "J7": "deletes the record and stops the execution",
    },
    "3.2": {
        "absent": "without the header the four details are null",
        "false": "the same",
        "true": "they are filled, on J1, J2, J3 and J5",
    },
    "3.3": _fields(
        "id", "created", "type", "triggeredBy", "maxAttempts", "attempt", "commitId", "exitCode", "status", "startTime", "endTime",
        "taskName", "exitMessage", "arguments", "errorMessage", "_embedded.pipeline", "_embedded.profile",
    ),
    "3.4": _links("self", "delete job", "logs", "withdraw job", "pipeline", "workspace"),
    "3.5": {
        "sequence": "unsigned 64-bit number of the line to read from",
        "text": "text/plain for */*, nothing and anything unknown",
        "ndjson": "one JSON object a line, under the name that was asked for",
        "200": "what exists now, streamed, and the answer ends",
        "204": "no logs yet, or sequence past the end",
        "object": "sequence, timestamp, level, message; the next sequence is the last plus 1",
        "bulk": "more than 10,000 lines come whole; page and size are accepted",
    },
    "3.6": {"message": "202 with an object of texts"},
    "4.1": {
        "List": "GET /workspaces/{id}/pipelines",
        "View": "GET /pipelines/{id}",
        "Initialise": "POST /workspaces/{id}/pipelines",
        "Create or update": "PUT /workspaces/{id}/pipelines/{id}",
        "Draft": "PUT …/{id}/draft",
        "Validate": "POST …/validation, in 2021 …/validate",
        "Verify": "POST /pipelines/{id}/verification",
        "Environment": "GET …/environment",
        "Metrics": "GET …/metrics",
        "Subscribe": "POST …/subscriptions",
        "Delete": "DELETE /pipelines/{id}",
    },
    "4.2": _fields(
        "id", "status", "label", "name", "schedule", "timeout", "maxRetries", "script", "created", "lastModified", "properties",
        "dataComponents", "actions", "triggeredBy", "repositoryPath", "_embedded", "scheduleFromInterval", "dataSource",
        "_select", "_metadata", "minimal body",
    ),
    "4.3": _links(
        "self", "update pipeline", "draft pipeline", "validate pipeline", "verify pipeline", "delete pipeline", "jobs", "new job",
        "latest job", "subscriptions", "metrics", "environment", "workspace", "create pipeline",
    ),
    "4.4": {
        "required": "a required setting that nothing satisfies is one error per property",
        "override": "a pipeline's property wins over its component's",
        "draft": "a draft is kept without those checks",
        "unknown": "unknown components, schedules that do not parse, negative numbers",
    },
    "5.1": {
        "List": "GET /workspaces", "View": "GET /workspaces/{id}", "Initialise": "POST /workspaces",
        "Create": "PUT of a new one", "Update": "PUT of an existing one", "Default": "PUT …/default",
        "Delete": "DELETE /workspaces/{id}",
        "fields": "those of the documentation, secrets for those who may define alone",
        "links": "those of the documented answer",
    },
    "5.2": {
        "List": "GET /profiles", "View": "GET /profiles/{id}", "Update": "PUT", "Default workspace": "PATCH",
        "Login": "POST …/login", "Working account": "PUT …/working-account/{id}", "fields": "and links",
    },
    "5.3": {
        "List": "GET …/datacomponents", "View": "GET /datacomponents/{id}", "Initialise": "POST …/datacomponents",
        "Create or update": "PUT …/datacomponents/{id}", "Update": "PUT /datacomponents/{id}",
        "Delete": "DELETE /datacomponents/{id}", "fields": "and the plugin embedded",
    },
    "5.4": {
        "List": "GET …/datastores", "View": "GET /datastores/{id}", "Initialise": "POST …/datastores",
        "Create or update": "PUT …/datastores/{id}", "Update": "PUT /datastores/{id}",
        "Default": "PUT /datastores/{id}/default", "Delete": "409 for the default one", "fields": "and jdbcUrl",
    },
    "5.5": {
        "API keys": "list, initialise, make, rename, view, delete; the secret once; the exchange for a token",
        "Dataplugins": "list, available, initialise, make, view, delete",
        "Installed": "PUT /dataplugins/{id}/workspaces/{id}/installed",
        "discovery.yml": "the plugin list of Meltano 1",
        "Plugin hub": "index and definition, also below a workspace",
        "Subscriptions": "list, view, change, delete; of workspaces, pipelines, datasets, channels",
        "Notifications": "list with all, before, since; resolve, view, delete; of a workspace",
        "Who hears": "ALERTS: errors and skips; ALL: every start and end",
    },
    "5.6": {
        "List": "GET …/datasets", "By alias": "GET …/datasets/{id-or-alias}", "Publish": "POST …/datasets",
        "One": "GET, PATCH, DELETE /datasets/{id}", "Data": "GET /datasets/{id}/data", "Channels": "GET, PUT …/channels",
    },
    "6.1": {
        "WORKSPACE_INIT": "makes the project of a new workspace",
        "WORKSPACE_CONFIG": "internal upstream",
        "WORKSPACE_DEPLOY": "applies what the project's files define",
        "PIPELINE_CONFIG": "for a new pipeline, and for a FAILED one that is updated",
        "PIPELINE_VERIFY": "tests the configuration",
        "PIPELINE_RUN": "by hand or by schedule",
        "PIPELINE_ENV": "2021 alone",
        "PROFILE": "tasks of users",
    },
    "6.2": {
        "QUEUED": "waits", "RUNNING": "runs", "COMPLETE": "without errors", "ERROR": "with errors", "STOPPED": "by hand or timeout",
        "V1": "the statuses of 2021, by setting", "final": "terminal states never change",
    },
    "6.3": {
        "Rule": "one job at a time for a pipeline", "Manual": "409", "Schedule": "skipped, no job, ALERTS are told",
        "Which": "run, config and verify jobs count", "Race": "atomic: of twenty creates one", "Limit": "excess stays QUEUED",
    },
    "6.4": {
        "maxRetries": "for ERROR alone, never for STOPPED", "Representation": "one job, one log, a marker line",
        "Recovered": "shown as warnings", "timeout": "STOPPED; 0 is 300 s", "Stuck": "a restart takes up what ran",
    },
    "6.5": {
        "PROVISIONING": "a new one", "READY": "its config job completed", "FAILED": "it failed; an update tries again", "DRAFT": "a draft",
    },
    "6.6": {
        "Syntax": "six fields, ?, names", "Dialect": "Spring: Sunday 0 and 7, both day fields, L, W, -", "Zone": "UTC",
        "Missed": "not run later", "Meltano": "five fields and macros in files", "triggeredBy": "after a success, and `deploy`",
        "Cycles": "refused", "Busy": "skipped as a schedule's start is",
    },
}  # fmt: skip

NAMES: Final = tuple(f"{section} {name}" for section, rows in ROWS.items() for name in rows)

ABSENT: Final[Mapping[str, str]] = {
    "5.2 Working account": "accounts",
    "6.1 WORKSPACE_CONFIG": "`WORKSPACE_CONFIG`",
    "6.1 PIPELINE_ENV": "`PIPELINE_ENV`",
    "6.1 PROFILE": "`PROFILE_…` jobs",
    "6.4 Recovered": "a warning for a run that recovered",
}
"""Rows that are not served, and words of the line in docs/reference/matatika.md, under "Absent, and why", that says so."""

_W, _P = "/workspaces/{workspace_id}", "/pipelines/{pipeline_id}"
ROUTES: Final[Mapping[str, str]] = {
    f"GET {_W}/jobs": "3 J1",
    f"GET {_P}/jobs": "3 J2",
    "GET /jobs/{job_id}": "3 J3",
    "GET /jobs/{job_id}/logs": "3 J4",
    f"POST {_P}/jobs": "3 J5",
    "PUT /jobs/{job_id}/stopped": "3 J6",
    "DELETE /jobs/{job_id}": "3 J7",
    f"POST {_P}/verification": "3 J8",
    f"POST {_W}/deployments": "3 J9",
    f"POST {_W}/deployments/github-webhook": "3 J10",
    "GET /pipeline/{pipeline_id}/jobs": "3 2021",
    "POST /pipeline/{pipeline_id}/jobs": "3 2021",
    f"POST {_P}/verify": "3 2021",
    f"GET {_W}/pipelines": "4.1 List",
    f"GET {_P}": "4.1 View",
    f"POST {_W}/pipelines": "4.1 Initialise",
    f"PUT {_W}/pipelines/{{pipeline_id}}": "4.1 Create or update",
    f"PUT {_W}/pipelines/{{pipeline_id}}/draft": "4.1 Draft",
    f"POST {_W}/pipelines/validation": "4.1 Validate",
    f"POST {_W}/pipelines/validate": "4.1 Validate",
    f"GET {_P}/environment": "4.1 Environment",
    f"GET {_P}/metrics": "4.1 Metrics",
    "POST /pipelines/{target_id}/subscriptions": "4.1 Subscribe",
    f"DELETE {_P}": "4.1 Delete",
    "GET /workspaces": "5.1 List",
    f"GET {_W}": "5.1 View",
    "POST /workspaces": "5.1 Initialise",
    f"PUT {_W}": "5.1 Create",
    f"DELETE {_W}": "5.1 Delete",
    f"PUT {_W}/default": "5.1 Default",
    f"GET {_W}/members": "5.1 links",
    f"GET {_W}/administrators": "5.1 links",
    "GET /profiles": "5.2 List",
    "GET /profiles/{profile_id}": "5.2 View",
    "PUT /profiles/{profile_id}": "5.2 Update",
    "PATCH /profiles/{profile_id}": "5.2 Default workspace",
    "POST /profiles/{profile_id}/login": "5.2 Login",
    f"GET {_W}/datacomponents": "5.3 List",
    f"POST {_W}/datacomponents": "5.3 Initialise",
    f"PUT {_W}/datacomponents/{{component_id}}": "5.3 Create or update",
    "GET /datacomponents/{component_id}": "5.3 View",
    "PUT /datacomponents/{component_id}": "5.3 Update",
    "DELETE /datacomponents/{component_id}": "5.3 Delete",
    f"GET {_W}/datastores": "5.4 List",
    f"POST {_W}/datastores": "5.4 Initialise",
    f"PUT {_W}/datastores/{{component_id}}": "5.4 Create or update",
    "GET /datastores/{component_id}": "5.4 View",
    "PUT /datastores/{component_id}": "5.4 Update",
    "PUT /datastores/{component_id}/default": "5.4 Default",
    "DELETE /datastores/{component_id}": "5.4 Delete",
    "GET /apikeys": "5.5 API keys",
    "POST /apikeys": "5.5 API keys",
    "GET /apikeys/{key_id}": "5.5 API keys",
    "PUT /apikeys/{key_id}": "5.5 API keys",
    "DELETE /apikeys/{key_id}": "5.5 API keys",
    "POST /oauth/token": "5.5 API keys",
    "GET /dataplugins": "5.5 Dataplugins",
    f"GET {_W}/dataplugins": "5.5 Dataplugins",
    f"GET {_W}/availabledataplugins": "5.5 Dataplugins",
    f"POST {_W}/dataplugins": "5.5 Dataplugins",
    f"PUT {_W}/dataplugins/{{plugin_id}}": "5.5 Dataplugins",
    "GET /dataplugins/{plugin_id}": "5.5 Dataplugins",
    "DELETE /dataplugins/{plugin_id}": "5.5 Dataplugins",
    f"PUT /dataplugins/{{plugin_id}}{_W}/installed": "5.5 Installed",
    "GET /discovery.yml": "5.5 discovery.yml",
    f"GET {_W}/discovery": "5.5 discovery.yml",
    f"GET {_W}/discovery.yml": "5.5 discovery.yml",
    f"POST {_W}/discovery": "5.5 discovery.yml",
    f"POST {_W}/discovery.yml": "5.5 discovery.yml",
    "GET /plugins/{plural}/index": "5.5 Plugin hub",
    "GET /plugins/{plural}/{name}": "5.5 Plugin hub",
    f"GET {_W}/plugins/{{plural}}/index": "5.5 Plugin hub",
    f"GET {_W}/plugins/{{plural}}/{{name}}": "5.5 Plugin hub",
    "GET /subscriptions": "5.5 Subscriptions",
    "GET /subscriptions/{subscription_id}": "5.5 Subscriptions",
    "PUT /subscriptions/{subscription_id}": "5.5 Subscriptions",
    "DELETE /subscriptions/{subscription_id}": "5.5 Subscriptions",
    "POST /workspaces/{target_id}/subscriptions": "5.5 Subscriptions",
    "POST /datasets/{target_id}/subscriptions": "5.5 Subscriptions",
    "POST /channels/{target_id}/subscriptions": "5.5 Subscriptions",
    "GET /notifications": "5.5 Notifications",
    "PUT /notifications": "5.5 Notifications",
    "GET /notifications/{notification_id}": "5.5 Notifications",
    "DELETE /notifications/{notification_id}": "5.5 Notifications",
    f"GET {_W}/notifications": "5.5 Notifications",
    f"GET {_W}/datasets": "5.6 List",
    f"POST {_W}/datasets": "5.6 Publish",
    f"GET {_W}/datasets/{{name:path}}": "5.6 By alias",
    "GET /datasets/{dataset_id}": "5.6 One",
    "PATCH /datasets/{dataset_id}": "5.6 One",
    "DELETE /datasets/{dataset_id}": "5.6 One",
    "GET /datasets/{dataset_id}/data": "5.6 Data",
    f"GET {_W}/channels": "5.6 Channels",
    f"PUT {_W}/channels/{{channel_id}}": "5.6 Channels",
    "GET /channels/{channel_id}": "5.6 Channels",
}
"""The row that each path of the wire serves."""

OURS: Final = frozenset(
    {
        "GET /",
        *(f"GET /{name}" for name in ("jobs", "pipelines", "channels", "datasets", "alerts", "comments")),
        f"GET {_W}/project-files",
    }
)
"""Paths that stand in no row: the root, the bare collections of section 2.1, and what Matatika has not."""


def row(*names: str) -> pytest.MarkDecorator:
    """
    Mark a test, or one parameter of it, as a proof of rows: `@row("3 J4")`.
    """
    return pytest.mark.row(*names)


def each_row(section: str, names: Iterable[str]) -> list[Any]:
    """
    Make one parameter for each row of a section, named by it.
    """
    return [pytest.param(name, marks=row(f"{section} {name}"), id=f"{section}-{name}") for name in names]
