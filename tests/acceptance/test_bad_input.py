"""
Whatever is wrong outside, the caller gets a clear answer, nothing is lost, and the server goes on.
"""

from __future__ import annotations

import httpx2
import pytest
from hotglue_rows import row

from acceptance.running_server import RunningServer

SECRET = "s3cr3t-t0ken/with+signs"


@pytest.fixture(autouse=True)
def unharmed(shared_server: RunningServer) -> object:
    """
    After each test the same processes run as before, and a good job completes.
    """
    before = {role: shared_server.role(role).pid for role in ("serve", "worker")}
    yield
    assert {role: shared_server.role(role).pid for role in ("serve", "worker")} == before


@pytest.mark.parametrize(
    ("tenant", "status", "says"),
    [
        ("exit-3", "SYNC_FAILED", "the source answered 500 three times"),
        ("raise", "SYNC_FAILED", "ValueError: the field 'total' is missing in order 17"),
        ("garbage", "SYNC_FAILED", "line"),
        ("nothing", "SYNC_FAILED", "sent no SCHEMA"),
        ("no-schema", "SYNC_FAILED", "SCHEMA"),
        ("state-then-crash", "SYNC_FAILED", "connection reset by the source"),
        ("hang", "SYNC_FAILED", "no output for"),
        ("silent", "SYNC_FAILED", "no output for"),
    ],
)
@row("6.2 exit code", "drill 25", "drill 26", "drill 28", "drill 29", "drill 30")
def test_a_tap_that_fails_fails_the_sync(shared_server: RunningServer, tenant: str, status: str, says: str) -> None:
    """
    The status names the stage, the message begins with the cause, and the source's state is what it was.
    """
    flow = "impatient" if tenant in ("hang", "silent") else "plain"
    record = shared_server.run(flow, tenant)
    again = shared_server.run(flow, tenant)

    assert record["status"] == status
    assert says in record["message"]
    assert record["error"]["message"] == record["message"]
    assert again["sync_type"] == "full_sync"  # no state was saved
    assert (shared_server.folder(record) / "job_details.json").exists()


@row("drill 30")
def test_noise_on_standard_output_is_no_failure(shared_server: RunningServer) -> None:
    record = shared_server.run("plain", "noise")

    assert record["status"] == "JOB_COMPLETED"
    assert record["processed_rows"] == 3
    assert "fetched page 2" in shared_server.logs(record)


@row("drill 27")
def test_a_daemon_of_a_tap_does_not_outlive_its_job(shared_server: RunningServer) -> None:
    record = shared_server.run("plain", "daemon")

    pid = shared_server.logs(record).split("pid ")[1].split()[0]
    left = [process for process in shared_server.processes() if str(process.pid) == pid]
    assert record["status"] == "JOB_COMPLETED"
    assert left == []


