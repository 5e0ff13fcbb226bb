"""
Environments: what is in them, that they are built once, and what is left when a build does not end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
import textwrap
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headrace.core.errors import EnvironmentBuildError, InvalidError, NotFoundError
from headrace.core.plan import ConnectorSpec
from headrace.runners.environment_build import MARKER
from headrace.runners.environment_prune import LAST_USED
from headrace.runners.environments import Environment, Environments
from headrace.runners.requirement import name_of_requirement
from headrace.runners.uv import environ_for_uv, without_secrets

DEADLINE_SECONDS = 60

ENSURE = """
import asyncio, sys
from pathlib import Path
from headrace.runners.environments import Environments

environment = asyncio.run(Environments(Path(sys.argv[1])).ensure(sys.argv[2:]))
print(environment.path)
"""

# A source package whose build says in one pipe that it runs, and waits for a word in the other before it goes on.
SLOW_BACKEND = """
import os, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    with open({log!r}, "a") as log:
        log.write(str(os.getpid()) + "\\n")
    if os.path.exists({running!r}):
        with open({running!r}, "w") as pipe:
            pipe.write("running")
        with open({go_on!r}) as pipe:
            pipe.read()
    name = "slow-1-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        wheel.writestr("slow.py", "")
        wheel.writestr("slow-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: slow\\nVersion: 1\\n")
        wheel.writestr("slow-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("slow-1.dist-info/RECORD", "")
    return name
"""


class SlowPackage:
    """
    A package whose build can be held; each line of `builds()` is the process id of one build.
    """

    def __init__(self, folder: Path, *, held: bool) -> None:
        folder.mkdir()
        self.requirement = f"slow @ {folder.as_uri()}"
        self._log, self._running, self._go_on = (folder / name for name in ("log", "running", "go-on"))
        if held:
            os.mkfifo(self._running)
        os.mkfifo(self._go_on)
        (folder / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            '[project]\nname = "slow"\nversion = "1"\n'
        )
        names = {"log": str(self._log), "running": str(self._running), "go_on": str(self._go_on)}
        (folder / "backend.py").write_text(SLOW_BACKEND.format(**names))

    async def is_running(self) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await asyncio.to_thread(self._running.read_text)

    def hold_no_more(self) -> None:
        self._running.unlink()

    async def let_go(self) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await asyncio.to_thread(self._go_on.write_text, "on")

    def builds(self) -> list[int]:
        return [int(line) for line in self._log.read_text().split()]


def wheel(folder: Path, name: str, *, module: str = "", scripts: dict[str, str] | None = None) -> str:
    """
    Write a wheel with one module and return a requirement line for it; *scripts* are names and functions of that module.
    """
    title = name.replace("-", "_")
    path = folder / f"{title}-1-py3-none-any.whl"
    entry_points = "".join(f"{script} = {title}:{function}\n" for script, function in (scripts or {}).items())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{title}.py", textwrap.dedent(module))
        archive.writestr(f"{title}-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        archive.writestr(f"{title}-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{title}-1.dist-info/entry_points.txt", f"[console_scripts]\n{entry_points}")
        archive.writestr(f"{title}-1.dist-info/RECORD", "")
    return f"{name} @ {path.as_uri()}"


async def output_of(*command: str | Path) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode().strip()


async def has_ended(process_id: int) -> bool:
    """
    Wait for the end of a process that is not our child.
    """
    try:
        handle = os.pidfd_open(process_id)
    except ProcessLookupError:
        return True
    ended, _, _ = await asyncio.to_thread(select.select, [handle], [], [], DEADLINE_SECONDS)
    os.close(handle)
    return bool(ended)


def start_ensure(root: Path, requirement: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", ENSURE, root, requirement], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def environments(tmp_path: Path) -> Environments:
    return Environments(tmp_path / "environments")


@pytest.fixture
def lines() -> list[str]:
    return []


async def test_a_connectors_program_runs_from_its_own_environment(environments: Environments, tmp_path: Path) -> None:
    """
    A requirement is installed into a folder of its own, with compiled bytecode, and its script can be started.
    """
    tap = wheel(tmp_path, "tap-hello", module="def main(): print('hello')", scripts={"tap-hello": "main"})

    environment = await environments.ensure([tap])

    assert await output_of(environment.executable("tap-hello")) == "hello"
    assert list(environment.path.rglob("__pycache__/tap_hello.*.pyc"))
    assert environment.path.parent.stat().st_mode & 0o077 == 0


async def test_a_real_tap_comes_from_the_index(environments: Environments, lines: list[str]) -> None:
    """
    Lines may be those of a requirements file, comments included, and name packages of the machine's index.
    """
    install = ["# the source", "tap-jsonl==0.3.1  # pinned", "", "six"]

    environment = await environments.ensure(install, on_line=lines.append)

    assert "tap-jsonl" in environment.scripts()
    assert "0.3.1" in await output_of(environment.executable("tap-jsonl"), "--version")
    assert any("tap-jsonl==0.3.1" in line for line in lines)


async def test_nothing_to_install_makes_an_empty_environment(environments: Environments) -> None:
    """
    No lines, or only comments, make an environment with an interpreter and no package.
    """
    environment = await environments.ensure(["# nothing yet"])

    listed = "import importlib.metadata as m; print(len(list(m.distributions())))"
    assert await output_of(environment.python, "-c", listed) == "0"
    assert environment.scripts() == []


async def test_the_second_job_finds_the_environment_built(environments: Environments, tmp_path: Path) -> None:
    """
    One recipe is built once; the lines' surroundings of blanks do not make another.
    """
    package = SlowPackage(tmp_path / "slow", held=False)

    first = await environments.ensure([package.requirement])
    second = await environments.ensure([f" {package.requirement} ", ""])

    assert first == second
    assert len(package.builds()) == 1


async def test_what_decides_the_content_decides_the_folder(environments: Environments) -> None:
    """
    Another compatibility switch, or another Python, is another environment.
    """
    plain = await environments.ensure([])
    other = await environments.ensure([], compat=["py39"])
    named = await environments.ensure([], python=sys.executable)

    assert len({plain.path, other.path, named.path}) == 3


async def test_two_processes_build_one_environment_once(tmp_path: Path) -> None:
    """
    Whoever comes second waits for the build and uses it.
    """
    package = SlowPackage(tmp_path / "slow", held=True)
    first = start_ensure(tmp_path / "root", package.requirement)
    await package.is_running()
    package.hold_no_more()
    second = start_ensure(tmp_path / "root", package.requirement)
    await package.let_go()

    paths = [(await asyncio.to_thread(process.communicate, timeout=DEADLINE_SECONDS))[0] for process in (first, second)]

    assert paths[0] == paths[1] != ""
    assert len(package.builds()) == 1


async def test_a_killed_build_is_built_again(environments: Environments, tmp_path: Path, lines: list[str]) -> None:
    """
    The builder is gone, its installer is not: the next one waits until both are, and then starts afresh.
    """
    package = SlowPackage(tmp_path / "slow", held=True)
    builder = start_ensure(environments.root, package.requirement)
    await package.is_running()
    builder.send_signal(signal.SIGKILL)
    builder.communicate()
    package.hold_no_more()
    waiting = asyncio.Event()
    again = asyncio.ensure_future(environments.ensure([package.requirement], on_line=lambda _line: waiting.set()))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await waiting.wait()

    assert not again.done()

    await package.let_go()
    environment = await again

    assert await output_of(environment.python, "-c", "import slow; print('ok')") == "ok"
    assert (environment.path / MARKER).is_file()


async def test_a_cancelled_build_leaves_no_folder_and_no_process(environments: Environments, tmp_path: Path) -> None:
    """
    Cancelling ends the installer with all it started, and another job may build at once.
    """
    package = SlowPackage(tmp_path / "slow", held=True)
    build = asyncio.ensure_future(environments.ensure([package.requirement]))
    await package.is_running()
    build.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await build

    assert not [path for path in environments.root.iterdir() if path.is_dir()]
    assert await has_ended(package.builds()[0])

    package.hold_no_more()
    assert (await environments.ensure([package.requirement])).python.exists()


async def test_a_build_that_takes_too_long_fails(tmp_path: Path) -> None:
    """
    The limit ends the build; the error names it.
    """
    package = SlowPackage(tmp_path / "slow", held=False)
    environments = Environments(tmp_path / "root", build_seconds=0.001)

    with pytest.raises(EnvironmentBuildError, match=r"not built within 0\.001 s"):
        await environments.ensure([package.requirement])


async def test_a_package_that_does_not_exist_is_named(tmp_path: Path, lines: list[str]) -> None:
    """
    The reason is the installer's own sentence, the next move is to correct the line, and no folder is left.
    """
    environments = Environments(tmp_path / "root", environ={**os.environ, "UV_NO_INDEX": "1"})

    with pytest.raises(EnvironmentBuildError) as caught:
        await environments.ensure(["no-such-tap==1.2"], on_line=lines.append)

    assert "no-such-tap" in caught.value.reason
    assert "Correct the names and versions" in caught.value.instruction
    assert caught.value.facts["output"] == lines[-len(caught.value.facts["output"]) :]
    assert not [path for path in environments.root.iterdir() if path.is_dir()]


async def test_an_index_that_does_not_answer_is_the_networks_fault(tmp_path: Path) -> None:
    """
    The next move is to check network and index, not to mend the requirement.
    """
    nobody = {
        "UV_DEFAULT_INDEX": "http://127.0.0.1:1/simple",
        "UV_HTTP_RETRIES": "0",
        "UV_CACHE_DIR": str(tmp_path / "cache"),
    }
    environments = Environments(tmp_path / "root", environ={**os.environ, **nobody})

    with pytest.raises(EnvironmentBuildError) as caught:
        await environments.ensure(["tap-jsonl"])

    assert "package index" in caught.value.instruction


async def test_a_token_in_a_requirement_is_never_shown(environments: Environments, lines: list[str]) -> None:
    """
    Neither the lines nor the error nor any file of the environments holds what stands before the @ of a URL.
    """
    with pytest.raises(EnvironmentBuildError) as caught:
        await environments.ensure(["tap-x @ git+https://bob:hunter2@127.0.0.1:1/tap-x.git"], on_line=lines.append)

    assert "hunter2" not in f"{lines} {caught.value} {caught.value.facts}"
    assert "***@127.0.0.1" in caught.value.facts["install"][0]


async def test_a_folder_without_marker_or_interpreter_is_built_again(environments: Environments) -> None:
    """
    An environment is verified before each use.
    """
    environment = await environments.ensure([])
    environment.python.unlink()
    again = await environments.ensure([])

    assert await output_of(again.python, "-c", "print(1)") == "1"

    (again.path / MARKER).unlink()
    (again.path / "rubbish").touch()
    once_more = await Environments(environments.root).ensure([])

    assert (once_more.path / MARKER).is_file()
    assert not (once_more.path / "rubbish").exists()


async def test_a_moved_environment_is_not_trusted(environments: Environments, tmp_path: Path) -> None:
    """
    Scripts name their interpreter by its full path, so a root that was moved is built again.
    """
    await environments.ensure([])
    environments.root.rename(tmp_path / "elsewhere")

    moved = await Environments(tmp_path / "elsewhere").ensure([])

    assert str(moved.path) in (moved.path / MARKER).read_text()


async def test_py39_gives_back_the_names_that_were_removed(environments: Environments, tmp_path: Path) -> None:
    """
    A package that reads collections.MutableMapping at import starts with the switch.
    """
    old = wheel(
        tmp_path,
        "tap-old",
        module="""
        import collections, inspect
        def main(): print(collections.MutableMapping.__name__, inspect.getargspec(main).args)
        """,
        scripts={"tap-old": "main"},
    )

    environment = await environments.ensure([old], compat=["py39"])

    assert await output_of(environment.executable("tap-old")) == "MutableMapping []"


@pytest.mark.parametrize("compat", [["pkg_resources"], []], ids=["asked for", "found out"])
async def test_packages_that_need_pkg_resources_get_an_old_setuptools(
    environments: Environments, tmp_path: Path, compat: list[str]
) -> None:
    """
    The switch adds it; without the switch an import at the top level of a module that nothing satisfies does.
    """
    old = wheel(tmp_path, "tap-old", module="import pkg_resources\n")

    environment = await environments.ensure([old], compat=compat)

    assert await output_of(environment.python, "-W", "ignore", "-c", "import tap_old; print('ok')") == "ok"


async def test_a_guarded_import_of_pkg_resources_adds_nothing(environments: Environments, tmp_path: Path) -> None:
    """
    A module that can do without is left without.
    """
    module = """
    try:
        import pkg_resources
    except ImportError:
        pkg_resources = None
    """
    environment = await environments.ensure([wheel(tmp_path, "tap-new", module=module)])

    assert not list(environment.path.rglob("setuptools"))


async def test_an_unknown_switch_is_refused(environments: Environments) -> None:
    """
    A misspelt switch must not silently do nothing.
    """
    with pytest.raises(InvalidError, match="py38"):
        await environments.ensure([], compat=["py38"])


async def test_a_missing_program_is_answered_with_those_that_exist(environments: Environments, tmp_path: Path) -> None:
    """
    The error lists the scripts and guesses the one that was meant.
    """
    tap = wheel(tmp_path, "tap-hello", scripts={"tap-hello": "main", "hello-admin": "main"})
    environment = await environments.ensure([tap])

    with pytest.raises(NotFoundError, match="did you mean tap-hello") as caught:
        environment.executable("tap-helo")

    assert caught.value.facts["scripts"] == ["hello-admin", "tap-hello"]


async def test_a_vendors_prefix_does_not_hide_the_program(environments: Environments, tmp_path: Path) -> None:
    """
    `executable` is rarely needed: the only tap of the environment is the tap.
    """
    install = wheel(tmp_path, "vendor-tap-hello", scripts={"tap-hello": "main", "other": "main"})
    environment = await environments.ensure([install])
    spec = ConnectorSpec(name="hello", kind="tap", install=(install,))

    assert environment.executable_of(spec).name == "tap-hello"


async def test_long_unused_environments_are_pruned(environments: Environments) -> None:
    """
    Age is counted from the last use, and one that was just handed out stays whatever the limits say.
    """
    old, fresh = await environments.ensure([]), await environments.ensure([], compat=["py39"])
    now = datetime.now(UTC)
    unused_since(old, now - timedelta(days=8))

    removed = await environments.prune(now=now, unused_for=timedelta(days=7), keep_bytes=0)

    assert removed == [old.path.name]
    assert not old.path.exists()
    assert fresh.python.exists()


async def test_the_longest_unused_go_first_when_space_is_short(environments: Environments) -> None:
    """
    Removal stops as soon as the rest fits.
    """
    built = [await environments.ensure([], compat=compat) for compat in (["py39"], [])]
    now = datetime.now(UTC)
    for environment, hours in zip(built, (2, 1), strict=True):
        (environment.path / "big").write_bytes(b"x" * 2_000_000)
        unused_since(environment, now - timedelta(hours=hours))

    removed = await environments.prune(now=now, keep_bytes=3_000_000)

    assert removed == [built[0].path.name]


async def test_an_environment_that_a_process_runs_from_stays(environments: Environments) -> None:
    """
    A job may run for longer than any age that was set.
    """
    environment = await environments.ensure([])
    now = datetime.now(UTC)
    unused_since(environment, now - timedelta(days=30))
    process = await asyncio.create_subprocess_exec(
        environment.python, "-c", "input()", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )

    removed = await environments.prune(now=now, unused_for=timedelta(days=7))
    await process.communicate(b"\n")

    assert removed == []
    assert await environments.prune(now=now, unused_for=timedelta(days=7)) == [environment.path.name]


def unused_since(environment: Environment, at: datetime) -> None:
    os.utime(environment.path / LAST_USED, (at.timestamp(), at.timestamp()))


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("tap-x==1.2 ; python_version < '4'", "tap-x"),
        ("tap-x[s3]>=1", "tap-x"),
        ("tap-x @ git+https://host/y.git", "tap-x"),
        ("git+https://u:p@host/team/tap-x.git@main", "tap-x"),
        ("git+https://host/team/y.git#egg=tap-x", "tap-x"),
        ("https://host/tap_x-1.2-py3-none-any.whl", "tap-x"),
        ("./plugins/tap-x", "tap-x"),
        ("# nothing", ""),
    ],
)
def test_a_requirement_line_names_its_package(line: str, name: str) -> None:
    """
    The default program of a connector is read off its first requirement.
    """
    assert name_of_requirement(line) == name


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("from https://user:p%40ss@host/x", "from https://***@host/x"),
        ("from git+ssh://git@host/x@v1", "from git+ssh://***@host/x@v1"),
        ("at https://host/x?a=1&access_token=abc#f", "at https://host/x?a=1&access_token=***#f"),
        ("\x1b[31merror\x1b[0m", "error"),
    ],
)
def test_lines_are_shown_without_secrets(line: str, shown: str) -> None:
    """
    User and password of a URL, and what a query calls a token or key, are cut out.
    """
    assert without_secrets(line) == shown


def test_the_installer_sees_pips_index_but_none_of_our_settings(tmp_path: Path) -> None:
    """
    Where uv has no index of its own, pip's is used, from the environment or from its configuration file.
    """
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = http://file.test/simple\n")
    home = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}

    from_file = environ_for_uv({**home, "HEADRACE_ADMIN_KEY": "s", "PYTHONDONTWRITEBYTECODE": "1"})
    from_variable = environ_for_uv({**home, "PIP_INDEX_URL": "http://variable.test/simple"})
    from_uv = environ_for_uv({**home, "UV_INDEX_URL": "http://uv.test/simple", "PIP_INDEX_URL": "http://x.test"})

    assert from_file["UV_DEFAULT_INDEX"] == "http://file.test/simple"
    assert not {"HEADRACE_ADMIN_KEY", "PYTHONDONTWRITEBYTECODE"} & from_file.keys()
    assert from_variable["UV_DEFAULT_INDEX"] == "http://variable.test/simple"
    assert "UV_DEFAULT_INDEX" not in from_uv
