"""
A flow's script on this machine, without a server: the same environment, the same runner, in a folder laid out as a job's.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headrace.core.errors import CallerError, NotFoundError
from headrace.core.outcome import Failed
from headrace.runners import script as script_runner
from headrace.runners.environments import Environments
from headrace.runners.job_root import JobRoot
from headrace.runners.logs import JobLog, LogLine
from headrace.runners.machine import most_memory_bytes
from headrace.runners.node import is_for_node
from headrace.runners.node_packages import NodePackages
from headrace.runners.process import Limits, ShimPool
from headrace.runners.redaction import Redactor, secrets_of
from headrace.runners.stage import Stage
from headrace.settings import load_settings
from headrace.store.project_files import all_files, is_definition
from headrace.store.project_findings import Findings
from headrace.store.project_script import read_script
from headrace.store.project_upload import summary
from headrace.store.project_yaml import Document, read_document


class ReplayFailedError(CallerError):
    """A script that was replayed did not end well on this machine."""

    code = "replay-failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalScript:
    """
    A script to run here.

    Attributes:
        files: what is laid into the job's folder over what is there; empty when it is there already.
    """

    entry: str
    requirements: tuple[str, ...]
    python: str | None
    empty_output: str
    files: Mapping[str, bytes] = field(default_factory=dict)


def own_script(inputs: Mapping[str, Any]) -> LocalScript:
    """
    Give the script that a job ran.

    Raises:
        NotFoundError: it ran none.
    """
    if not inputs["script"]:
        raise NotFoundError(
            "The job ran no script: its data was passed through.", "Name one with --script to see what it would do."
        )
    return LocalScript(
        entry=inputs["entry"],
        requirements=tuple(inputs["requirements"]),
        python=inputs["python"],
        empty_output=inputs["empty_output"],
    )


def local_script(folder: Path) -> LocalScript:
    """
    Read the script in a flow's folder on this machine, as the server would.

    Raises:
        NotFoundError: there is none.
        DefinitionError: what is said of it is wrong, with file and line.
    """
    findings = Findings()
    folder = folder.absolute()
    document = (
        read_document(folder, "flow.yml") if (folder / "flow.yml").is_file() else Document("flow.yml", {}, {(): 1})
    )
    found = read_script(document, folder, folder, findings, ("flow", folder.name)) if folder.is_dir() else None
    if findings.problems:
        raise summary(findings.problems)
    if found is None:
        raise NotFoundError(
            f"There is no script in {folder}.", "Name a folder with an etl.py, or with a flow.yml that names another."
        )
    return LocalScript(
        entry=found.entry,
        requirements=found.requirements,
        python=found.python,
        empty_output=found.empty_output,
        files={path: data for path, data in all_files(folder).items() if not is_definition(path)},
    )


async def run_here(folder: Path, inputs: Mapping[str, Any], script: LocalScript, home: Path | None) -> None:
    """
    Run a script in a folder that holds a job's inputs; what it prints goes to standard error.

    Raises:
        ReplayFailedError: it did not end well.
        EnvironmentBuildError: its environment could not be built.
    """
    settings = load_settings(**({"home": home} if home else {}))
    root = JobRoot(folder)
    root.prepare()
    root.clear_etl_output()
    for path, data in script.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    kept = settings.home.absolute() / "environments"
    program: Path | NodePackages = NodePackages(kept)
    if not is_for_node(script.entry):
        made = await Environments(kept).ensure(script.requirements, python=script.python, on_line=_say_line)
        program = made.python
    variables = {
        **inputs["variables"],
        "ROOT": str(folder),
        "ROOT_DIR": str(folder),
        "SNAPSHOT_DIR": str(root.snapshots),
    }
    limits = Limits(
        wall_seconds=settings.wall_seconds, memory_bytes=settings.memory_bytes, grace_seconds=settings.grace_seconds
    )
    async with (
        ShimPool(warm=1, spare=1, most_memory_bytes=most_memory_bytes()) as pool,
        JobLog(_show, Redactor(secrets_of(inputs["variables"], ())), clock=lambda: datetime.now(UTC)) as book,
        pool.lease(limits, stage="etl") as children,
    ):
        stage = Stage(
            name="etl", root=root, children=children, book=book, variables=variables, progress=lambda _output: None
        )
        outcome = await script_runner.script(
            stage, program, script.entry, given_records=inputs["records"], allow_nothing=script.empty_output == "allow"
        )
    shutil.rmtree(root.work, ignore_errors=True)
    if isinstance(outcome, Failed):
        raise ReplayFailedError(
            f"The script failed here: {outcome.cause.sentence}", outcome.cause.instruction, **outcome.cause.evidence
        )


def _say_line(line: str) -> None:
    print(f"  {line}", file=sys.stderr)


async def _show(lines: list[LogLine]) -> None:
    for line in lines:
        print(f"  {line.text}", file=sys.stderr)