@row("drill 34")
def test_secrets_do_not_show(shared_server: RunningServer) -> None:
    """
    A secret that a tap prints, in whatever form, is in no log, message or file that is kept.
    """
    record = shared_server.run("plain", "print-secret")
    logs = shared_server.logs(record)

    assert record["status"] == "JOB_COMPLETED"
    assert "connecting with *** now" in logs
    assert SECRET not in logs
    kept = [
        path
        for path in shared_server.folder(record).rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    assert kept == []


@row("6.6 failed")
def test_a_rotated_token_is_kept_even_when_the_job_fails(shared_server: RunningServer) -> None:
    """
    What a tap rewrites in its config is what the next job starts with; values given for one job only are not kept.
    """
    shared_server.run("plain", "rotate-token", {"override_target_config": {"mode": "exit-4"}})
    record = shared_server.run("plain", "rotate-token", {"override_source_config": {"mode": "exit-3"}})
    third = shared_server.run("plain", "rotate-token")

    assert record["status"] == "SYNC_FAILED"
    assert third["status"] == "JOB_COMPLETED"


@row("3.1 setup")
@pytest.mark.parametrize(
    ("flow", "status", "says"),
    [("no-such-program", "SYNC_FAILED", "no-such-tap"), ("no-such-package", "ETL_FAILED", "headrace-no-such-package")],
)
def test_what_cannot_be_set_up_fails_the_stage_that_needs_it(
    shared_server: RunningServer, flow: str, status: str, says: str
) -> None:
    record = shared_server.run(flow, "acme", seconds=90)

    assert record["status"] == status
    assert says in record["message"]


@pytest.mark.parametrize(
    ("flow", "says"),
    [
        ("script-raises", "Error"),
        ("script-nothing", "wrote nothing to etl-output"),
        ("script-errors-txt", ""),
        ("script-syntax", "SyntaxError"),
        ("script-loop", "took too long: limit 1"),
        ("script-memory", "out of memory: limit 100 MB, peak"),
    ],
)
@row("drill 35", "drill 38", "6.3 exit code")
def test_a_script_that_fails_fails_the_etl(shared_server: RunningServer, flow: str, says: str) -> None:
    record = shared_server.run(flow, "acme", seconds=90)
    folder = shared_server.folder(record)

    assert record["status"] == "ETL_FAILED"
    assert says in record["message"]
    assert list((folder / "sync-output").glob("people-*.parquet"))  # kept for inspection


@pytest.mark.parametrize(("tenant", "says"), [("exits-early", "before it had read its input"), ("exit-4", "")])
@row("drill 28", "6.4 exit code")
def test_a_target_that_leaves_early_fails_the_export(shared_server: RunningServer, tenant: str, says: str) -> None:
    record = shared_server.run("target", tenant)

    assert record["status"] == "EXPORT_FAILED"
    assert says in record["message"]
    assert (shared_server.folder(record) / "etl-output/data.singer").exists()


@pytest.mark.parametrize(
    ("path", "headers", "body", "code"),
    [
        ("/hotglue/demo/plain/good/jobs", {"x-api-key": "wrong"}, b"{}", 403),
        ("/hotglue/demo/plain/good/jobs", {"x-api-key": ""}, b"{}", 403),
        ("/hotglue/nowhere/plain/good/jobs", {}, b"{}", 400),
        ("/hotglue/demo/nothing/good/jobs", {}, b"{}", 400),
        ("/hotglue/demo/plain/nobody/jobs", {}, b"{}", 400),
        ("/hotglue/demo/plain/good/jobs", {}, b"{", 400),
        ("/hotglue/demo/plain/good/jobs", {}, b"[]", 400),
        ("/hotglue/demo/plain/good/jobs", {}, b'{"tap": 7}', 400),
        ("/hotglue/demo/plain/good/jobs", {}, b'{"streaming_job": "yes"}', 400),
        ("/hotglue/demo/plain/good/jobs", {}, b'{"override_start_date": "soon"}', 400),
        ("/hotglue/demo/plain/good/jobs", {}, b'{"state": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001, 400),
        ("/hotglue/demo/plain/%2e%2e%2f%2e%2e/jobs", {}, b"{}", 400),
        ("/hotglue/demo/plain/a%00b/jobs", {}, b"{}", 400),
        ("/hotglue/demo/plain/" + "x" * 4096 + "/jobs", {}, b"{}", 400),
    ],
)
def test_a_wrong_request_is_refused_in_the_wires_own_shape(
    shared_server: RunningServer, path: str, headers: dict[str, str], body: bytes, code: int
) -> None:
    answer = shared_server.client.post(path, headers={"content-type": "application/json", **headers}, content=body)

    assert answer.status_code == code, answer.text
    assert set(answer.json()) >= {"Code", "Message"}
    assert answer.json()["Message"]


def test_an_unknown_root_is_answered_as_documented(shared_server: RunningServer) -> None:
    answer = shared_server.client.get("/hotglue/demo/plain/good/jobs/status", params={"job_root": "good/../../etc"})

    assert answer.status_code == 400
    assert answer.json() == {"Code": "Error", "Message": "Invalid job_root supplied - job does not exist!"}


def test_a_body_of_100_mb_is_refused_without_being_held(shared_server: RunningServer) -> None:
    """
    The body is refused at its limit; the server's memory does not grow by what was sent.
    """
    serve = shared_server.role("serve")
    before_bytes = serve.memory_info().rss

    def body() -> object:
        yield b'{"state": {"a": "'
        for _ in range(100):
            yield b"x" * 2**20
        yield b'"}}'

    try:
        answer = shared_server.client.post(
            "/hotglue/demo/plain/good/jobs", headers={"content-type": "application/json"}, content=body()
        )
        assert answer.status_code in (400, 413)
        assert set(answer.json()) >= {"Code", "Message"}
    except (httpx2.WriteError, httpx2.RemoteProtocolError):
        pass  # refused while it was still being sent
    assert serve.memory_info().rss - before_bytes < 40 * 2**20


def test_a_wrong_flow_file_leaves_the_last_good_one_in_force(shared_server: RunningServer) -> None:
    """
    A mistake in a file is told with file and line; jobs go on with the version before.
    """
    file = shared_server.project / "flows/many/flow.yml"
    good = file.read_text()
    file.write_text("source: tap-fake\ntargt: target-fake\n")
    try:
        from acceptance.running_server import eventually

        def problems() -> list[dict[str, object]] | None:
            found = shared_server.client.get("/api/v1/problems").json()
            return found.get("problems") or None

        told = eventually(problems, seconds=10, what="the problem is told")
        record = shared_server.run("many", "t0")
    finally:
        file.write_text(good)

    assert "targt" in str(told)
    assert "flow.yml" in str(told)
    assert record["status"] == "JOB_COMPLETED"
