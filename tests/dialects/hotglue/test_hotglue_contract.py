"""
The documented contract: our OpenAPI document says what hotglue's pages say, and the server keeps to it under fuzzing.

The pages are not ours to keep; where they are not at hand, the comparison is skipped and the fuzzing goes by our own document.
"""

from __future__ import annotations

import asyncio
import copy
import re
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import uvicorn
from app_routes import calls_of
from house import ADMIN_KEY
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from ruamel.yaml import YAML
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from headrace.dialects.hotglue.openapi import document

SEEDS = Path(__file__).resolve().parents[4] / "shared" / "seeds"
RUN, STATUS = "/{env_id}/{flow_id}/{tenant}/jobs", "/{env_id}/{flow_id}/{tenant}/jobs/status"
OPERATIONS = [(RUN, "post"), (STATUS, "get")]


def _page(path: str, method: str) -> dict[str, Any] | None:
    for page in sorted(SEEDS.glob("*.txt")) if SEEDS.is_dir() else ():
        found = re.search(r"````yaml (\w+) (\S+)\n(.*?)````", page.read_text("utf-8"), re.DOTALL)
        if found and (found[2], found[1]) == (path, method):
            parsed: dict[str, Any] = YAML(typ="safe").load(found[3])
            return parsed
    return None


def _contract(value: Any) -> Any:
    """
    Leave out prose, and write examples as text: the page gives a number as the example of a string.
    """
    if isinstance(value, dict):
        return {
            key: str(one) if key == "example" else _contract(one)
            for key, one in value.items()
            if not (key in ("description", "summary") and isinstance(one, str))
        }
    return [_contract(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_our_document_says_what_the_page_says(path: str, method: str) -> None:
    """
    Parameters, body, every documented answer with schema and example, and security are the same; ours only adds refusals.
    """
    page = _page(path, method)
    if page is None:
        pytest.skip("hotglue's pages are not at hand")
    theirs, ours = page["paths"][path][method], document()["paths"][path][method]

    ours = {**ours, "responses": {status: ours["responses"][status] for status in theirs["responses"]}}
    assert _contract(ours) == _contract(theirs)
    assert (page["security"], page["components"]) == (document()["security"], document()["components"])


def test_the_document_and_the_routes_are_the_same_calls(app: Any) -> None:
    """
    No call is missing in the document, and none in it is made up; ids are unique, and every parameter of a path is described.
    """
    routed = {(method, path.removeprefix("/hotglue")) for method, path in calls_of(app) if path.startswith("/hotglue/")}
    operations = [
        (method.upper(), path, operation)
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    ]

    assert {(method, path) for method, path, _ in operations} == routed
    assert len({operation["operationId"] for _, _, operation in operations}) == len(operations) == len(routed)
    for _, path, operation in operations:
        described = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
        assert described == re.findall(r"\{(\w+)\}", path)


def _fuzzed_document(path: str, method: str, *, known_place: bool) -> dict[str, Any]:
    """
    Give the page's operation, or ours; with *known_place* its path names what the demo project has.
    """
    found = copy.deepcopy(_page(path, method) or document())
    operation = found["paths"][path][method]
    if known_place:
        names = {"env_id": "demo", "flow_id": "flights", "tenant": "acme"}
        for parameter in operation["parameters"]:
            if parameter["name"] in names:
                parameter["schema"] = {"type": "string", "enum": [names[parameter["name"]]]}
    return {**found, "servers": [{"url": "/"}], "paths": {path: {method: operation}}}


@pytest.fixture
async def server(app: Any) -> AsyncIterator[str]:
    """
    The server on a real socket: schemathesis speaks HTTP, and so its requests go the whole way.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=2))
    serving = asyncio.create_task(running.serve(sockets=[listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/hotglue"
    running.should_exit = True
    await serving
    listener.close()


@pytest.mark.parametrize("known_place", [True, False])
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
async def test_the_server_keeps_to_the_contract_under_fuzzing(
    server: str, path: str, method: str, known_place: bool
) -> None:
    """
    Whatever is sent, the answer has a documented status, form and content type, and never a 5xx; bad requests are refused.
    """
    await asyncio.to_thread(_fuzz, server, _fuzzed_document(path, method, known_place=known_place), path, method)


_DISABLED = {
    # A request that fits the schema may still name a tenant, a tap or a job that is not there: 400 is the documented answer to it.
    "positive_data_acceptance",
}


def _fuzz(url: str, fuzzed: dict[str, Any], path: str, method: str) -> None:
    schema = schemathesis.openapi.from_dict(fuzzed)
    schema.config.update(base_url=url)
    schema.config.generation.update(with_security_parameters=False)  # a good key is sent; `ignored_auth` tries bad ones
    operation = schema[path][method.upper()]
    load_all_checks()
    checks = [CHECKS.get_one(name) for name in CHECKS.get_all_names() if name not in _DISABLED]
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=60,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def send(case: schemathesis.Case) -> None:
            case.call_and_validate(headers={"x-api-key": ADMIN_KEY}, checks=checks)

        send()


def _calls_of_a_fuzz() -> dict[str, Any]:
    """
    Give our document with its places known: what lies behind the checks of ids is asked, not the checks alone.
    """
    found = copy.deepcopy(document())
    names = {
        "env_id": "demo", "flow_id": "flights", "tenant": "acme", "tap": "tap-flights", "connector": "tap-flights",
        "connector_id": "target-jsonl", "stream": "people",
    }  # fmt: skip
    for operations in found["paths"].values():
        for operation in operations.values():
            for parameter in operation["parameters"]:
                if parameter["in"] == "path":
                    parameter["schema"] = {"type": "string", "enum": [names[parameter["name"]]]}
    return {**found, "servers": [{"url": "/"}]}


# These wait for a worker, which this server has not; their own tests run them.
_WAITING = {"access-token", "real-time-write"}


def _is_fuzzed(operation_id: str) -> bool:
    """
    Leave out what the same code answers under another path: V2's twins, and two of the three sorts of links.
    """
    twin = operation_id.endswith("-v2") or operation_id.startswith(("linkedTargets-", "linkedConnectors-"))
    return not twin and operation_id not in _WAITING


async def test_every_call_keeps_to_the_document_under_a_little_fuzzing(server: str) -> None:
    """
    A few requests to each, good and bad: the status and content type of the answer are described, its body fits, and it is never a 5xx.
    """
    await asyncio.to_thread(_fuzz_all, server)


def _fuzz_all(url: str) -> None:
    schema = schemathesis.openapi.from_dict(_calls_of_a_fuzz())
    schema.config.update(base_url=url)
    schema.config.generation.update(with_security_parameters=False)
    load_all_checks()
    names = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
    checks = [CHECKS.get_one(name) for name in names]
    for found in schema.get_all_operations():
        operation = found.ok()
        if not _is_fuzzed(operation.definition.raw["operationId"]):
            continue
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=1,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def send(case: schemathesis.Case) -> None:
                case.call_and_validate(headers={"x-api-key": ADMIN_KEY}, checks=checks, allow_redirects=False)

            with suppress(Unsatisfiable):  # nothing can be wrong in a call without parameters and body
                send()
