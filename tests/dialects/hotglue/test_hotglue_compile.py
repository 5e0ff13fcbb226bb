"""
From a run call to a plan.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hotglue_rows import row

from headrace.core.definitions import FlowDef, ScriptDef
from headrace.core.errors import InvalidError
from headrace.core.job import NewJob
from headrace.core.plan import ConnectorSpec, Export, Limits, OnTaken, Payload, Pipe, Plan, Script, Sync
from headrace.dialects.hotglue.asking import Asked
from headrace.dialects.hotglue.compile import compile_run
from headrace.dialects.hotglue.wire import decode_run
from headrace.services.flows import FlowOfTenant, LinkOutline
from headrace.store.workspaces import Workspace

WORKSPACE = Workspace(UUID(int=1), "demo", {})
NOW = datetime(2024, 7, 25, 6, 5, 4, tzinfo=UTC)
ASKED = Asked(id=UUID(int=7), job_id="37g_DK", now=NOW, limits=Limits(wall_seconds=60), api_url="http://here/hotglue")


def connector(name: str, kind: Any) -> ConnectorSpec:
    return ConnectorSpec(name=name, kind=kind, install=(f"git+https://user:token@host/{name}.git",))


def linked(role: Any, name: str, *, bookmarked: bool = False) -> LinkOutline:
    return LinkOutline(id=uuid4(), role=role, connector=name, bookmarked=bookmarked)


FLOW = FlowDef(
    id="flights",
    workspace="demo",
    sources=("tap-a", "tap-b"),
    targets=("target-x", "target-y"),
    script=ScriptDef(folder=PurePath("flows/flights"), requirements=("pandas",)),
    limits={"etl": Limits(memory_bytes=2**30)},
)
OF = FlowOfTenant(
    workspace=WORKSPACE,
    flow=FLOW,
    tenant="acme",
    connectors={
        spec.name: spec
        for spec in (
            connector("tap-a", "tap"),
            connector("tap-b", "tap"),
            connector("target-x", "target"),
            connector("target-y", "target"),
        )
    },
    links=(linked("source", "tap-a"),),
    script="digest",
    variables={"SHARED": "1", "TENANT": "not this"},
)


def compiled(of: FlowOfTenant = OF, **body: Any) -> tuple[NewJob, Plan]:
    return compile_run(of, decode_run(msgspec.json.encode(body)), ASKED)


def test_a_plain_run_is_sync_script_and_export() -> None:
    """
    The only linked tap, the flow's script, its targets in its order; limits are the flow's, else the server's.
    """
    job, plan = compiled()

    sync, etl, export = plan.steps
    assert isinstance(sync, Sync)
    assert isinstance(etl, Script)
    assert isinstance(export, Export)
    assert [step.name for step in plan.steps] == ["sync", "etl", "export"]
    assert (sync.connector.name, sync.bookmark, sync.config.connection) == ("tap-a", "use", str(OF.links[0].id))
    assert (etl.source, etl.requirements, etl.limits.memory_bytes) == ("digest", ("pandas",), 2**30)
    assert sync.limits == ASKED.limits
    assert [target.connector.name for target in export.targets] == ["target-x", "target-y"]
    assert (job.name, job.root) == ("flights-tap-a-20240725-060504", "acme/flows/flights/jobs/2024/07/4/25/06/37g_DK")
    assert (plan.key, plan.on_taken) == (f"hotglue:{WORKSPACE.id}:flights/acme", OnTaken.REJECT)
    assert plan.variables == {
        "SHARED": "1",
        "TENANT": "acme",
        "USER_ID": "acme",
        "FLOW": "flights",
        "ENV_ID": "demo",
        "JOB_ID": "37g_DK",
        "JOB_ROOT": job.root,
        "TAP": "tap-a",
        "TARGET": "target-x,target-y",
        "SYNC_TYPE": "full_sync",
        "API_URL": "http://here/hotglue",
    }
    assert job.details["tap_install_uri"] == "git+https://***@host/tap-a.git"


def test_a_plan_survives_its_way_through_the_database() -> None:
    _, plan = compiled(override_start_date="2022-08-08", override_field_map={"a": {"selected": ["*"]}})

    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


@pytest.mark.parametrize(
    ("links", "shared", "targets"),
    [
        ((), (), ["target-x", "target-y"]),
        (("target-y",), (), ["target-y"]),
        ((), ("target-x",), ["target-x"]),
        (("target-y",), ("target-x",), ["target-x", "target-y"]),
    ],
)
def test_where_a_target_is_linked_only_linked_ones_are_written(
    links: tuple[str, ...], shared: tuple[str, ...], targets: list[str]
) -> None:
    of = replace(
        OF,
        links=(*OF.links, *(linked("target", name) for name in links)),
        shared_links=tuple(linked("target", name) for name in shared),
    )
    _, plan = compiled(of)

    export = plan.steps[-1]
    assert isinstance(export, Export)
    assert [target.connector.name for target in export.targets] == targets


def test_the_tenants_own_target_goes_before_the_shared_one() -> None:
    own, shared = linked("target", "target-x"), linked("target", "target-x")
    _, plan = compiled(replace(OF, links=(*OF.links, own), shared_links=(shared,)))

    export = plan.steps[-1]
    assert isinstance(export, Export)
    assert [target.config.connection for target in export.targets] == [str(own.id)]


@pytest.mark.parametrize(
    ("links", "body", "said"),
    [
        ((), {}, "No tap is linked"),
        ((), {"tap": "tap-a"}, "not linked"),
        (("tap-a", "tap-b"), {}, "`tap-a`, `tap-b`"),
        (("tap-a",), {"tap": "tap-b"}, "`tap-a`"),
        (("tap-gone",), {}, "not defined"),
    ],
)
def test_what_cannot_be_run_says_what_could(links: tuple[str, ...], body: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidError) as caught:
        compiled(replace(OF, links=tuple(linked("source", name) for name in links)), **body)

    assert said in str(caught.value)


@pytest.mark.parametrize("body", [{"tap": "api"}, {"tap": "api", "state": {"A": [{}]}}, {"state": {"A": [{}]}}])
def test_data_that_come_with_the_request_need_no_tap(body: dict[str, Any]) -> None:
    """
    The API tap, named or implied by a `state` where nothing is linked, writes the state down; it is sealed and echoed.
    """
    job, plan = compiled(replace(OF, links=()), **body)

    assert isinstance(plan.steps[0], Payload)
    assert plan.steps[0].name == "sync"
    assert job.sealed["state"] == body.get("state", {}) == job.details["state"]
    assert (job.details["tap"], plan.variables["TAP"]) == ("api", "api")


@pytest.mark.parametrize(
    ("body", "bookmark", "extra"),
    [
        ({}, "use", {}),
        ({"override_start_date": "2022-08-08T00:00:00.000Z"}, "ignore", {"start_date": "2022-08-08T00:00:00.000Z"}),
        ({"override_start_date": "2022-08-08"}, "ignore", {"start_date": "2022-08-08T00:00:00Z"}),
        ({"override_end_date": "2022-08-09T00:00:00+02:00"}, "use", {"end_date": "2022-08-09T00:00:00+02:00"}),
        ({"reset_source_state": True}, "reset", {}),
        (
            {"reset_source_state": True, "override_start_date": "2022-08-08T00:00:00Z"},
            "reset",
            {"start_date": "2022-08-08T00:00:00Z"},
        ),
    ],
)
def test_dates_and_the_saved_state(body: dict[str, Any], bookmark: str, extra: dict[str, str]) -> None:
    """
    A start date goes before the saved state without forgetting it; a reset forgets it.
    """
    of = replace(OF, links=(linked("source", "tap-a", bookmarked=True),))
    job, plan = compiled(of, **body)

    sync = plan.steps[0]
    assert isinstance(sync, Sync)
    assert (sync.bookmark, sync.config.extra) == (bookmark, extra)
    assert job.details["sync_type"] == ("incremental_sync" if bookmark == "use" else "full_sync")


def test_overrides_are_sealed_and_shown_without_values() -> None:
    job, plan = compiled(
        override_source_config={"token": "s3cret"},
        override_target_config={"password": "s3cret"},
        environment_variables={"TOKEN": "s3cret", "N": 1, "FLAG": True},
    )

    sync, _, export = plan.steps
    assert isinstance(sync, Sync)
    assert isinstance(export, Export)
    assert (sync.config.overrides, export.targets[0].config.overrides) == ("source_config", "target_config")
    assert plan.environment == "environment"
    assert job.sealed == {
        "source_config": {"token": "s3cret"},
        "target_config": {"password": "s3cret"},
        "environment": {"TOKEN": "s3cret", "N": "1", "FLAG": "true"},
    }
    assert b"s3cret" not in msgspec.json.encode((plan, job.details))


def test_selections_reach_the_steps_that_use_them() -> None:
    job, plan = compiled(override_selected_tables={"Vendors": True}, override_field_map={"a": {}})

    sync, etl, _ = plan.steps
    assert isinstance(sync, Sync)
    assert isinstance(etl, Script)
    assert (etl.selected_tables, sync.field_map) == ({"Vendors": True}, {"a": {}})
    assert job.details["override_selected_tables"] == {"Vendors": True}


def test_a_streaming_job_cannot_be_cut_short() -> None:
    """
    What its target has read is written, so a limit would move the state past records that were dropped.
    """
    of = replace(OF, flow=replace(FLOW, targets=("target-x",)))
    with pytest.raises(InvalidError, match="max_record_count"):
        compiled(of, streaming_job=True, environment_variables={"max_record_count": "2"})


def test_a_streaming_job_is_one_pipe_and_tells_its_processes() -> None:
    job, plan = compiled(replace(OF, flow=replace(FLOW, targets=("target-x",))), streaming_job=True)

    (pipe,) = plan.steps
    assert isinstance(pipe, Pipe)
    assert (pipe.name, pipe.tap.name, pipe.target.name) == ("sync", "tap-a", "target-x")
    assert plan.variables["STREAMING_JOB"] == "True"
    assert job.details["streaming_job"]
    assert "STREAMING_JOB" not in compiled()[1].variables


@pytest.mark.parametrize(("of", "body"), [(OF, {}), (replace(OF, links=()), {"tap": "api"})])
def test_a_stream_needs_one_tap_and_one_target(of: FlowOfTenant, body: dict[str, Any]) -> None:
    with pytest.raises(InvalidError):
        compiled(of, streaming_job=True, **body)


@row("4 scope")
def test_the_exclusivity_key_follows_the_options() -> None:
    """
    Parallel jobs hold no key; queueing is asked for; two pairs of flow and tenant never share a key.
    """
    assert compiled(ignore_parallel_jobs=True)[1].key is None
    assert compiled(queue_if_active_job=True)[1].on_taken is OnTaken.QUEUE
    one = compiled(replace(OF, tenant="b:c", flow=replace(FLOW, id="a")))[1].key
    other = compiled(replace(OF, tenant="c", flow=replace(FLOW, id="a:b")))[1].key
    assert one != other
