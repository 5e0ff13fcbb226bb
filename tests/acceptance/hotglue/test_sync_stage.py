"""
Section 6.2: what a tap is started with, and what becomes of what it writes.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pyarrow.parquet as pq
from hotglue_rows import row

from acceptance.hotglue.conftest import PEOPLE
from acceptance.running_server import RunningServer
from acceptance.witnesses import Witnessed, run


def synced(job: Witnessed) -> dict[str, Path]:
    """
    List the files of a sync by their stream.
    """
    files = (job.folder / "sync-output").iterdir()
    return {file.stem.rsplit("-", 1)[0]: file for file in files if file.suffix in (".csv", ".parquet")}


@row("6.2 command", "6.2 last state")
def test_a_tap_gets_config_catalog_and_from_the_second_job_on_state(first: Witnessed, second: Witnessed) -> None:
    command = ["tap", "--config", "config.json", "--catalog", "catalog-selected.json"]

    assert first.notes["tap"]["arguments"] == command
    assert second.notes["tap"]["arguments"] == [*command, "--state", "state.json"]


@row("6.2 properties")
def test_a_tap_of_the_older_convention_gets_properties(passed: Witnessed) -> None:
    assert passed.notes["tap"]["arguments"][3:] == ["--properties", "catalog-selected.json"]


@row("6.2 discover")
def test_a_tap_without_a_catalog_is_asked_for_it_first(first: Witnessed) -> None:
    assert first.notes["tap-discover"]["arguments"] == ["tap", "--config", "config.json", "--discover"]


@row("6.2 cwd")
def test_config_json_stands_where_a_tap_works(first: Witnessed) -> None:
    """
    Older taps rewrite `config.json` by its bare name.
    """
    assert first.notes["tap"]["cwd"] == first.variables("tap")["ROOT"]
    assert "config.json" in first.files("tap")


@row("6.2 injected keys")
def test_a_tap_is_told_where_to_write_and_what_its_connection_says(acme: RunningServer, first: Witnessed) -> None:
    """
    `hg_sync_output` is this job's alone, so it is not saved; `start_date_offset` is passed as it stands.
    """
    config = first.files("tap")["config.json"]
    [element] = acme.client.get("/hotglue/witnessed/seen/acme/linkedSources?config=true").json()

    assert config["hg_sync_output"] == f"{first.variables('tap')['ROOT']}/sync-output"
    assert config["start_date_offset"] == "P1D"
    assert "_refresh_token_via_hg_api" not in config  # its default in the SDK is what is meant
    assert element["config"] == {"colour": "red", "start_date_offset": "P1D"}


@row("6.2 injected keys", "4 max_record_count")
def test_a_tap_of_hotglues_sdk_is_told_of_a_limit_on_records(acme: RunningServer, passed: Witnessed) -> None:
    """
    Of a tap that heeds no limit the rest is dropped, and the state is not saved.
    """
    before = acme.client.get("/hotglue/witnessed/seen-plain/acme/linkedSources/state").json()
    asked = {"reset_source_state": True, "environment_variables": {"max_record_count": "1"}}
    limited = run(acme, "seen-plain", "acme", asked)
    after = acme.client.get("/hotglue/witnessed/seen-plain/acme/linkedSources/state").json()

    limits = limited.files("tap")["config.json"]["_hg_max_records_limit"]
    assert limits == {"people": 1, "orders/open": 1, "nobody": 1}
    assert limited.record["metrics"]["recordCount"] == {"people": 1, "orders/open": 1}
    assert (before, after) == ({"bookmarks": {"people": 3}}, {})


@row("6.2 stderr")
def test_what_a_tap_says_on_stderr_is_in_the_log(acme: RunningServer, first: Witnessed) -> None:
    assert "sync the witness reads" in acme.logs(first.record)


@row("6.2 file name", "6.2 no record", "6.1 sync-output/")
def test_each_stream_with_a_record_has_one_file_named_after_it(first: Witnessed) -> None:
    files = synced(first)

    assert set(files) == {"people", "orders_open"}
    assert all(re.fullmatch(r"\w+-\d{8}T\d{6}\.csv", file.name) for file in files.values())


@row("6.2 csv")
def test_a_csv_has_every_column_and_lists_as_json(first: Witnessed) -> None:
    with synced(first)["people"].open(newline="") as file:
        ada, unknown, grace = csv.DictReader(file)

    assert list(ada) == ["id", "name", "born", "tags"]
    assert json.loads(ada["tags"]) == ["a", "b"]
    assert (unknown["name"], unknown["tags"]) == ("", "")
    assert grace["name"] == "Grace"


@row("6.2 parquet")
def test_a_parquet_has_typed_columns_and_all_else_as_json(uploaded: Witnessed) -> None:
    table = pq.read_table(synced(uploaded)["people"])

    assert {field.name: str(field.type) for field in table.schema} == {
        "id": "int64",
        "name": "string",
        "born": "timestamp[ms]",
        "tags": "string",
    }
    assert [None if text is None else json.loads(text) for text in table["tags"].to_pylist()] == [["a", "b"], None, []]


@row("6.2 job_metrics.json")
def test_the_records_of_each_stream_are_counted(first: Witnessed) -> None:
    metrics = json.loads((first.folder / "sync-output/job_metrics.json").read_text())

    assert metrics == {"recordCount": {"people": 3, "orders/open": 1}}
    assert first.record["metrics"]["recordCount"] == metrics["recordCount"]


@row("6.2 api tap")
def test_a_job_of_the_api_starts_no_tap_and_has_a_file_for_each_key(pushed: Witnessed) -> None:
    with synced(pushed)["people"].open(newline="") as file:
        rows = [(int(one["id"]), one["name"]) for one in csv.DictReader(file)]

    assert "tap" not in pushed.notes
    assert rows == [(one["id"], one["name"]) for one in PEOPLE]
