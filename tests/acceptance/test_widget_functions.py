"""
Every function of hotglue's published widget, run in Node against a whole server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from acceptance.running_server import RunningServer
from acceptance.widget_kit import READING, TWO_WAY, config_of, run_widget

TENANT = "widget-tenant"


def link(server: RunningServer, flow: str, what: str, body: dict[str, Any], version: str = "") -> None:
    answer = server.client.post(f"/hotglue{version}/widgets/{flow}/{TENANT}/{what}", json=body)
    assert answer.status_code == httpx2.codes.OK, answer.text


@pytest.fixture(scope="module")
def ran(widget: Path, shared_server: RunningServer) -> dict[str, Any]:
    """
    Link a source, a target and a connector, run the functions with a public key, and give what they gave.
    """
    link(shared_server, READING, "linkedSources", {"source": {"tap": "tap-fake", "config": {}}})
    link(shared_server, READING, "linkedTargets", {"target": {"target": "target-fake", "config": {}}})
    link(shared_server, TWO_WAY, "linkedConnectors", {"connector": {"id": "fake", "config": {}}}, "/v2")
    given = {
        "config": config_of(shared_server),
        "tenant": TENANT, "flow": READING, "other": TWO_WAY, "tap": "tap-fake", "target": "target-fake", "connector": "fake",
    }  # fmt: skip
    return run_widget("functions.cjs", widget, given)


def test_every_function_of_the_widget_is_called(ran: dict[str, Any]) -> None:
    """
    A function that a later version adds fails this test until it is called too. All that the server was asked, it answered with 200.
    """
    assert set(ran["names"]) - set(ran["results"]) == set()
    assert {status for _method, _path, status in ran["requests"]} == {200}


def test_it_lists_what_there_is_and_what_is_linked(ran: dict[str, Any]) -> None:
    results = ran["results"]

    assert [each["tap"] for each in results["getAvailableSources"]] == ["tap-fake"]
    assert [each["target"] for each in results["getAvailableTargets"]] == ["target-fake"]
    assert "fake" in [each["id"] for each in results["getAvailableConnectors"]]
    assert {flow["id"]: flow["version"] for flow in results["getLinkedFlows"]} == {READING: 1, TWO_WAY: 2}
    for name, key in (("Sources", "tap"), ("Targets", "target"), ("Connectors", "id")):
        [element] = results[f"getLinked{name}"]
        assert element[key].endswith("fake")
        assert (element["tenant_id"], element["disconnected"], element["error"]) == (TENANT, False, None)


def test_it_runs_a_job_and_polls_it(ran: dict[str, Any]) -> None:
    created = ran["results"]["createJob"]

    assert (created["status"], ran["results"]["ended"]) == ("JOB_CREATED", "JOB_COMPLETED")
    assert created["job_name"].startswith(f"{READING}-")
    assert "onStartJob" in ran["heard"]


def test_it_disconnects(ran: dict[str, Any], shared_server: RunningServer) -> None:
    """
    A source, a target and a connector are gone afterwards; the listener heard of it.
    """
    flows = shared_server.client.get("/hotglue/widgets/flows/linked", params={"user_id": TENANT}).json()

    assert ran["results"]["afterwards"] == flows == []
    assert {"onSourceUnlinked", "onTargetUnlinked", "onConnectorUnlinked"} <= set(ran["heard"])


def test_it_saves_what_is_known_of_the_tenant(ran: dict[str, Any], shared_server: RunningServer) -> None:
    assert shared_server.client.get(f"/hotglue/tenant/widgets/{TENANT}/metadata").json() == {"plan": "gold"}
