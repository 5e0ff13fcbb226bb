"""
The published schemas of jobs and logins as code, against what the server reads.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from headrace.core.errors import InvalidError
from headrace.dialects.intuned.bodies import decode_job
from headrace.dialects.intuned.session_wire import decode_session
from headrace.dialects.intuned.wire import JobBody

SCHEMAS = resources.files("headrace.store") / "schemas"
JOB = json.loads((SCHEMAS / "intuned-job.schema.json").read_text())
SESSION = json.loads((SCHEMAS / "intuned-auth-session.schema.json").read_text())

CALL = {"apiName": "orders", "parameters": {}}
S3 = {"type": "s3", "bucket": "b", "accessKeyId": "k", "secretAccessKey": "s", "region": "r"}


def keys_of(node: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """
    Give the keys below a schema, each with whether it must be there; a choice gives those of all its members.
    """
    if "$ref" in node:
        return keys_of(definitions[node["$ref"].rsplit("/", 1)[1]], definitions)
    if "items" in node:
        return keys_of(node["items"], definitions)
    found = [each for each in (keys_of(one, definitions) for one in node.get("anyOf", ())) if each]
    if found:
        return found[0] if len(found) == 1 else sorted(found, key=repr)
    required = node.get("required", ())
    return {
        name: (name in required, keys_of(each, definitions))
        for name, each in sorted(node.get("properties", {}).items())
    }


def test_the_schema_of_a_job_names_every_key_that_is_read_and_no_other() -> None:
    read = msgspec.json.schema(JobBody)

    assert keys_of(JOB, JOB["$defs"]) == keys_of(read, read["$defs"])


@pytest.mark.parametrize(
    ("changed", "right"),
    [
        ({}, True),
        ({"payload": []}, False),
        ({"payload": [{"apiName": "orders"}]}, False),
        ({"payload": [{**CALL, "parameters": []}]}, False),
        ({"payload": [{**CALL, "requestTimeout": 1.5}]}, False),
        ({"payload": [{**CALL, "retry": {"maximumAttempts": 3.0}}]}, True),
        ({"configuration": None}, False),
        ({"configuration": {"maxConcurrentRequests": 0}}, False),
        ({"configuration": {"maxConcurrentRequests": 2, "maxRuns": None}}, True),
        ({"schedule": {"intervals": [{"every": "1h"}], "jitter": 1000}}, True),
        ({"schedule": {"intervals": [{}]}}, False),
        ({"sink": {"type": "webhook", "url": "https://receiver.example/"}}, True),
        ({"sink": S3}, True),
        ({"sink": {"type": "s3", "bucket": "b"}}, False),
        ({"sink": {"type": "mail"}}, False),
        ({"auth_session": {"id": "shop-1"}}, True),
        ({"auth_session": {"checkAttempts": 1}}, False),
        ({"auth_session": {"id": "ada", "checkAttempts": 10}}, True),
        ({"auth_session": {"id": "ada", "checkAttempts": 11}}, False),
        ({"notifications": [{"type": "webhook", "url": "https://receiver.example/"}]}, True),
        ({"of_the_vendor": 1}, True),
    ],
)
def test_the_schema_of_a_job_agrees_with_the_server(changed: dict[str, Any], right: bool) -> None:
    body = {"payload": [CALL], "configuration": {}, **changed}

    def reads() -> bool:
        try:
            decode_job(json.dumps(body).encode(), with_id=False)
        except InvalidError:
            return False
        return True

    assert Draft202012Validator(JOB).is_valid(body) is right
    assert reads() is right


@pytest.mark.parametrize(
    ("body", "right"), [({"parameters": {"user": "u"}}, True), ({"parameters": []}, False), ({}, False)]
)
def test_the_schema_of_a_login_agrees_with_the_server(body: dict[str, Any], right: bool) -> None:
    def reads() -> bool:
        try:
            decode_session(json.dumps(body).encode(), with_id=False)
        except InvalidError:
            return False
        return True

    assert Draft202012Validator(SESSION).is_valid(body) is right
    assert reads() is right


def test_they_are_schemas() -> None:
    for schema in (JOB, SESSION):
        Draft202012Validator.check_schema(schema)
