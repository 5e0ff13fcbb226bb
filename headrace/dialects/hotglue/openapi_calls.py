"""
Every call of the hotglue wire but the two that hotglue documents itself, a row each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from headrace.dialects.hotglue.openapi_parts import (
    ERROR,
    JSON,
    QUEUED,
    RUN_ANSWER,
    object_with,
    our_refusals,
    path_parameters,
    run_properties,
)

PLACE: Final = "/{env_id}/{flow_id}/{tenant}"
JOBS: Final = f"{PLACE}/jobs"
TENANT: Final = "/tenant/{env_id}/{tenant}"

_TEXT: JSON = {"type": "string"}
_TEXTS: JSON = {"type": "array", "items": _TEXT}
_OBJECT: JSON = {"type": "object"}
_OBJECTS: JSON = {"type": "array", "items": _OBJECT}
_NOTHING: JSON = {"type": "object", "maxProperties": 0}
_JOB = object_with(RUN_ANSWER)
_JOBS: JSON = {"type": "array", "items": _JOB}

# Query parameters, by name: type, and what they mean. A `!` behind a name in a row makes it one that must be given.
_QUERY: dict[str, tuple[str, str]] = {
    "after": ("integer", "Only lines with numbers above this."),
    "cancel": ("boolean", "End the tenant's jobs first."),
    "catalog": ("boolean", "Show catalogs."),
    "code": ("string", "The code that the provider gave."),
    "config": ("boolean", "Show settings, secrets included, to those who may see them."),
    "connector_id": ("string", "The connector; may be left out where one is linked."),
    "count": ("integer", "Jobs at most, up to 1000; 50 when left out. `limit` means the same."),
    "entity": ("string", "The source, target or connector."),
    "entity_id": ("string", "Only jobs of this source, target or connector."),
    "entity_type": ("string", "What `entity_id` names: `source`, `target` or `connector`."),
    "format": ("string", "`ndjson` for one JSON object a line; else plain text."),
    "job_root": ("string", "Root of the job: `s3_root` of the run call's reply."),
    "limit": ("integer", "How many at most."),
    "path": ("string", "A folder."),
    "query": ("string", "What to look for in names."),
    "refresh": ("boolean", "Refresh the token even if it is good for a while."),
    "state": ("string", "What the call that began this gave, or the widget."),
    "tap_name": ("string", "The source; may be left out where one is linked."),
    "target_name": ("string", "The target; may be left out where one is linked."),
    "taskId": ("string", "`taskId` of a write's answer."),
    "tenant": ("string", "Only ids that begin with this."),
    "token": ("string", "A tenant token, which vouches for the tenant."),
    "user_id": ("string", "The tenant; `tenant_id` means the same."),
}
# What these calls are refused with comes as a page for the popup, and with plain HTTP statuses.
_PAGES = {
    "400": "Refused.",
    "401": "No key.",
    "403": "Not allowed.",
    "404": "Not there.",
    "409": "Nothing to consent to.",
}


@dataclass(frozen=True, slots=True)
class Described:
    """
    One call.

    Attributes:
        query: names of query parameters; one that ends in `!` must be given.
        body: schema of the JSON body; None for none.
        answer: schema of the JSON of a 200.
        form: the body is a form with files.
        page: answers are HTML, and the reply of a good one has *status*.
        queued: a 202 may come.
    """

    method: str
    path: str
    id: str
    summary: str
    query: Sequence[str] = ()
    body: JSON | None = None
    answer: JSON | None = None
    form: bool = False
    page: bool = False
    status: str = "200"
    text: bool = False
    queued: bool = False

    def operation(self) -> JSON:
        """
        Write the call as an OpenAPI operation.
        """
        found: JSON = {
            "summary": self.summary,
            "operationId": self.id,
            "parameters": [*(_parameter(name) for name in self.query), *path_parameters(self.path)],
            "responses": self._responses(),
        }
        if self.body is not None:
            found["requestBody"] = {"content": {"application/json": {"schema": self.body}}}
        if self.form:
            files: JSON = {"type": "object", "additionalProperties": {"type": "string", "format": "binary"}}
            found["requestBody"] = {"content": {"multipart/form-data": {"schema": files}}}
        return found

    def _responses(self) -> JSON:
        if self.page:
            html = {"text/html": {"schema": _TEXT}}
            good: JSON = {"description": self.summary, **({"content": html} if self.status == "200" else {})}
            refused = {status: {"description": told, "content": html} for status, told in _PAGES.items()}
            return {self.status: good, **our_refusals(), **refused}
        content: JSON = {"application/json": {"schema": self.answer or _OBJECT}}
        if self.text:
            content = {"text/plain": {"schema": _TEXT}, "application/x-ndjson": {"schema": _TEXT}}
        responses: JSON = {"200": {"description": self.summary, "content": content}}
        if self.queued:
            waits: JSON = {"application/json": {"schema": object_with(QUEUED)}}
            responses["202"] = {"description": "The job waits for another one.", "content": waits}
        refusal = {"description": "Refused.", "content": {"application/json": {"schema": object_with(ERROR)}}}
        return {**responses, "400": refusal, **our_refusals()}


def _parameter(name: str) -> JSON:
    plain = name.rstrip("!")
    kind, told = _QUERY[plain]
    found: JSON = {"name": plain, "in": "query", "description": told, "schema": {"type": kind}}
    return {**found, "required": True} if name.endswith("!") else found


def _config(inner: str) -> JSON:
    return object_with({"config": object_with({inner: _OBJECT})})


def _jobs() -> Iterator[Described]:
    """
    Calls of jobs that are the same under V1's paths and V2's.
    """
    filters = ("entity_id", "entity_type")
    root = object_with({"job_root": {"type": "string", "description": "In place of the query."}})
    schedule = object_with(
        {
            "schedule_expression": _TEXT,
            "state": {"enum": ["ENABLED", "DISABLED"]},
            "connector_id": _TEXT,
            "job_type": _TEXT,
        }
        | {name: kind for name, kind in run_properties().items() if name != "state"}
    )
    shown = object_with({"ScheduleExpression": _TEXT, "State": {"enum": ["ENABLED", "DISABLED"]}})
    named = ("connector_id", "tap_name")
    yield Described("get", JOBS, "jobs-list", "Job history, newest first", (*filters, "count", "limit"), answer=_JOBS)
    yield Described("get", f"{JOBS}/latest", "jobs-latest", "The latest job; `{}` for none", filters, answer=_JOB)
    yield Described("post", f"{JOBS}/kill", "jobs-kill", "End a job that has not ended", ("job_root",), root, _JOB)
    yield Described(
        "delete", f"{JOBS}/kill", "jobs-kill-delete", "End a job that has not ended", ("job_root!",), answer=_JOB
    )
    yield Described(
        "get", f"{JOBS}/logs", "jobs-logs", "The job's log so far", ("job_root!", "format", "after"), text=True
    )
    yield Described("get", f"{JOBS}/schedule", "schedule-show", "The schedule", named, answer=shown)
    yield Described("put", f"{JOBS}/schedule", "schedule-set", "Set the schedule", named, schedule, _NOTHING)
    yield Described("post", f"{JOBS}/schedule", "schedule-set-post", "Set the schedule", named, schedule, _NOTHING)
    yield Described("delete", f"{JOBS}/schedule", "schedule-delete", "Remove the schedule", named, answer=_NOTHING)
    token = object_with(
        {"success": {"type": "boolean"}, "access_token": _TEXT, "expires_in": {"type": ["integer", "null"]}}
    )
    tokens = f"{PLACE}/connectors/{{connector}}/accesstoken"
    yield Described(
        "get", tokens, "access-token", "A fresh access token of an account", ("refresh", "token"), answer=token
    )
    write = f"{PLACE}/connectors/{{connector_id}}/{{stream}}"
    record = object_with({"data": {"type": ["object", "array"]}, "async": {"type": "boolean"}})
    yield Described("post", write, "real-time-write", "Write records at once", body=record)
    yield Described("get", f"{PLACE}/connectors/status", "real-time-status", "How a write went", ("taskId!",))


def _run_v2() -> Described:
    body = object_with(
        {"connector_id": _TEXT, "job_type": {"enum": ["read", "write"]}, "override_connector_config": _OBJECT}
        | run_properties()
    )
    return Described("post", f"/v2{JOBS}", "jobs-create-v2", "Run a V2 job", body=body, answer=_JOB, queued=True)


def _links(path: str, inner: str, name: str, words: str) -> Iterator[Described]:
    """
    Calls of one sort of links: *name* is what the connector is called in queries, *inner* in a link's body.
    """
    config = {"config": _OBJECT, "symlink": _OBJECT}
    link = object_with({inner: object_with({**config}), "field_map": _OBJECT, "schedule": _OBJECT})
    patch = object_with({"config": _OBJECT, "field_map": _OBJECT})
    state = object_with({"state": _OBJECT})
    kind = path.rsplit("/", 1)[-1]
    asked = (name, "token")
    yield Described("get", path, f"{kind}-list", f"The linked {words}", (*asked, "config", "catalog"), answer=_OBJECTS)
    yield Described("post", path, f"{kind}-link", f"Link one of the {words}", ("token",), link, _OBJECT)
    yield Described("patch", path, f"{kind}-change", "Change settings or field map", ("token",), patch, _OBJECT)
    yield Described("delete", path, f"{kind}-unlink", "Forget a link", asked, answer=_NOTHING)
    yield Described("get", f"{path}/state", f"{kind}-state", "The saved Singer state", asked, answer=_OBJECT)
    yield Described("put", f"{path}/state", f"{kind}-state-save", "Set the Singer state", asked, state, _NOTHING)
    yield Described(
        "delete", f"{path}/state", f"{kind}-state-forget", "Forget the Singer state", asked, answer=_NOTHING
    )
    search = (*asked, "query", "limit")
    found = object_with({"streams": _OBJECTS, "total": {"type": "integer"}})
    yield Described("get", f"{path}/catalog/search", f"{kind}-search", "Streams by name", search, answer=found)
    for method, suffix in (("get", ""), ("post", "-post")):
        yield Described(
            method, f"{path}/discover", f"{kind}-discover{suffix}", "Start a discover", asked, answer=_OBJECT
        )
    yield Described("get", f"{path}/discover/poll", f"{kind}-poll", "How the discover is doing", asked, answer=_OBJECT)
    for method, suffix in (("post", ""), ("delete", "-delete")):
        yield Described(
            method, f"{path}/discover/kill", f"{kind}-kill{suffix}", "End the discover", asked, answer=_OBJECT
        )


def _offers() -> Iterator[Described]:
    """
    What an environment offers.
    """
    env, flow = "/{env_id}", "/{env_id}/{flow_id}"
    yield Described("get", f"{env}/flows/supported", "flows", "The flows", answer=_OBJECTS)
    linked = ("user_id!", "token")
    yield Described(
        "get", f"{env}/flows/linked", "flows-linked", "Flows with links of a tenant", linked, answer=_OBJECTS
    )
    yield Described("get", f"{env}/flows/{{flow_id}}/supported", "flow", "One flow", answer=_OBJECT)
    yield Described("get", f"{env}/preferences", "preferences", "How the widget looks", answer=_OBJECT)
    for prefix, words in (("", "Sources"), ("", "Targets"), ("/v2", "Connectors")):
        available, supported = f"available{words}", f"supported{words}"
        said = f"{words} of all flows"
        yield Described("get", f"{prefix}{env}/{available}", available, said, ("catalog",), answer=_OBJECTS)
        said = f"{words} of a flow"
        yield Described("get", f"{prefix}{flow}/{supported}", supported, said, ("catalog",), answer=_OBJECTS)
    entity = ("entity!", "token")
    path = "/entity/{env_id}/{tenant}/linked"
    yield Described("get", path, "entity-linked", "Flows in which something is linked", entity, answer=_OBJECTS)


def _tenants() -> Iterator[Described]:
    pair = object_with({"algorithm": _TEXT, "private_key": _TEXT, "public_key": _TEXT})
    key = "/{env_id}/signingKey"
    yield Described("get", "/tenants/{env_id}", "tenants", "Ids of tenants", ("tenant",), answer=_TEXTS)
    yield Described(
        "delete", TENANT, "tenant-delete", "Delete a tenant with all that is theirs", ("cancel",), answer=_NOTHING
    )
    for part in ("config", "mapping", "metadata"):
        body = _config(part) if part != "config" else object_with({"config": _OBJECT})
        yield Described("get", f"{TENANT}/{part}", f"tenant-{part}", f"The tenant's {part}", ("token",), answer=_OBJECT)
        saved = f"Replace the tenant's {part}"
        yield Described("put", f"{TENANT}/{part}", f"tenant-{part}-save", saved, ("token",), body, _NOTHING)
    yield Described("get", key, "signing-key", "The key pair of tenant tokens", answer=pair)
    yield Described("post", key, "signing-key-replace", "Replace the key pair of tenant tokens", answer=pair)


def _consent() -> Iterator[Described]:
    passed = object_with({"code": _TEXT, "state": _TEXT})
    for way, back, suffix in (("/tap/authorize", "/tap/auth", ""), ("/v2/entity/authorize", "/v2/entity/auth", "-v2")):
        begin = Described(
            "get", way, f"consent{suffix}", "Lead the widget's popup to the provider", ("state!",), page=True
        )
        yield replace(begin, status="303")
        query = ("state!", "code")
        yield Described("get", back, f"consent-back{suffix}", "Receive the popup from the provider", query, page=True)
        yield Described("post", back, f"consent-passed-on{suffix}", "Receive the code from a server", body=passed)
    path = f"{PLACE}/linkedSources/oauth1_authorize_url"
    yield Described("post", path, "oauth1", "Refused: OAuth 1 is not supported", ("tap_name",), body=_OBJECT)


def _files() -> Iterator[Described]:
    taps = f"{PLACE}/taps"
    picked = object_with({"files": {"type": "array"}})
    yield Described("get", f"{taps}/file", "files", "Names of the uploaded files", answer=_TEXTS)
    yield Described("post", f"{taps}/file", "files-upload", "Upload files", form=True, answer=_NOTHING)
    yield Described("delete", f"{taps}/file", "files-clear", "Remove the uploaded files", answer=_NOTHING)
    yield Described("get", f"{taps}/sheets", "sheets", "Refused: Google's sheets cannot be listed", ("query",))
    yield Described("get", f"{taps}/sftp", "sftp", "Refused: SFTP servers cannot be listed", ("path",))
    of = f"{taps}/{{tap}}/files"
    yield Described("get", of, "picked", "Files that were picked", ("token",), answer={"type": "array"})
    yield Described("post", of, "picked-save", "Pick files", ("token",), picked, _NOTHING)


def _calls() -> Iterator[Described]:
    for call in _jobs():
        yield call
        yield replace(call, path=f"/v2{call.path}", id=f"{call.id}-v2")
    yield _run_v2()
    status = Described("get", f"/v2{JOBS}/status", "jobs-status-v2", "Poll job status", ("job_root!",), answer=_JOB)
    yield status
    yield from _links(f"{PLACE}/linkedSources", "source", "tap_name", "sources")
    yield from _links(f"{PLACE}/linkedTargets", "target", "target_name", "targets")
    yield from _links(f"/v2{PLACE}/linkedConnectors", "connector", "connector_id", "connectors")
    yield from _offers()
    yield from _tenants()
    yield from _consent()
    yield from _files()
    yield Described("get", "/openapi.json", "openapi", "This document", answer=_OBJECT)


CALLS: Final = tuple(_calls())
