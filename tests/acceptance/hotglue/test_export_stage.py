"""
Section 6.4: what a target is started with, and what is made of what it reports.
"""

from __future__ import annotations

import json

from hotglue_rows import row

from acceptance.running_server import RunningServer
from acceptance.witnesses import Witnessed


@row("6.4 command")
def test_a_target_gets_its_config_and_the_scripts_output(first: Witnessed) -> None:
    note = first.notes["target-target-seen"]

    assert note["arguments"] == ["target", "--config", f"{note['cwd']}/config.json"]
    assert [line["type"] for line in note["lines"]] == ["SCHEMA", "RECORD", "RECORD", "RECORD", "STATE"]


@row("6.4 last line", "6.4 summary", "6.4 details", "3.1 records", "10 6")
def test_the_last_line_of_a_target_is_its_report(first: Witnessed) -> None:
    """
    In its own names and with every key of an entry. Earlier lines lag; a refused record fails no job.
    """
    metrics = first.record["metrics"]
    refused = {
        "success": False, "error": "no name", "hg_error_class": "InvalidPayloadError", "externalId": "2",
        "hash": "0" * 64, "hgBatchId": "b-1", "customData": {"a": 1},
    }  # fmt: skip

    assert metrics["exportSummary"] == {"People": {"success": 2, "fail": 1, "existing": 0, "updated": 0}}
    assert [entry.get("id") for entry in metrics["exportDetails"]["People"]] == ["remote-1", None, "remote-3"]
    assert metrics["exportDetails"]["People"][1] == refused
    assert first.record["status"] == "JOB_COMPLETED"


@row("6.4 several targets", "3.1 EXPORT_FAILED")
def test_every_target_runs_and_one_that_fails_fails_the_job(half_sent: Witnessed) -> None:
    """
    Also those after it, and what all have reported is told; the state of the source stays what it was.
    """
    assert {"target-target-seen", "target-target-other"} <= set(half_sent.notes)
    assert half_sent.notes["target-target-other"]["lines"] == half_sent.exported()
    assert half_sent.record["status"] == "EXPORT_FAILED"
    assert half_sent.record["message"].startswith("the destination is closed")
    assert half_sent.record["metrics"]["exportSummary"]["People"]["success"] == 6


@row("6.4 other targets")
def test_a_target_that_reports_nothing_has_no_summary(shared_server: RunningServer) -> None:
    """
    Neither one that prints a plain Singer state, nor one that prints nothing.
    """
    for tenant in ("good", "no-state"):
        record = shared_server.run("target", tenant)

        assert record["status"] == "JOB_COMPLETED"
        assert set(record["metrics"]) == {"recordCount"}


@row("4 streaming_job", "3.1 streaming", "6.1 target-state.json")
def test_the_state_of_a_streaming_target_holds_the_taps(acme: RunningServer, streamed: Witnessed) -> None:
    """
    Its report stands under `target`, the state that is saved under `tap`; no script ran.
    """
    saved = acme.client.get("/hotglue/witnessed/seen/stream/linkedSources/state").json()
    state = json.loads((streamed.folder / "target-state.json").read_text())

    assert set(streamed.notes) == {"tap", "target"}
    assert saved == state["tap"] == {"bookmarks": {"people": 3}}
    assert streamed.record["metrics"]["exportDetails"] == state["target"]["bookmarks"]
