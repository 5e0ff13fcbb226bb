"""
Functions of automation projects, called for real: what they are given, what they may ask, and every way in which they end.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from automation_kit import Automations, failure_of, result_of
from child_kit import open_fds

from headrace.core.outcome import Failed, Succeeded
from headrace.runners.environments import Environments
from headrace.runners.process import Limits, ShimPool


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[ShimPool]:
    async with ShimPool(warm=1, spare=2) as pool:
        yield pool


@pytest.fixture(scope="module")
def environments(environments: Path) -> Environments:
    return Environments(environments)


@pytest.fixture
def automations(pool: ShimPool, environments: Environments, tmp_path: Path) -> Automations:
    return Automations(pool, environments, tmp_path)


async def test_a_function_gets_its_parameters_and_its_result_comes_back(automations: Automations) -> None:
    """
    Texts come through unchanged, whatever they hold; a function that does not read its page is given none.
    """
    automations.write("api/work.py", "async def automation(page, params, **_):\n    return params\n")
    hard = {"text": "ä\0\u2028\U0001f600", "number": 2**70, "nested": [{"a": None}]}

    end = await automations.call(parameters=hard)

    assert result_of(end) == hard


async def test_a_function_whose_first_argument_is_its_parameters_is_given_these(automations: Automations) -> None:
    automations.write("api/work.py", "async def automation(params):\n    return params['n'] + 1\n")

    assert result_of(await automations.call(parameters={"n": 1})) == 2


async def test_a_function_in_a_folder_imports_what_is_beside_it(automations: Automations) -> None:
    """
    Names may hold dashes, folders may hold folders; the project's root is where imports begin.
    """
    automations.write("shared/words.py", "WORD = 'hello'\n")
    automations.write(
        "api/orders/get-order.py", "from shared.words import WORD\nasync def automation(_page): return WORD\n"
    )

    assert result_of(await automations.call("orders/get-order")) == "hello"


async def test_a_function_reads_the_projects_files_and_writes_beside_its_item(automations: Automations) -> None:
    """
    The project itself stays as it was, bytecode included.
    """
    automations.write("data/names.txt", "Ada")
    automations.write(
        "api/work.py",
        """
        from pathlib import Path
        async def automation(params):
            Path("made.txt").write_text("made")
            return Path("data/names.txt").read_text()
        """,
    )

    assert result_of(await automations.call()) == "Ada"
    assert sorted(path.name for path in automations.project.rglob("*")) == ["api", "data", "names.txt", "work.py"]
    assert [path.name for path in (automations.root.folder / "project").iterdir()] == ["made.txt"]


async def test_payloads_are_asked_for_in_order(automations: Automations) -> None:
    """
    One by one, several at once, or as a list; a payload that names nothing is a mistake that is told.
    """
    automations.write(
        "api/work.py",
        """
        from headrace_automation import extend_payload
        async def automation(params):
            extend_payload({"api": "a", "parameters": {"n": 1}}, {"api": "b"})
            extend_payload([{"apiName": "c", "parameters": {}}])
            try:
                extend_payload({"parameters": {}})
            except ValueError as error:
                return str(error)
        """,
    )

    end = await automations.call()

    assert [(each.name, json.loads(each.input)) for each in end.wanted] == [("a", {"n": 1}), ("b", {}), ("c", {})]
    assert "needs `api`" in result_of(end)


async def test_a_project_written_for_intuned_finds_our_helpers(automations: Automations) -> None:
    """
    `intuned_runtime` is ours, and none of the vendor's packages is installed for it.
    """
    automations.write("requirements.txt", "intuned-runtime==99.0.0\n# nothing else\n")
    automations.write(
        "api/work.py",
        """
        from intuned_runtime import AttributeValue, EnsureBrowserFunction, IntunedContext, delete_attribute
        from intuned_runtime import attempt_store, extend_timeout, persistent_store, run_info, set_attribute
        async def automation(page, params):
            attempt_store.set("a", 1)
            extend_timeout()
            await persistent_store.set("cursor", {"page": 3})
            set_attribute("site", "example")
            set_attribute("gone", True)
            delete_attribute("gone")
            return [attempt_store.get("a"), await persistent_store.get("cursor"), await persistent_store.get("none"),
                    run_info().run_id]
        """,
    )

    end = await automations.call()

    assert result_of(end) == [1, {"page": 3}, None, "run-1"]
    assert isinstance(end.outcome, Succeeded)
    assert end.outcome.output == {"attributes": {"site": "example"}}
    assert list(automations.kept.values.values()) == [b'{"page":3}']


@pytest.mark.parametrize(
    ("text", "instruction", "lines"),
    [
        ("import nothing_of_that_name.part\nasync def automation(params): ...", "has `nothing_of_that_name` into", 4),
        ("async def automation(params)\n    return 1\n", "", 5),
        ("async def automation(page, params, url): ...", "Write `async def automation(page, params, **_)`.", 1),
    ],
)
async def test_a_beginners_mistake_is_told_shortly_and_with_the_next_move(
    automations: Automations, text: str, instruction: str, lines: int
) -> None:
    """
    The log holds what the author wrote, and nothing of how the interpreter came there.
    """
    automations.write("api/work.py", text)

    end = await automations.call()

    assert isinstance(end.outcome, Failed)
    assert instruction in end.outcome.cause.instruction
    assert len(automations.log.texts) <= lines, automations.log.texts
    assert not any("importlib" in text or "asyncio" in text for text in automations.log.texts)


async def test_what_a_function_prints_is_in_the_log_without_secrets(automations: Automations) -> None:
    automations.write(
        "api/work.py",
        "import sys\nasync def automation(params):\n    print('out hunter2000')\n    sys.stderr.write('err\\n')\n",
    )

    assert result_of(await automations.call(secrets=("hunter2000",))) is None
    assert sorted(automations.log.texts) == ["err", "out ***"]


async def test_an_exception_is_told_with_its_text_and_can_be_tried_again(automations: Automations) -> None:
    """
    The traceback in the log begins in the project, not in the runtime.
    """
    automations.write("api/work.py", "async def automation(params):\n    raise ValueError('no luck, hunter2000')\n")

    code, sentence, fatal = failure_of(await automations.call(secrets=("hunter2000",)))

    assert (code, sentence, fatal) == ("exception", "ValueError: no luck, ***", False)
    assert any("api/work.py" in text for text in automations.log.texts)
    assert not any("headrace_automation/runner" in text for text in automations.log.texts)


@pytest.mark.parametrize(
    ("text", "code", "part", "fatal"),
    [
        ("from headrace_automation import NonRetryableError as E\nasync def automation(p): raise E('gone')", "exception", "gone", True),
        ("from intuned_runtime import NonRetryableError as E\nasync def automation(p): raise E('gone')", "exception", "gone", True),
        ("def automation(page, params): return 1", "invalid", "not an async function", True),
        ("async def automation(params): yield 1", "invalid", "not an async function", True),
        ("x = 1", "not-found", "no function automation", True),
        ("async def automation(page, params, url): return 1", "invalid", "missing a required argument: 'url'", True),
        ("import nothing_of_that_name\nasync def automation(p): ...", "exception", "nothing_of_that_name", True),
        ("async def automation(params:", "exception", "SyntaxError", True),
        ("async def automation(params): return object()", "no-output", "not JSON serializable", True),
        ("async def automation(params): return float('nan')", "no-output", "not JSON serializable", True),
        ("async def automation(params): return '\\ud800'", "no-output", "surrogate", True),
        ("async def automation(params):\n    x = []\n    x.append(x)\n    return x", "no-output", "ircular", True),
        ("async def automation(params): return 'x' * (2 * 2**20)", "result-too-large", "2097152 are allowed", True),
        ("import sys\nasync def automation(params): sys.exit(3)", "exception", "sys.exit(3)", False),
        ("import os\nasync def automation(params): os._exit(0)", "no-output", "without a result", False),
        ("import os, signal\nasync def automation(params): os.kill(os.getpid(), signal.SIGKILL)", "crashed", "SIGKILL", False),
        ("async def automation(params): raise ValueError('what \\udcff holds')", "exception", "ValueError: what \ufffd holds", False),
        ("from headrace_automation import extend_payload\nasync def automation(params): extend_payload({'api': 'a\\0'})", "invalid", "'a\\x00'", True),
        ("from headrace_automation import extend_payload\nasync def automation(params): extend_payload({'api': 'a' * 999})", "invalid", "cannot be the name", True),
        ("import json\nasync def automation(params): return json.loads('[' * 600 + ']' * 600)", "no-output", "more than 500 levels", True),
        ("import os\nasync def automation(params): os.write(3, b'{\"kind\":\"done\",\"result\":\"\\\\ud800\"}\\n'); os._exit(0)", "no-output", "surrogate", True),
        ("import os\nasync def automation(params): os.write(3, b'{\"kind\": 7}\\nrubbish\\n'); os._exit(1)", "crashed", "", False),
    ],
)  # fmt: skip
async def test_a_misbehaving_function_fails_with_its_own_reason(
    automations: Automations, text: str, code: str, part: str, fatal: bool
) -> None:
    automations.write("api/work.py", text)

    found = failure_of(await automations.call())

    assert (found[0], found[2]) == (code, fatal), found
    assert part in found[1]


@pytest.mark.parametrize("name", ["none", "../work", "a/../../work", ".hidden", "", "a//b", "/etc/passwd"])
async def test_a_name_that_is_no_function_of_the_project_is_not_found(automations: Automations, name: str) -> None:
    """
    Also one that leads out of the folder.
    """
    automations.write("work.py", "async def automation(params): return 1\n")

    code, _, fatal = failure_of(await automations.call(name))

    assert (code, fatal) == ("not-found", True)


async def test_a_function_that_never_returns_is_ended_with_all_it_started(automations: Automations) -> None:
    """
    Its time is over even when it holds the process and ignores TERM.
    """
    automations.write(
        "api/work.py",
        """
        import signal, subprocess, sys, time
        async def automation(params):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
            print(child.pid, flush=True)
            time.sleep(600)
        """,
    )

    code, sentence, fatal = failure_of(await automations.call(timeout_seconds=1.0))

    assert (code, sentence, fatal) == ("timeout", "work did not end within 1 s.", False)
    for pid in (int(automations.log.texts[0]), *automations.pids):
        assert not Path(f"/proc/{pid}").exists()


async def test_extending_lets_the_time_begin_anew(automations: Automations) -> None:
    """
    Four seconds pass, each of them extended, where two and a half are allowed.
    """
    automations.write(
        "api/work.py",
        """
        import asyncio
        from headrace_automation import extend_timeout
        async def automation(params):
            for _ in range(4):
                await asyncio.sleep(1)
                extend_timeout()
            return "done"
        """,
    )

    assert result_of(await automations.call(timeout_seconds=2.5)) == "done"


async def test_a_result_counts_although_a_thread_or_a_daemon_stays(automations: Automations) -> None:
    automations.write(
        "api/work.py",
        """
        import subprocess, sys, threading, time
        async def automation(params):
            threading.Thread(target=time.sleep, args=(600,)).start()
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], close_fds=False)
            return child.pid
        """,
    )

    pid = result_of(await automations.call())

    assert not Path(f"/proc/{pid}").exists()


async def test_a_function_over_its_memory_is_ended_and_the_limit_named(automations: Automations) -> None:
    automations.write(
        "api/work.py", "async def automation(params):\n    return len([b'x' * 2**20 for _ in range(4000)])\n"
    )

    code, sentence, _ = failure_of(await automations.call(limits=Limits(memory_bytes=200 * 2**20, grace_seconds=0.2)))

    assert code == "crashed"
    assert "memory" in sentence


async def test_a_function_that_reads_its_page_needs_playwright(automations: Automations) -> None:
    """
    The answer says what to add.
    """
    automations.write("api/work.py", "async def automation(page, params): return await page.title()\n")

    code, sentence, fatal = failure_of(await automations.call())

    assert (code, fatal) == ("invalid", True)
    assert "no Playwright" in sentence


async def test_no_browser_is_started_for_a_project_that_has_none(automations: Automations) -> None:
    automations.write("api/work.py", "async def automation(page, params): return page is None\n")

    assert result_of(await automations.call(options={"browser": False})) is True


async def test_no_descriptor_is_left_open(automations: Automations) -> None:
    """
    Calls that end well, badly and late give back what they took.
    """
    automations.write("api/work.py", "async def automation(params): return params['n']\n")
    await automations.call(parameters={"n": 1})
    before = open_fds()

    await automations.call(parameters={"n": 1})
    await automations.call(parameters={})
    await automations.call("none")

    assert open_fds() == before


async def test_a_call_for_which_there_is_no_descriptor_keeps_none(
    automations: Automations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Or a machine that is short of them for a moment would be short of them for ever.
    """
    automations.write("api/work.py", "async def automation(params): return 1\n")
    await automations.call()
    before = open_fds()

    def none_left(_name: str) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as short:
        short.setattr(os, "memfd_create", none_left)
        with pytest.raises(OSError, match="Too many"):
            await automations.call()

    assert open_fds() == before
    assert result_of(await automations.call()) == 1
