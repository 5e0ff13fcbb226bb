"""
Section 6.3: what a script is started with, what it finds, and what it hands on.
"""

from __future__ import annotations

import sys

import pytest
from hotglue_rows import case, row

from acceptance.running_server import RunningServer
from acceptance.witnesses import Witnessed

OPTIONAL = {"base_input_dir", "output_dir", "snapshot_dir", "tmp_dir", "config_json", "today"}


@row("6.3 command")
def test_a_script_runs_in_the_root(first: Witnessed) -> None:
    """
    As `python etl.py`: without arguments, with the root as its working folder.
    """
    assert first.notes["script"]["arguments"] == []
    assert first.notes["script"]["cwd"] == first.variables("script")["ROOT"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        case("6.3 TENANT", "TENANT", "acme"),
        case("6.3 USER_ID", "USER_ID", "acme"),
        case("6.3 FLOW", "FLOW", "seen"),
        case("6.3 ENV_ID", "ENV_ID", "witnessed"),
        case("6.3 JOB_ID", "JOB_ID", "{job_id}"),
        case("6.3 JOB_ROOT", "JOB_ROOT", "{s3_root}"),
        case("6.3 TAP", "TAP", "tap-seen"),
        case("6.3 TARGET", "TARGET", "target-seen"),
        case("6.3 SYNC_TYPE", "SYNC_TYPE", "full_sync"),
        case("6.3 custom", "SEEN_SHARED", "the job's"),
        case("6.3 custom", "SEEN_OWN", "the workspace's"),
        case("4 environment_variables", "SEEN_NUMBER", "7"),
        case("4 default_export_format", "DEFAULT_EXPORT_FORMAT", "csv"),
    ],
)
def test_a_variable_says(first: Witnessed, name: str, value: str) -> None:
    """
    Script, tap and target see the same.
    """
    said = value.format(**first.record)

    assert {first.variables(role)[name] for role in ("script", "tap", "target-target-seen")} == {said}


@pytest.mark.parametrize(
    ("role", "name", "value"),
    [
        case("6.3 ROOT", "script", "ROOT", "{cwd}"),
        case("6.3 ROOT_DIR", "script", "ROOT_DIR", "{cwd}"),
        case("6.3 SNAPSHOT_DIR", "script", "SNAPSHOT_DIR", "{cwd}/snapshots"),
        case("10 9", "tap", "ROOT_DIR", "{cwd}"),
    ],
)
def test_a_variable_says_where(first: Witnessed, role: str, name: str, value: str) -> None:
    assert first.variables(role)[name] == value.format(cwd=first.notes[role]["cwd"])


@row("6.3 SYNC_TYPE")
def test_the_sync_type_of_the_next_job_is_incremental(second: Witnessed) -> None:
    assert second.variables("script")["SYNC_TYPE"] == second.record["sync_type"] == "incremental_sync"


@pytest.mark.parametrize(
    ("name", "read", "written"),
    [
        case("6.3 JOB_TYPE", "JOB_TYPE", "read", "write"),
        case("6.3 CONNECTOR_ID", "CONNECTOR_ID", "seen", "seen"),
        case("6.3 TAP", "TAP", "seen", "api"),
        case("6.3 TARGET", "TARGET", "target-seen", "seen"),
    ],
)
def test_a_variable_of_a_v2_job_says(
    first: Witnessed, read_v2: Witnessed, written_v2: Witnessed, name: str, read: str, written: str
) -> None:
    assert read_v2.variables("script")[name] == read
    assert written_v2.variables("script")[name] == written
    assert (name in first.variables("script")) == (name in ("TAP", "TARGET"))


@row("6.3 API_KEY", "6.3 API_URL")
def test_a_job_may_ask_the_server_for_its_own_environment_while_it_runs(acme: RunningServer, first: Witnessed) -> None:
    """
    What the script of the flow `contract` does; here: the key ends with the job.
    """
    variables = first.variables("script")
    answer = acme.client.get(
        f"/hotglue/{variables['ENV_ID']}/flows/supported", headers={"x-api-key": variables["API_KEY"]}
    )

    assert variables["API_URL"] == f"http://127.0.0.1:{acme.port}/hotglue"
    assert answer.status_code == 403


