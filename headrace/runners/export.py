"""
The stage that sends what the script made: each target in turn, on the same output.

A target's exit says whether it worked; what became of each record stands in the last line it printed (target_state.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from headrace.core.outcome import Cause, Failed, Succeeded, refused_by
from headrace.runners.connector import Connector, lend_config
from headrace.runners.diagnosis import INVALID_CREDENTIALS
from headrace.runners.job_root import JobRoot, write_json
from headrace.runners.process import Child, Exit
from headrace.runners.stage import Stage
from headrace.runners.target_state import TargetState


async def export(stage: Stage, targets: Sequence[Connector]) -> Succeeded | Failed:
    """
    Send what the script made through each target in turn, whatever became of the one before; the first failure is the stage's.

    Summaries of sinks that two targets share are added up, and what a target told before it failed is told, too.
    """
    told = TargetState()
    made = [file for file in stage.root.etl_output.rglob("*") if file.is_file()]
    if not made:
        return Succeeded({**_output(told), "warning": "There was nothing to export."})
    failures: dict[str, Failed] = {}
    refused: list[str] = []
    for target in targets:
        with own_account(stage.root, target, alone=len(targets) == 1):
            failed, state = await _export_one(stage, target)
        told = told.joined(state)
        if state.state is not None:
            write_json(stage.root.target_state, state.state)
        if failed is not None:
            failures[target.spec.name] = failed
        if target.connection is not None and (state.refused or _refused(failed)):
            refused.append(target.connection)
        if stage.children.exceeded is not None:  # a limit is the stage's, not one target's
            break
    outcome = _failed(failures, _output(told)) if failures else Succeeded(_output(told))
    return refused_by(outcome, refused)


@contextlib.contextmanager
def own_account(root: JobRoot, target: Connector, *, alone: bool) -> Iterator[None]:
    """
    Let a target that is not *alone* find its own account of what it has sent, and keep it apart from the others'.

    hotglue's target SDK has one path for it in the whole job: a target would take what another one sent for its own, and skip it.
    """
    shared = root.incremental_target_state
    own = target.folder(root) / shared.name
    if not alone:
        own.parent.mkdir(parents=True, exist_ok=True)
        shared.unlink(missing_ok=True)  # of whom is not known, if a worker died: rather sent twice than not at all
        if own.exists():
            shutil.copyfile(own, shared)
    try:
        yield
    finally:
        if not alone and shared.exists():
            shared.replace(own)


def _refused(failed: Failed | None) -> bool:
    return failed is not None and failed.cause.evidence.get("exception") == INVALID_CREDENTIALS


def _failed(failures: Mapping[str, Failed], output: dict[str, Any]) -> Failed:
    """
    Give the first failure, and beside it what became of the other targets that failed.
    """
    (_, first), *others = failures.items()
    also = {name: failed.cause.sentence for name, failed in others}
    cause = replace(first.cause, evidence={**first.cause.evidence, "also_failed": also}) if also else first.cause
    return replace(first, cause=cause, output=output)


def _output(told: TargetState) -> dict[str, Any]:
    return {"export_summary": told.summary, "export_details": told.details}


async def _export_one(stage: Stage, target: Connector) -> tuple[Failed | None, TargetState]:
    """
    Run one target over the whole output; gives why it failed, if it did, and what it told either way.
    """
    root = stage.root
    reads_singer = target.spec.input == "singer"
    if reads_singer and not root.singer_output.exists():
        return _no_singer(stage, target), TargetState()
    argv = [*target.command, "--config", str(_write_config(stage, target))]
    source = os.open(root.singer_output if reads_singer else os.devnull, os.O_RDONLY)
    try:
        async with stage.listening() as (stdout, printed):
            child = await stage.start(
                f"target-{len(stage.children.children) + 1}" if stage.children.children else "target",
                argv,
                cwd=target.folder(root),
                stdin=source,
                stdout=stdout,
            )
            ended = await _watched(stage, child, source)
        # The child shares our file's position: it tells how much was read.
        position = os.lseek(source, 0, os.SEEK_CUR)
        left = os.fstat(source).st_size - position
    finally:
        os.close(source)
    state = await asyncio.to_thread(printed.read)
    if not ended.succeeded or stage.children.exceeded is not None:
        return await stage.diagnose([ended], folder=target.folder(root)), state
    if reads_singer and left > 0 and not (position == 0 and state.state is not None):
        return Failed(left_early(target, ended, left)), state
    return None, state


def _write_config(stage: Stage, target: Connector) -> Path:
    """
    Write a target's settings where it works, and for scripts and SDKs that look upwards, in the job's root.
    """
    root = stage.root
    settings = dict(target.settings)
    if target.spec.input == "files":
        settings["input_path"] = str(root.etl_output)
    config = target.folder(root) / "config.json"
    lend_config(root, target, config, settings)
    write_json(root.target_config, settings, secret=True)
    return config


def _no_singer(stage: Stage, target: Connector) -> Failed:
    return Failed(
        Cause(
            stage=stage.name,
            sentence=f"The script wrote no etl-output/data.singer, which {target.spec.name} reads.",
            instruction="Write Singer messages to etl-output/data.singer, or set `input: files` on the target.",
            evidence={"etl_output": sorted(file.name for file in stage.root.etl_output.iterdir())[:20]},
        ),
        fatal=True,
    )


def left_early(target: Connector, ended: Exit, left_bytes: int | None = None) -> Cause:
    """
    Say that a target which ended well has not read all it was given.
    """
    left = "" if left_bytes is None else f" ({left_bytes:,} bytes left)"
    return Cause(
        stage="export",
        sentence=f"{target.spec.name} ended without an error before it had read its input{left}.",
        instruction="Look at the target's own log lines: it must read to the end or exit with a code other than 0.",
        evidence={"exit_code": ended.code, **({} if left_bytes is None else {"unread_bytes": left_bytes})},
    )


async def _watched(stage: Stage, child: Child, source: int) -> Exit:
    """
    Wait for a target; that it reads on is its progress. When the job is ended, a target that can is let hand over first.
    """
    ending = asyncio.ensure_future(child.wait())
    position = -1
    try:
        while not ending.done():
            await asyncio.wait({ending}, timeout=1.0)
            now_at = os.lseek(source, 0, os.SEEK_CUR)
            if now_at != position:
                position = now_at
                stage.children.progress()
    except asyncio.CancelledError:
        if catches(child.pid, signal.SIGUSR1):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGUSR1)  # not its group: what it started may have no handler
            await asyncio.wait({ending}, timeout=stage.children.limits.grace_seconds)
        raise
    finally:
        ending.cancel()
    return ending.result()


def catches(pid: int, number: signal.Signals) -> bool:
    """
    Tell whether a process has a handler for a signal (proc(5), SigCgt); false where that cannot be known.

    hotglue's target SDK handles SIGUSR1: it drains, writes incremental_target_state.json and exits with 0. It announces that in a
    file under /tmp that all jobs of a machine would share, so the process itself is asked.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii", errors="replace")
    except OSError:
        return False
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (number - 1) & 1)
