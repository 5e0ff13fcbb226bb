"""
Open-source taps, scripts and targets as their users install them, each in an environment of its own.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from hotglue_rows import row

from acceptance.projects import FAKES, ProjectFolder
from acceptance.running_server import RunningServer, eventually, running

ENVIRONMENT_SECONDS = 280.0

CONNECTORS = {
    "tap-jsonl": {"kind": "tap", "install": ["tap-jsonl==0.3.1"]},
    "tap-rest": {
        "kind": "tap",
        "install": ["tap-rest-api-msdk==1.4.2", "setuptools<81"],
        "executable": "tap-rest-api-msdk",
    },
    "tap-postgres": {
        "kind": "tap",
        "install": ["pipelinewise-tap-postgres==2.1.0"],
        "executable": "tap-postgres",
        "catalog_flag": "properties",
    },
    "target-crm": {
        "kind": "target",
        "install": [str(FAKES / "target_crm")],
        "executable": "target-crm",
        "access_token": True,
    },
    "target-jsonl": {"kind": "target", "install": ["target-jsonl==0.1.4"]},
    "target-duckdb": {"kind": "target", "install": ["target-duckdb==0.8.0"]},
    "target-postgres": {
        "kind": "target",
        "install": ["pipelinewise-target-postgres==2.1.2"],
        "executable": "target-postgres",
    },
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Where sources are read and destinations written.
    """
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def server(work: Path, environments: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    project = ProjectFolder(tmp_path_factory.mktemp("project"), connectors=CONNECTORS)
    for tenant in ("acme", "hand-over"):
        write_contacts(work / f"{tenant}.jsonl", "Ada", "bad Bob", "Grace")
    project.flow(
        "crm",
        {
            tenant: (jsonl(work, tenant), {"file": str(work / f"{tenant}.json")})
            for tenant in ("acme", "hand-over", "pushes")
        },
        script="etl_gluestick.py",
        requirements="gluestick==3.0.21\n",
        source="tap-jsonl",
        target="target-crm",
    )
    write_contacts(work / "plain.jsonl", "Ada", "Grace")
    project.flow(
        "lines",
        {"plain": (jsonl(work, "plain"), {"destination_path": str(work / "lines"), "do_timestamp_file": False})},
        source="tap-jsonl",
        target="target-jsonl",
    )
    (work / "lines").mkdir()
    project.flow("flights", {}, source="tap-rest", target="target-duckdb")
    project.flow("people", {}, source="tap-postgres", target="target-postgres")
    home = tmp_path_factory.mktemp("home")
    (home / "environments").symlink_to(environments)  # the tests of Meltano run two of the same
    with running(home, project.folder) as started:
        yield started


def jsonl(work: Path, tenant: str) -> dict[str, Any]:
    return {"path": str(work / f"{tenant}.jsonl"), "stream_name": "contacts", "primary_keys": ["id"]}


def write_contacts(file: Path, *names: str) -> None:
    file.write_text("".join(json.dumps({"id": at, "name": name}) + "\n" for at, name in enumerate(names, 1)))


def link(server: RunningServer, flow: str, tenant: str, tap: dict[str, Any], target: dict[str, Any]) -> None:
    """
    Link both ends of a flow whose settings are known only now.
    """
    for path, body in (("linkedSources", {"source": tap}), ("linkedTargets", {"target": target})):
        answer = server.client.post(f"/hotglue/demo/{flow}/{tenant}/{path}", json=body)
        assert answer.is_success, answer.text


@row("6.3 environment", "6.5 names", "10 10", "6.4 summary", "6.4 details")
def test_gluestick_and_hotglues_target_sdk(server: RunningServer, work: Path) -> None:
    """
    The first export creates what can be created, and tells of each record; the second updates by the id map instead.
    """
    first = server.run("crm", "acme", seconds=ENVIRONMENT_SECONDS)
    second = server.run("crm", "acme")

    assert first["status"] == second["status"] == "JOB_COMPLETED", (first["message"], second["message"])
    assert first["metrics"]["exportSummary"]["Contacts"] == {"success": 2, "fail": 1, "existing": 0, "updated": 0}
    refused = [entry for entry in first["metrics"]["exportDetails"]["Contacts"] if not entry["success"]]
    assert [(entry["externalId"], entry["hg_error_class"]) for entry in refused] == [("2", "InvalidPayloadError")]
    assert second["metrics"]["exportSummary"]["Contacts"] == {"success": 0, "fail": 1, "existing": 0, "updated": 2}
    assert json.loads((work / "acme.json").read_text()) == {"Ada": "C-1", "Grace": "C-2"}
    snapshots = sorted(file.name for file in (server.folder(second) / "snapshots").iterdir())
    assert snapshots == ["Contacts_crm.snapshot.csv", "contacts.snapshot.parquet"]


@row("4 state", "4 tap", "6.4 details")
def test_records_that_are_sent_with_a_job_are_written_one_by_one(server: RunningServer, work: Path) -> None:
    """
    A write by the tap `api`: what became of each record, by the id that the sender gave it.
    """
    known = json.dumps({"Grace": "C-7"})
    (work / "pushed.json").write_text(known)
    people = [{"id": 1, "name": "Ada"}, {"id": 2, "name": "bad Bob"}, {"id": 3, "name": "Grace"}]
    asked = {"tap": "api", "state": {"contacts": people}, "override_target_config": {"file": str(work / "pushed.json")}}

    record = server.run("crm", "pushes", asked, seconds=ENVIRONMENT_SECONDS)

    assert record["status"] == "JOB_COMPLETED", record["message"]
    assert record["metrics"]["exportSummary"]["Contacts"] == {"success": 1, "fail": 1, "existing": 1, "updated": 0}
    details = {str(entry["externalId"]): entry for entry in record["metrics"]["exportDetails"]["Contacts"]}
    assert (details["1"]["success"], details["1"]["id"]) == (True, "C-2")
    assert (details["2"]["success"], details["2"]["error"]) == (False, "bad Bob is no name")


@row("6.1 errors.txt")
def test_an_error_told_by_gluestick_is_the_jobs_message(server: RunningServer, work: Path) -> None:
    settings = jsonl(work, "forbidden")
    write_contacts(work / "forbidden.jsonl", "forbidden")

    record = server.run("crm", "acme", {"override_source_config": settings}, seconds=ENVIRONMENT_SECONDS)

    assert record["status"] == "ETL_FAILED"
    assert record["message"].startswith("ERROR: The contacts cannot be mapped. Cause: contact 'forbidden'")


@row("6.4 kill", "6.1 incremental_target_state.json", "6.4 re-trigger")
def test_a_killed_target_hands_over_what_it_did(server: RunningServer, work: Path) -> None:
    """
    A target of the SDK that is asked to end drains, and leaves what it did in `incremental_target_state.json`; when the job's export
    is run again, it goes on from there.
    """
    gate = work / "gate"
    job = server.submit("crm", "hand-over", {"override_target_config": {"stay": str(gate)}}).json()
    server.wait_for(job, lambda record: record["status"].startswith("EXPORT"), seconds=ENVIRONMENT_SECONDS)
    eventually((work / "hand-over.json").exists, seconds=60, what="the first contact is written")

    server.client.post("/hotglue/demo/crm/hand-over/jobs/kill", params={"job_root": job["s3_root"]})
    record = server.wait(job, seconds=15)
    gate.touch()
    again = server.client.post(f"/api/v1/jobs/{record['task_id']}/rerun", json={"from_step": "export"})
    (rerun,) = server.client.get("/hotglue/demo/crm/hand-over/jobs", params={"count": 1}).json()
    rerun = server.wait(rerun)

    assert record["status"] == "EXPORT_FAILED"
    left = json.loads((server.folder(record) / "incremental_target_state.json").read_text())
    assert [entry["id"] for entry in left["bookmarks"]["Contacts"]] == ["C-1"]
    assert again.status_code == 201, again.text
    assert rerun["status"] == "JOB_COMPLETED", rerun["message"]
    assert [entry.get("id") for entry in rerun["metrics"]["exportDetails"]["Contacts"]] == ["C-1", None, "C-2"], rerun[
        "metrics"
    ]
    assert rerun["metrics"]["exportSummary"]["Contacts"] == {"success": 2, "fail": 1, "existing": 0, "updated": 0}
    assert json.loads((work / "hand-over.json").read_text()) == {"Ada": "C-1", "Grace": "C-2"}


def test_a_flow_without_a_script_passes_the_records_on(server: RunningServer, work: Path) -> None:
    record = server.run("lines", "plain", seconds=ENVIRONMENT_SECONDS)

    assert record["status"] == "JOB_COMPLETED", record["message"]
    lines = (work / "lines/contacts.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["Ada", "Grace"]


def test_a_streaming_job_of_real_parts(server: RunningServer, work: Path) -> None:
    record = server.run("lines", "plain", {"streaming_job": True}, seconds=ENVIRONMENT_SECONDS)

    assert record["status"] == "JOB_COMPLETED", record["message"]
    assert record["metrics"]["recordCount"] == {"contacts": 2}


class Flights(BaseHTTPRequestHandler):
    """
    250 flights over HTTP, by offset and limit.
    """

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        offset, limit = int(query.get("offset", ["0"])[0]), int(query.get("limit", ["100"])[0])
        rows = [{"id": at, "carrier": "UA" if at % 2 else None} for at in range(offset, min(250, offset + limit))]
        body = json.dumps({"data": rows}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """
        Keep the test's output clean.
        """


class Tokens(BaseHTTPRequestHandler):
    """
    OAuth 2 with refresh tokens that are good once: `r1`, then `r2`, and so on.
    """

    good = 1

    def do_POST(self) -> None:
        asked = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        refused = asked["refresh_token"] != [f"r{self.good}"]
        if not refused:
            type(self).good += 1
        granted = {"access_token": f"a{self.good}", "refresh_token": f"r{self.good}", "expires_in": 3600}
        body = json.dumps({"error": "invalid_grant"} if refused else granted).encode()
        self.send_response(400 if refused else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """
        Keep the test's output clean.
        """


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def flights() -> Iterator[str]:
    with listening(Flights) as url:
        yield url


@row("2.2 L9")
def test_a_token_is_refreshed_by_hotglues_target_sdk(server: RunningServer, work: Path) -> None:
    """
    Both tokens are saved; an account that refuses is told as the SDK tells it, and shown on the link.
    """
    path = "/hotglue/demo/crm/tokens"
    ask, links = f"{path}/connectors/target-crm/accesstoken", f"{path}/linkedTargets?config=true"
    with listening(Tokens) as url:
        config = {
            "file": str(work / "x"),
            "auth_url": url,
            "client_id": "c",
            "client_secret": "s",
            "refresh_token": "r1",
        }
        made = server.client.post(links, json={"target": {"target": "target-crm", "config": config}})
        assert made.is_success, made.text
        given = server.client.get(ask, timeout=ENVIRONMENT_SECONDS)
        saved = server.client.get(links).json()[0]["config"]
        Tokens.good = 9
        refused = server.client.get(ask, params={"refresh": "true"}, timeout=ENVIRONMENT_SECONDS)
        marked = server.client.get(links).json()[0]

    assert (given.status_code, given.json().get("access_token")) == (200, "a2"), given.text
    assert (saved["access_token"], saved["refresh_token"]) == ("a2", "r2")
    assert given.json()["expires_in"] == saved["expires_in"]
    assert (refused.status_code, refused.json()["Code"]) == (400, "BadRequestError")
    assert "invalid_grant" in refused.json()["Message"]
    assert (marked["disconnected"], marked["config"]["refresh_token"]) == (True, "r2")


@pytest.mark.chaos
def test_a_rest_source_into_duckdb(server: RunningServer, work: Path, flights: str) -> None:
    """
    Pages of an HTTP API become rows of a table.
    """
    source = {
        "api_url": flights,
        "streams": [{"name": "flights", "path": "/flights", "records_path": "$.data[*]", "primary_keys": ["id"]}],
        "pagination_request_style": "simple_offset_paginator",
        "pagination_response_style": "offset",
        "pagination_page_size": 100,
        "offset_records_jsonpath": "$.data",
        "pagination_initial_offset": 0,
    }
    file = work / "flights.duckdb"
    destination = {
        "path": str(file),
        "filepath": str(file),
        "default_target_schema": "main",
        "disable_collection": True,
    }
    link(
        server,
        "flights",
        "acme",
        {"tap": "tap-rest", "config": source},
        {"target": "target-duckdb", "config": destination},
    )

    record = server.run("flights", "acme", seconds=ENVIRONMENT_SECONDS)

    assert record["status"] == "JOB_COMPLETED", record["message"]
    assert record["processed_rows"] == 250
    assert rows_in_duckdb(server, file, "flights") == 250


def rows_in_duckdb(server: RunningServer, file: Path, table: str) -> int:
    """
    Count the rows of a table, in whatever schema, by the DuckDB that the target brought along.
    """
    count = f"""
import duckdb
database = duckdb.connect({str(file)!r})
query = "select table_catalog, table_schema, table_name from information_schema.tables where table_name = '{table}'"
(place,) = database.execute(query).fetchall()
print(database.execute("select count(*) from " + ".".join(f'"{{name}}"' for name in place)).fetchone()[0])
"""
    environments = server.home / "environments"  # a link, which a search from the home would not follow
    pythons = [path for path in environments.glob("*/bin/python") if (path.parent / "target-duckdb").exists()]
    asked = subprocess.run([pythons[0], "-c", count], capture_output=True, text=True, timeout=60, check=False)
    assert asked.returncode == 0, asked.stderr
    return int(asked.stdout)


@pytest.mark.chaos
def test_postgres_to_postgres(server: RunningServer, empty_database_url: str) -> None:
    """
    A discovered table goes from one schema to another, by its key and without rows lost.
    """
    with psycopg.connect(empty_database_url, autocommit=True) as database:
        database.execute("create table people (id integer primary key, name text, born date, score numeric(10, 2))")
        database.execute(
            "insert into people select n, 'name ' || n, date '2000-01-01' + n, n / 4.0 from generate_series(1, 500) n"
        )
        facts = psycopg.conninfo.conninfo_to_dict(empty_database_url)
        login = {
            "host": facts["host"],
            "port": int(facts.get("port", 5432)),
            "user": facts["user"],
            "password": Path(facts["passfile"]).read_text().strip().rsplit(":", 1)[1],
            "dbname": facts["dbname"],
        }
        link(
            server,
            "people",
            "acme",
            {
                "tap": "tap-postgres",
                "config": {**login, "filter_schemas": "public", "default_replication_method": "FULL_TABLE"},
            },
            {
                "target": "target-postgres",
                "config": {**login, "default_target_schema": "copied", "disable_collection": True},
            },
        )

        record = server.run("people", "acme", seconds=ENVIRONMENT_SECONDS)

        assert record["status"] == "JOB_COMPLETED", record["message"]
        ((table,),) = database.execute("select tablename from pg_tables where schemaname = 'copied'").fetchall()
        people = database.execute(f'select count(distinct id), sum(score), min(born)::date from copied."{table}"')
        assert people.fetchone() == (500, Decimal("31312.50"), date(2000, 1, 2)), server.logs(record)