@row("6.3 STREAMING_JOB", "4 streaming_job")
def test_only_streaming_jobs_are_told_that_they_are(first: Witnessed, streamed: Witnessed) -> None:
    assert {streamed.variables(role)["STREAMING_JOB"] for role in ("tap", "target")} == {"True"}
    assert "STREAMING_JOB" not in first.variables("script")


@row("6.3 optional paths")
def test_variables_that_only_move_gluesticks_folders_are_not_set(first: Witnessed) -> None:
    """
    Its defaults, relative to the working folder, are where the folders are.
    """
    assert OPTIONAL & set(first.variables("script")) == set()


@row("6.3 connectors")
def test_taps_and_targets_get_what_the_script_gets(first: Witnessed) -> None:
    """
    Whatever names the job; each process has its own besides.
    """
    names = {"TENANT", "FLOW", "JOB_ID", "JOB_ROOT", "ENV_ID", "API_KEY", "API_URL", "TAP", "TARGET", "SNAPSHOT_DIR"}
    script = {name: first.variables("script")[name] for name in names}

    for role in ("tap", "target-target-seen"):
        assert {name: first.variables(role)[name] for name in names} == script


@row("6.3 environment", "10 10")
def test_a_script_has_an_environment_of_its_own(first: Witnessed) -> None:
    """
    Nothing of the server's own packages can be imported in it.
    """
    assert first.notes["script"]["prefix"] != sys.prefix
    assert "PYTHONPATH" not in first.variables("script")


@row("6.3 stream name")
def test_a_stream_is_the_file_name_up_to_its_last_dash(first: Witnessed) -> None:
    names = [name.removeprefix("sync-output/") for name in first.files("script") if name.endswith(".csv")]

    assert sorted(name.rsplit(".", 1)[0].rsplit("-", 1)[0] for name in names if "snapshot" not in name) == [
        "orders_open",
        "people",
    ]


@row("6.3 data.singer", "6.3 stream name")
def test_what_a_script_writes_reaches_the_target_line_by_line(first: Witnessed) -> None:
    """
    The marks that gluestick puts into a SCHEMA included.
    """
    schema, *records, state = first.exported()

    assert schema["schema"]["x-hotglue"] == {"target_state_fields": ["name"]}
    assert [line["record"]["id"] for line in records] == ["1", "2", "3"]
    assert state == {"type": "STATE", "value": {}}


@row("6.3 file targets", "6.4 file target")
def test_a_target_of_files_gets_the_files_themselves(uploaded: Witnessed) -> None:
    """
    `input_path` names them; it is this job's alone. Nothing comes on standard input.
    """
    note = uploaded.notes["target-target-files"]
    config = note["files"]["targets/target-files/config.json"]
    given = [name for name in note["files"] if name.startswith("etl-output/")]

    assert config == {"a": 1, "input_path": f"{note['variables']['ROOT']}/etl-output"}
    assert sorted(name.split("-")[1].removeprefix("output/") for name in given) == ["orders_open", "people"]
    assert all(name.endswith(".parquet") for name in given)
    assert note["lines"] == []


@row("6.3 no script")
def test_without_a_script_the_records_pass_with_the_catalogs_keys(passed: Witnessed) -> None:
    lines = passed.exported()
    schemas = {line["stream"]: line["key_properties"] for line in lines if line["type"] == "SCHEMA"}
    people = [line["record"] for line in lines if line["type"] == "RECORD" and line["stream"] == "people"]

    assert schemas == {"people": ["id"], "orders/open": ["id"]}
    assert [(one["id"], one["name"], one["tags"]) for one in people] == [
        (1, "Ada", ["a", "b"]),
        (2, None, None),
        (3, "Grace", []),
    ]
