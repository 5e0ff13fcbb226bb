"""
Calls that are forked off one process: what one does to itself or its surroundings, the next does not find.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from automation_kit import Automations, failure_of, result_of

from headrace.runners.environments import Environments
from headrace.runners.process import ShimPool

SURROUNDINGS = """
import asyncio, json, os, resource, signal, sys
from pathlib import Path

async def automation(params):
    import _config
    left = {
        "modules": sorted(name for name in sys.modules if name.partition(".")[0] in ("headrace", "api", "_marks")),
        "marks": list(getattr(json, "marks", [])) + list(_config.MARKS),
        "variables": {name: os.environ.get(name) for name in ("HOME", "LEFT_BEHIND", "PYTHONPATH")},
        "folder": os.getcwd(),
        "descriptors": sorted(int(each) for each in os.listdir("/proc/self/fd"))[:-1],
        "signals": [str(signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE)],
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "prefix": sys.prefix,
        "executable": sys.executable,
        "path": [entry for entry in sys.path if entry],
        "threads": len(os.listdir("/proc/self/task")),
        "leads_its_session": os.getsid(0) == os.getpid(),
    }
    if params.get("spoil"):
        json.marks = ["spoilt"]
        _config.MARKS.append("spoilt")
        os.environ["LEFT_BEHIND"] = "1"
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        os.open("/dev/null", os.O_RDONLY)
        os.chdir("/")
        sys.path.append("/nowhere")
    return left
"""


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[ShimPool]:
    async with ShimPool(warm=0, spare=1) as pool:
        yield pool


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    return Environments(tmp_path_factory.mktemp("environments"))


@pytest.fixture
def automations(pool: ShimPool, environments: Environments, tmp_path: Path) -> Automations:
    return Automations(pool, environments, tmp_path)


async def test_a_forked_call_has_the_surroundings_of_a_new_interpreter(automations: Automations) -> None:
    """
    Whatever a call before it did to its own; nothing of the server's package is in its sight.
    """
    automations.write("_config.py", "MARKS = []\n")
    automations.write("api/work.py", SURROUNDINGS)

    started = result_of(await automations.call(forked=False))
    spoiling = result_of(await automations.call(parameters={"spoil": True}))
    after = result_of(await automations.call())

    assert _alike(after) == _alike(spoiling) == _alike(started)
    assert after["modules"] == ["api", "api.work"]
    assert after["marks"] == []
    assert after["leads_its_session"]


def _alike(left: dict[str, Any]) -> dict[str, Any]:
    """
    Leave out what two interpreters need not share: the number of a descriptor, and which of theirs the standard library keeps open.
    """
    return {name: value for name, value in left.items() if name != "descriptors"} | {
        "descriptors": len(left["descriptors"])
    }


ENDINGS = {
    "exits": "import os\nasync def automation(params): os._exit(3)",
    "killed": "import os, signal\nasync def automation(params): os.kill(os.getpid(), signal.SIGKILL)",
    "kills_its_group": "import os, signal\nasync def automation(params): os.killpg(0, signal.SIGTERM)",
    "threads": """
        import threading, time
        async def automation(params):
            for _ in range(20):
                threading.Thread(target=time.sleep, args=(600,)).start()
            return "left"
        """,
    "daemon": """
        import os, time
        async def automation(params):
            reading, writing = os.pipe()
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    print(os.getpid(), flush=True)
                    os.write(writing, b"told")
                    time.sleep(600)
                os._exit(0)
            os.wait()
            os.read(reading, 4)
            return "left"
        """,
    "hangs": "import time\nasync def automation(params): time.sleep(600)",
    "exhausts_its_files": """
        import os
        async def automation(params):
            while True:
                os.open("/dev/null", os.O_RDONLY)
        """,
}


async def test_whatever_a_call_does_to_its_process_the_next_one_runs(automations: Automations) -> None:
    """
    It ends itself, kills its group, leaves threads and a daemon in a session of its own, hangs: all of it is gone with it, and the process
    that calls are forked off serves on.
    """
    automations.write("api/fine.py", "import os\nasync def automation(params): return os.getppid()\n")
    shim = result_of(await automations.call("fine"))

    for name, text in ENDINGS.items():
        automations.write(f"api/{name}.py", text)
        await automations.call(name, timeout_seconds=20.0 if name == "daemon" else 1.0)  # which has something to tell
        assert all(not Path(f"/proc/{pid}").exists() for pid in automations.pids), name
        assert result_of(await automations.call("fine")) == shim, name

    daemon = next(int(text) for text in automations.log.texts if text.isdigit())
    assert not Path(f"/proc/{daemon}").exists()


async def test_a_call_that_kills_what_it_was_forked_off_harms_itself_alone(automations: Automations) -> None:
    """
    The next call has another one.
    """
    automations.write("api/fine.py", "async def automation(params): return 1\n")
    automations.write(
        "api/work.py",
        "import os, signal, time\nasync def automation(params):\n    os.kill(os.getppid(), signal.SIGKILL)\n    time.sleep(600)\n",
    )

    with pytest.raises(Exception, match="supervisor"):
        await automations.call()

    assert result_of(await automations.call("fine")) == 1


async def test_start_up_code_of_a_projects_packages_runs_in_each_call_alone(
    automations: Automations, environments: Environments
) -> None:
    """
    A `.pth` file of the environment is executed after the fork: it may break a call, never what calls are forked off.
    """
    automations.write("api/work.py", "import builtins\nasync def automation(params): return builtins.started_in\n")
    await automations.call()
    (environment,) = [each for each in environments.root.iterdir() if each.is_dir()]
    packages = next(environment.glob("lib/python3*/site-packages"))
    file = packages / "started.pth"
    file.write_text("import builtins, os; builtins.started_in = [os.getpid(), os.getppid()]\n")
    try:
        first, second = result_of(await automations.call()), result_of(await automations.call())
    finally:
        file.unlink()

    assert first[0] != second[0]
    assert first[1] == second[1] != os.getpid()
    assert failure_of(await automations.call())[0] == "exception"
