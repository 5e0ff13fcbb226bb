"""
Section 6.1: the files and folders below a job's root, as its processes find them.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hotglue_rows import case, row

from acceptance.hotglue.conftest import FIELD_MAP, MAPPING, PEOPLE
from acceptance.running_server import RunningServer
from acceptance.witnesses import Witnessed


@pytest.mark.parametrize(
    ("role", "path", "says"),
    [
        case("6.1 config.json", "script", "config.json", {"colour": "red", "selected_tables": {"People": True}}),
        case("6.1 source-config.json", "script", "source-config.json", {"colour": "red"}),
        case("6.1 target-config.json", "script", "target-config.json", {"colour": "blue"}),
        case("6.1 selectedTables.json", "script", "selectedTables.json", {"People": True}),
        case("6.1 mapping.json", "script", "mapping.json", MAPPING),
        case("6.1 job_details.json", "script", "job_details.json", {"status": "ETL_STARTED", "tenant": "acme"}),
        case("6.1 targets/<connector>/", "target-target-seen", "targets/target-seen/config.json", {"colour": "blue"}),
        case("6.1 snapshots/", "script", "snapshots/tenant-config.json", {"hotglue_metadata": {"metadata": {"plan": "gold"}}}),
    ],
)  # fmt: skip
def test_a_file_says(first: Witnessed, role: str, path: str, says: dict[str, Any]) -> None:
    found = first.files(role)[path]

    assert {name: found.get(name) for name in says} == says


@row("6.1 root", "10 9")
def test_the_root_has_hotglues_own_path_while_the_job_runs(first: Witnessed) -> None:
    """
    Where the server may write there; afterwards nothing is left.
    """
    root = first.variables("script")["ROOT"]

    if os.geteuid() == 0:
        assert {first.notes[role]["home"] for role in ("tap", "script", "target-target-seen")} == {root}
    assert not os.path.lexists(f"/home/hotglue/{first.record['job_id']}")


@pytest.mark.parametrize(
    ("role", "folder"),
    [
        case("6.1 sync-output/", "tap", "sync-output"),
        case("6.1 snapshots/", "tap", "snapshots"),
        case("6.1 etl-output/", "script", "etl-output"),
        case("6.1 tmp/", "script", "tmp"),
    ],
)
def test_a_folder_is_there_before_it_is_needed(first: Witnessed, role: str, folder: str) -> None:
    assert folder in first.notes[role]["folders"]


@row("6.1 etl-output/", "6.1 targets/<connector>/")
def test_the_target_works_in_a_folder_of_its_own_below_the_scripts_output(first: Witnessed) -> None:
    assert first.notes["target-target-seen"]["cwd"] == f"{first.variables('script')['ROOT']}/targets/target-seen"
    assert "etl-output/data.singer" in first.files("target-target-seen")


@row("6.1 plugins/")
def test_plugins_of_the_flow_are_there_for_gluestick(first: Witnessed) -> None:
    """
    Of the flow, for all its tenants: tenants have no plug-ins of their own here.
    """
    assert first.files("script")["plugins/people_post_process.py"].startswith("def main(context, df, model,")


@row("6.1 catalog.json", "6.1 catalog-selected.json")
def test_the_catalog_is_there_whole_and_as_selected(first: Witnessed) -> None:
    """
    Just what the field map names is selected, and what the tap always gives.
    """
    whole, selected = (first.files("script")[name] for name in ("catalog.json", "catalog-selected.json"))

    assert [stream["stream"] for stream in whole["streams"]] == list(FIELD_MAP)
    people = {
        entry["breadcrumb"][-1]: entry["metadata"]["selected"]
        for entry in selected["streams"][0]["metadata"]
        if entry["breadcrumb"]
    }
    assert people == {"id": True, "name": True, "born": True, "tags": True}
    assert "selected" not in json.dumps(whole)


@row("6.1 target-catalog.json")
def test_the_targets_catalog_is_there_once_it_was_discovered(first: Witnessed) -> None:
    assert [stream["stream"] for stream in first.files("script")["target-catalog.json"]["streams"]] == ["Contacts"]


@row("6.1 state.json")
def test_state_json_is_there_from_the_second_job_on(first: Witnessed, second: Witnessed) -> None:
    """
    Its presence is what makes a sync incremental.
    """
    assert "state.json" not in first.files("tap")
    assert second.files("tap")["state.json"] == second.files("script")["state.json"] == {"bookmarks": {"people": 3}}


@row("6.1 state.json", "4 state")
def test_state_json_is_the_payload_in_a_job_of_the_api(acme: RunningServer, pushed: Witnessed) -> None:
    """
    It is never mixed with the source's saved state, which stays what it was.
    """
    saved = acme.client.get("/hotglue/witnessed/seen/acme/linkedSources/state").json()

    assert pushed.files("script")["state.json"] == {"people": PEOPLE}
    assert pushed.record["state"] == {"people": PEOPLE}
    assert saved == {"bookmarks": {"people": 3}}


@row("6.1 target-state.json", "6.1 job_details.json")
def test_what_is_kept_of_a_job_holds_its_state_and_details_and_no_settings(first: Witnessed) -> None:
    state = json.loads((first.folder / "target-state.json").read_text())
    details = json.loads((first.folder / "job_details.json").read_text())

    assert state["bookmarks"]["People"] == first.record["metrics"]["exportDetails"]["People"]
    assert details["s3_root"] == first.record["s3_root"]
    assert list(first.folder.rglob("*config.json")) == []
