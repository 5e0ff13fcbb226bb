"""
Functions in TypeScript and JavaScript, called for real by the machine's Node.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from automation_kit import Automations, failure_of, result_of

from headrace.core.errors import DefinitionError, EnvironmentBuildError
from headrace.core.outcome import Succeeded
from headrace.runners.environment_prune import LAST_USED
from headrace.runners.environments import Environments
from headrace.runners.process import Limits, ShimPool

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node and npm")


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[ShimPool]:
    async with ShimPool(warm=1, spare=2) as pool:
        yield pool


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
async def automations(pool: ShimPool, home: Path, tmp_path: Path) -> Automations:
    """
    A project of a function that works; skips where npm has no packages to give.
    """
    automations = Automations(pool, Environments(home / "environments"), tmp_path)
    automations.write("api/fine.ts", "export default async function handler(params: object) { return params; }\n")
    try:
        await automations.call("fine")
    except EnvironmentBuildError as error:
        pytest.skip(f"npm installs nothing here: {error}")
    return automations


async def test_a_function_in_typescript_is_called_with_its_parameters(automations: Automations) -> None:
    """
    Types go, files of the project are imported under the names that they will have, and the project is not written to.
    """
    automations.write("shared/words.ts", "export const greet = (name: string): string => `Hello, ${name}.`;\n")
    automations.write("data/names.json", '["Ada"]')
    automations.write(
        "api/orders/get-order.ts",
        """
        import { readFileSync, writeFileSync } from "node:fs";
        import { greet } from "../../shared/words.js";
        interface Params { n: number }
        export default async function handler(params: Params): Promise<object> {
          writeFileSync("made.txt", "made");
          return { n: params.n, said: greet(JSON.parse(readFileSync("data/names.json", "utf8"))[0]), text: "ä\\u2028" };
        }
        """,
    )
    before = sorted(automations.project.rglob("*"))

    found = result_of(await automations.call("orders/get-order", {"n": 1}))

    assert found == {"n": 1, "said": "Hello, Ada.", "text": "ä\u2028"}
    assert sorted(automations.project.rglob("*")) == before
    assert [path.name for path in (automations.root.folder / "project").iterdir()] == ["made.txt"]


async def test_a_project_written_for_intuneds_runtime_finds_our_helpers(automations: Automations) -> None:
    """
    The vendor's package is not installed for it, although package.json names it.
    """
    automations.write("package.json", '{"dependencies": {"@intuned/runtime": "99.0.0"}}')
    automations.write(
        "api/work.ts",
        """
        import { attemptStore, extendPayload, persistentStore, runInfo, setAttribute } from "@intuned/runtime";
        export default async function handler() {
          attemptStore.set("a", 1);
          extendPayload({ api: "one", parameters: { n: 1 } }, [{ api: "two" }]);
          await persistentStore.set("cursor", { page: 3 });
          setAttribute("site", "example");
          console.log("hello");
          return [attemptStore.get("a"), await persistentStore.get("cursor"), await persistentStore.get("none"), runInfo().runId];
        }
        """,
    )

    end = await automations.call()

    assert result_of(end) == [1, {"page": 3}, None, "run-1"]
    assert [(each.name, json.loads(each.input)) for each in end.wanted] == [("one", {"n": 1}), ("two", {})]
    assert isinstance(end.outcome, Succeeded)
    assert end.outcome.output == {"attributes": {"site": "example"}}
    assert "hello" in automations.log.texts


ENDINGS = {
    "throws": ("export default async () => { throw new RangeError('no luck'); }", "exception", "RangeError: no luck", False),
    "gives_up": (
        "import { NonRetryableError } from 'headrace-automation';\nexport default async () => { throw new NonRetryableError('gone'); }",
        "exception", "gone", True,
    ),
    "syntax": ("export default async () => {", "exception", "api/syntax.ts:1: ", True),
    "imports": ("import nothing from 'nothing-of-that-name';\nexport default async () => nothing;", "exception", "nothing-of-that-name", True),
    "empty": ("export const x = 1;", "not-found", "no default export", True),
    "circle": ("export default async () => { const x: any = {}; x.x = x; return x; }", "no-output", "circular", True),
    "large": ("export default async () => 'x'.repeat(2 * 2 ** 20);", "result-too-large", "2097152 are allowed", True),
    "exits": ("export default async () => process.exit(0);", "no-output", "without a result", False),
    "dies": ("export default async () => process.kill(process.pid, 'SIGKILL');", "crashed", "", False),
    "later": ("export default async () => { setTimeout(() => { throw new Error('late'); }); await new Promise(() => setInterval(() => {}, 9)); }", "exception", "late", False),
    "page": ("export default async (params: any, page: any) => page.title();", "invalid", "no Playwright", True),
}  # fmt: skip


async def test_a_misbehaving_function_fails_with_its_own_reason(automations: Automations) -> None:
    """
    With the codes of Python's.
    """
    for name, (text, code, part, fatal) in ENDINGS.items():
        automations.write(f"api/{name}.ts", text)

        found = failure_of(await automations.call(name))

        assert (found[0], found[2]) == (code, fatal), (name, found)
        assert part in found[1], name


async def test_a_function_that_never_returns_is_ended(automations: Automations) -> None:
    automations.write("api/work.js", "export default async () => { for (;;); }\n")

    code, _, _ = failure_of(await automations.call(timeout_seconds=2.0, limits=Limits(grace_seconds=0.1)))

    assert code == "timeout"
    assert all(not Path(f"/proc/{pid}").exists() for pid in automations.pids)


async def test_a_machine_without_node_says_so(
    automations: Automations, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(DefinitionError, match="this machine has no Node") as refused:
        await automations.call("fine")

    assert "Install Node" in refused.value.instruction


async def test_a_function_reads_a_page_with_the_playwright_of_its_project(automations: Automations) -> None:
    """
    Its third argument is the context. Where npm has no Playwright to give, this is skipped.
    """
    if shutil.which("chromium") is None:
        pytest.skip("needs Chromium")
    automations.write("package.json", '{"dependencies": {"playwright-core": "^1.50.0"}}')
    automations.write(
        "api/work.ts",
        """
        export default async function handler(params: { title: string }, page: any, context: any) {
          await page.setContent(`<title>${params.title}</title>`);
          return [await page.title(), context.pages().length];
        }
        """,
    )
    try:
        end = await automations.call(parameters={"title": "Shop"})
    except EnvironmentBuildError as error:
        pytest.skip(f"npm has no Playwright here: {error}")

    assert result_of(end) == ["Shop", 1]


async def test_packages_that_no_call_has_used_for_long_go_and_come_back(automations: Automations, home: Path) -> None:
    """
    Age is counted from the last call that had them, and the next one installs them again.
    """
    environments, now = Environments(home / "environments"), datetime.now(UTC)
    await automations.call("fine")
    assert await environments.prune(now=now + timedelta(days=1), unused_for=timedelta(days=7)) == []

    marks = list((home / "node-packages").glob(f"*/{LAST_USED}"))
    for mark in marks:
        os.utime(mark, (now.timestamp() - 8 * 86400,) * 2)
    removed = await environments.prune(now=now, unused_for=timedelta(days=7))

    assert sorted(removed) == sorted(mark.parent.name for mark in marks) != []
    assert result_of(await automations.call("fine", {"n": 1})) == {"n": 1}
