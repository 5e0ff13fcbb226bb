"""
The file store's contract, for a local folder and for an S3 server, and the logs that stand on it.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from headrace.core.errors import StoreUnavailableError
from headrace.store.database import Database, migrate
from headrace.store.files import FileStore
from headrace.store.logs import LogEntry, Logs

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY_ID, SECRET = "headrace-test-access-key", secrets.token_hex(20)


@pytest.fixture(scope="module")
def s3_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """
    A real S3 server over a folder.
    """
    folder = tmp_path_factory.mktemp("s3")
    (folder / "bucket").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("rclone")), "serve", "s3", "--addr", f"127.0.0.1:{port}"]
    server = subprocess.Popen(
        [*command, "--auth-key", f"{KEY_ID},{SECRET}", "--config", "/dev/null", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            server.poll()
            try:
                server.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        yield port
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(params=["local", "s3"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    """
    Makes a view of one store; each view is another machine with a scratch folder of its own.
    """
    if request.param == "local":
        return lambda machine: FileStore(str(tmp_path / "files"), scratch=tmp_path / machine)
    port = request.getfixturevalue("s3_port")
    options = {
        "endpoint": f"http://127.0.0.1:{port}",
        "access_key_id": KEY_ID,
        "secret_access_key": SECRET,
        "region": "us-east-1",
        "allow_http": "true",
        "virtual_hosted_style_request": "false",
    }
    prefix = secrets.token_hex(4)
    return lambda machine: FileStore(f"s3://bucket/{prefix}", scratch=tmp_path / machine, options=_s3_options(options))


def _s3_options(options: dict[str, str]) -> dict[str, object]:
    client = {"allow_http": True}
    return {**{name: value for name, value in options.items() if name != "allow_http"}, "client_options": client}


async def test_an_object_comes_back_whole(make_store: object) -> None:
    store = make_store("a")

    await store.put("x/y", b"first")
    await store.put("x/y", b"second")

    assert await store.get("x/y") == b"second"
    assert await store.get("x/none") is None


async def test_another_machine_sees_what_was_published(make_store: object) -> None:
    """
    Files of a folder are where another machine obtains it, in subfolders too; what was removed is gone.
    """
    here, there = make_store("a"), make_store("b")
    folder = await here.obtain("jobs/1")
    (folder / "sub").mkdir(exist_ok=True)
    (folder / "sub/kept").write_bytes(b"1")
    (folder / "dropped").write_bytes(b"2")
    await here.publish("jobs/1")
    (folder / "dropped").unlink()
    (folder / "sub/kept").write_bytes(b"changed")
    await here.publish("jobs/1")

    obtained = await there.obtain("jobs/1")

    assert {str(p.relative_to(obtained)): p.read_bytes() for p in obtained.rglob("*") if p.is_file()} == {
        "sub/kept": b"changed"
    }


async def test_a_refreshed_folder_is_just_what_was_published(make_store: object) -> None:
    """
    Two machines write one folder in turn: a change that keeps the size, and a removal, reach a machine that has an older copy.
    """
    here, there = make_store("a"), make_store("b")
    folder = await here.refresh("snapshots/1")
    (folder / "kept").write_bytes(b"1")
    (folder / "dropped").write_bytes(b"2")
    await here.publish("snapshots/1")
    folder = await there.refresh("snapshots/1")
    (folder / "kept").write_bytes(b"3")
    (folder / "dropped").unlink()
    await there.publish("snapshots/1")

    folder = await here.refresh("snapshots/1")

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"kept": b"3"}


async def test_a_removed_folder_is_gone_everywhere(make_store: object) -> None:
    store = make_store("a")
    folder = await store.obtain("jobs/1")
    (folder / "file").write_bytes(b"1")
    await store.publish("jobs/1")

    await store.remove("jobs/1")

    assert await store.sizes("jobs/1") == {}


async def test_a_store_that_does_not_answer_is_told_as_that(tmp_path: Path) -> None:
    store = FileStore(
        "s3://bucket",
        scratch=tmp_path,
        options={
            "endpoint": "http://127.0.0.1:9",
            "access_key_id": KEY_ID,
            "secret_access_key": SECRET,
            "region": "us-east-1",
            "client_options": {"allow_http": True, "connect_timeout": "1s"},
            "retry_config": {"max_retries": 0},
        },
    )

    with pytest.raises(StoreUnavailableError) as refused:
        await store.put("x", b"1")

    assert SECRET not in str(refused.value.facts)


@pytest.fixture
async def logs(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Logs, Database]]:
    await migrate(database_url)
    database = Database(database_url, size=2)
    await database.open()
    yield Logs(database, FileStore(str(tmp_path / "files"), scratch=tmp_path / "scratch")), database
    await database.close()


async def make_job(database: Database) -> object:
    workspace_id, job_id = uuid4(), uuid4()
    await database.run("insert into workspace (id, name) values (%(id)s, %(id)s::text)", {"id": workspace_id})
    await database.run(
        """
        insert into job (id, workspace_id, tenant_id, dialect, definition, public_id, root, name, state, trigger)
        values (%(id)s, %(workspace_id)s, 't', 'hotglue', 'f', 'p', %(id)s::text, 'n', 'waiting', 'api')
        """,
        {"id": job_id, "workspace_id": workspace_id},
    )
    return job_id


async def test_lines_are_read_from_any_line_on(logs: tuple[Logs, Database]) -> None:
    """
    Polls that go on behind the last line they saw give the whole log once.
    """
    log, database = logs
    job_id = await make_job(database)
    lines = [LogEntry(number, NOON, "sync", "tap.stderr", f"line {number}") for number in range(1, 11)]
    for seq in range(5):
        await log.append(job_id, seq + 1, lines[2 * seq : 2 * seq + 2])

    polled: list[LogEntry] = []
    while page := await log.read(job_id, after=polled[-1].number if polled else 0, limit=3):
        polled += page

    assert polled == lines
    assert await log.last_line(job_id) == (5, 10)


async def test_a_chunk_is_kept_as_first_written(logs: tuple[Logs, Database]) -> None:
    """
    A chunk that is handed in twice, as after a timeout, is in the log once.
    """
    log, database = logs
    job_id = await make_job(database)
    lines = [LogEntry(1, NOON, "sync", "tap.stderr", "once")]

    await asyncio.gather(log.append(job_id, 1, lines), log.append(job_id, 1, lines))

    assert [line.text for line in await log.read(job_id)] == ["once"]


async def test_an_attempt_that_slept_leaves_the_lines_of_the_next_as_they_are(logs: tuple[Logs, Database]) -> None:
    """
    What a worker still wanted to write when it was stopped is refused when another has taken over, before that has written and after.
    """
    log, database = logs
    job_id = await make_job(database)
    await database.run("update job set attempt = 2 where id = %(id)s", {"id": job_id})

    await log.append(job_id, 1, [LogEntry(1, NOON, "sync", "tap.stderr", "slept")], token=1)
    assert await log.last_line(job_id) == (0, 0)
    await log.append(job_id, 1, [LogEntry(1, NOON, "sync", "tap.stderr", "awake")], token=2)
    await log.append(job_id, 1, [LogEntry(1, NOON, "sync", "tap.stderr", "slept")], token=1)

    assert [line.text for line in await log.read(job_id)] == ["awake"]
