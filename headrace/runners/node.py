"""
Scripts in JavaScript and TypeScript: run by the machine's own Node.

A `package.json` beside the script says what it needs: that is installed into the job's folder before the script starts, and goes when it has ended. TypeScript
runs with the types stripped, which Node does from version 22.6 on, or with the `tsx` that the script brings.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path, PurePath

from headrace.core.outcome import Blame, Cause, Failed
from headrace.runners.job_root import read_json
from headrace.runners.node_packages import LOCK, MODULES, NodePackages
from headrace.runners.stage import Stage

JAVASCRIPT = frozenset({".js", ".mjs", ".cjs"})
TYPESCRIPT = frozenset({".ts", ".mts", ".cts"})
_STRIPS_TYPES = (22, 6)


def is_for_node(entry: str) -> bool:
    """
    Tell whether a script is one that Node runs.
    """
    return PurePath(entry).suffix in JAVASCRIPT | TYPESCRIPT


async def node_command(stage: Stage, entry: str, packages: NodePackages) -> list[str] | Failed:
    """
    Give the command line of a script, once what it needs is installed; `forget_packages` when it has ended.
    """
    node = shutil.which("node")
    if node is None:
        return _refused(
            stage,
            f"{entry} needs Node, which is not installed on this machine.",
            "Install Node 20 or later where the worker runs, or write the script in Python.",
            Blame.OPERATOR,
        )
    failed = await _install(stage, Path(node), packages)
    if failed is not None:
        return failed
    if PurePath(entry).suffix in JAVASCRIPT:
        return [node, entry]
    tsx = stage.root.folder / "node_modules/.bin/tsx"
    if tsx.exists():
        return [str(tsx), entry]
    version = await _version(stage, node)
    if version < _STRIPS_TYPES:
        return _refused(
            stage,
            f"{entry} is TypeScript, which Node {'.'.join(map(str, version))} does not run.",
            "Install Node 22.6 or later, or add `tsx` to the dependencies in package.json.",
            Blame.DEVELOPER,
        )
    return [node, "--experimental-strip-types", entry]


async def forget_packages(stage: Stage) -> None:
    """
    Remove from the job's folder what was installed there: it can be had again, and is often larger than all the rest.
    """
    if _marker(stage).exists():
        await asyncio.to_thread(shutil.rmtree, stage.root.folder / MODULES, ignore_errors=True)


def _marker(stage: Stage) -> Path:
    return stage.root.work / "node-modules-installed"


async def _install(stage: Stage, node: Path, packages: NodePackages) -> Failed | None:
    """
    Install the dependencies that package.json names, by the lock file where there is one.
    """
    folder = stage.root.folder
    await forget_packages(stage)  # of a try that was cut off
    package = read_json(folder / "package.json")
    if not isinstance(package, dict) or not package.get("dependencies") or (folder / MODULES).exists():
        return None
    _marker(stage).touch()
    if await asyncio.to_thread(packages.bring, folder, node):
        stage.book.write("The packages of this lock file are here already.", stage=stage.name, stream="install")
        return None
    npm = shutil.which("npm")
    if npm is None:
        return _refused(
            stage, "package.json names dependencies, but npm is not installed.", "Install npm.", Blame.OPERATOR
        )
    order = "ci" if (folder / LOCK).exists() else "install"
    child = await stage.start(
        "npm",
        [npm, order, "--omit=dev", "--no-audit", "--no-fund", "--no-update-notifier"],
        variables={"npm_config_cache": str(stage.root.tmp / "npm")},
    )
    ended = await child.wait()
    await asyncio.to_thread(shutil.rmtree, stage.root.tmp / "npm", ignore_errors=True)
    if not ended.succeeded:
        return await stage.diagnose([ended])
    await asyncio.to_thread(packages.keep, folder, node)
    return None


async def _version(stage: Stage, node: str) -> tuple[int, ...]:
    file = stage.root.work / "node-version"
    with file.open("wb") as out:
        child = await stage.start("node-version", [node, "--version"], stdout=out.fileno())
        await child.wait()
    words = file.read_text("ascii", errors="replace").strip().removeprefix("v").split(".")
    return tuple(int(word) for word in words if word.isdecimal())


def _refused(stage: Stage, sentence: str, instruction: str, who: Blame) -> Failed:
    return Failed(Cause(stage=stage.name, sentence=sentence, who=who, instruction=instruction), fatal=True)
