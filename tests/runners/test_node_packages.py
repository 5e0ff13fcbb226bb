"""
Packages of scripts for Node: npm installs them once for all jobs with the same lock file.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from child_kit import KeptLog, job_log

from headrace.core.outcome import Failed, Succeeded
from headrace.runners.job_root import JobRoot
from headrace.runners.node_packages import NodePackages
from headrace.runners.process import Limits, ShimPool
from headrace.runners.script import script
from headrace.runners.stage import Stage

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node and npm")

ENTRY = "etl.mjs"
SCRIPT = """
import fs from "node:fs";
import greet from "greet";
fs.writeFileSync("etl-output/data.singer", greet("people"));
"""


@pytest.fixture
async def pool() -> AsyncIterator[ShimPool]:
    async with ShimPool(warm=1) as pool:
        yield pool


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A script's folder with one dependency, which lies beside it as an archive, so that no registry is asked; and its lock file.
    """
    folder = tmp_path_factory.mktemp("script")
    members = {
        "package/package.json": json.dumps({"name": "greet", "version": "1.0.0", "main": "index.js"}),
        "package/index.js": "module.exports = (name) => `hello ${name}`;",
    }
    with tarfile.open(folder / "greet-1.0.0.tgz", "w:gz") as archive:
        for name, text in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    package = {"name": "etl", "version": "1.0.0", "dependencies": {"greet": "file:greet-1.0.0.tgz"}}
    (folder / "package.json").write_text(json.dumps(package))
    (folder / ENTRY).write_text(SCRIPT)
    npm = shutil.which("npm")
    assert npm is not None
    order = [npm, "install", "--package-lock-only", "--offline", "--no-audit", "--no-fund", "--no-update-notifier"]
    subprocess.run(order, cwd=folder, check=True, capture_output=True, timeout=60)
    return folder


async def run(pool: ShimPool, project: Path, folder: Path, packages: NodePackages) -> tuple[Succeeded | Failed, str]:
    """
    Run the script in a job's folder; gives how it ended and what was logged.
    """
    shutil.copytree(project, folder)
    root = JobRoot(folder)
    root.prepare()
    log = KeptLog()
    async with job_log(log) as book, pool.lease(Limits(), stage="etl") as children:
        stage = Stage(name="etl", root=root, children=children, book=book, variables={}, progress=lambda _output: None)
        outcome = await script(stage, packages, ENTRY, given_records=1, allow_nothing=False)
    return outcome, "\n".join(log.texts)


async def test_one_lock_file_is_installed_once(pool: ShimPool, project: Path, tmp_path: Path) -> None:
    """
    The second job gets a copy of what npm made in the first; neither job's folder keeps it. Another lock file is installed anew.
    """
    packages = NodePackages(tmp_path / "environments")
    first, told_first = await run(pool, project, tmp_path / "one", packages)
    second, told_second = await run(pool, project, tmp_path / "two", packages)
    other = tmp_path / "other"
    shutil.copytree(project, other)
    lock = json.loads((other / "package-lock.json").read_text())
    (other / "package-lock.json").write_text(json.dumps({**lock, "version": "1.0.1"}))
    third, told_third = await run(pool, other, tmp_path / "three", packages)

    assert [type(outcome) for outcome in (first, second, third)] == [Succeeded] * 3, (first, second, third)
    assert [(tmp_path / name / "etl-output/data.singer").read_text() for name in ("one", "two")] == ["hello people"] * 2
    assert ["added 1 package" in told for told in (told_first, told_second, told_third)] == [True, False, True]
    assert "are here already" in told_second
    assert [(tmp_path / name / "node_modules").exists() for name in ("one", "two", "three")] == [False] * 3


async def test_packages_that_cannot_be_installed_fail_the_script(pool: ShimPool, project: Path, tmp_path: Path) -> None:
    """
    npm's own words say why, and nothing is kept for others.
    """
    broken = tmp_path / "broken"
    shutil.copytree(project, broken)
    (broken / "greet-1.0.0.tgz").write_bytes(b"no archive")
    outcome, _ = await run(pool, broken, tmp_path / "one", NodePackages(tmp_path / "environments"))

    assert isinstance(outcome, Failed)
    assert "npm" in outcome.cause.sentence or "EINTEGRITY" in outcome.cause.sentence
    assert not (tmp_path / "environments").exists()
