"""
The jobs that the rows of the file and process contract are looked up in; each runs once, when the first test asks for it.
"""

from __future__ import annotations

from typing import Any

import pytest

from acceptance.running_server import RunningServer
from acceptance.witnesses import WORKSPACE, Witnessed, discover, link, run, run_v2, witnessed

FIELD_MAP = {
    "people": {"name": "people", "selected": ["name", "born", "tags"]},
    "orders/open": {"name": "orders/open", "selected": ["*"]},
    "nobody": {"name": "nobody", "selected": ["*"]},
}
MAPPING = {"seen": {"Person/people": {"Name": "name"}}}
ASKED: dict[str, Any] = {
    "override_selected_tables": {"People": True},
    "environment_variables": {"SEEN_SHARED": "the job's", "SEEN_NUMBER": 7, "default_export_format": "csv"},
}
PEOPLE = [{"id": 4, "name": "Edsger"}, {"id": 2, "name": "Alan"}]


@pytest.fixture(scope="session")
def acme(shared_server: RunningServer) -> RunningServer:
    """
    The server, with tenant acme linked on both sides of the flow `seen`, and everything known of them that may be.
    """
    tenant = f"/hotglue/tenant/{WORKSPACE}/acme"
    for part, value in (("metadata", {"metadata": {"plan": "gold"}}), ("mapping", {"mapping": MAPPING})):
        assert shared_server.client.put(f"{tenant}/{part}", json={"config": value}).status_code == 200
    source = {"tap": "tap-seen", "config": {"colour": "red", "start_date_offset": "P1D"}}
    link(shared_server, "seen", "acme", "linkedSources", {"source": source, "field_map": FIELD_MAP})
    link(shared_server, "seen", "acme", "linkedTargets", {"target": "target-seen", "config": {"colour": "blue"}})
    discover(shared_server, "seen", "acme", "linkedTargets", "target-seen")
    return shared_server


@pytest.fixture(scope="session")
def first(acme: RunningServer) -> Witnessed:
    """
    A first job of the flow: a full sync, with what a run may ask for the script.
    """
    return run(acme, "seen", "acme", ASKED)


@pytest.fixture(scope="session")
def second(acme: RunningServer, first: Witnessed) -> Witnessed:
    """
    The job after it.
    """
    return run(acme, "seen", "acme")


@pytest.fixture(scope="session")
def pushed(acme: RunningServer, second: Witnessed) -> Witnessed:
    """
    A job of the tap `api`.
    """
    return run(acme, "seen", "acme", {"tap": "api", "state": {"people": PEOPLE}})


@pytest.fixture(scope="session")
def streamed(acme: RunningServer) -> Witnessed:
    """
    A streaming job.
    """
    link(acme, "seen", "stream", "linkedSources", {"source": {"tap": "tap-seen", "config": {}}})
    link(acme, "seen", "stream", "linkedTargets", {"target": {"target": "target-seen", "config": {}}})
    return run(acme, "seen", "stream", {"streaming_job": True})


@pytest.fixture(scope="session")
def connected(acme: RunningServer) -> RunningServer:
    """
    The server, with tenant zeta linked to the connector `seen`, which reads and writes.
    """
    link(acme, "seen", "zeta", "linkedConnectors", {"connector": {"id": "seen", "config": {"colour": "green"}}})
    return acme


@pytest.fixture(scope="session")
def read_v2(connected: RunningServer) -> Witnessed:
    """
    A V2 job that reads a connector.
    """
    overrides = {"override_connector_config": {"colour": "this job's"}}
    return run_v2(connected, "seen", "zeta", {"connector_id": "seen", "job_type": "read", **overrides})


@pytest.fixture(scope="session")
def written_v2(connected: RunningServer, read_v2: Witnessed) -> Witnessed:
    """
    A V2 job that writes what came with it through a connector.
    """
    return run_v2(connected, "seen", "zeta", {"connector_id": "seen", "job_type": "write", "state": {"people": PEOPLE}})


@pytest.fixture(scope="session")
def passed(acme: RunningServer) -> Witnessed:
    """
    A job of a flow without a script, by a tap of the older convention, of the same tenant.
    """
    link(acme, "seen-plain", "acme", "linkedSources", {"source": {"tap": "tap-older", "config": {}}})
    link(acme, "seen-plain", "acme", "linkedTargets", {"target": {"target": "target-seen", "config": {}}})
    return run(acme, "seen-plain", "acme")


@pytest.fixture(scope="session")
def uploaded(acme: RunningServer) -> Witnessed:
    """
    A job into a target that reads files.
    """
    link(acme, "seen-files", "acme", "linkedSources", {"source": {"tap": "tap-seen", "config": {}}})
    link(acme, "seen-files", "acme", "linkedTargets", {"target": {"target": "target-files", "config": {"a": 1}}})
    return run(acme, "seen-files", "acme")


@pytest.fixture(scope="session")
def half_sent(acme: RunningServer) -> Witnessed:
    """
    A job into two targets, of which the first fails after it has read.
    """
    link(acme, "seen-twice", "acme", "linkedSources", {"source": {"tap": "tap-seen", "config": {}}})
    for name, config in (("target-seen", {"then": "fail"}), ("target-other", {})):
        link(acme, "seen-twice", "acme", "linkedTargets", {"target": {"target": name, "config": config}})
    return witnessed(acme, acme.run("seen-twice", "acme", environment=WORKSPACE))
