"""
The stage that runs a user's script, or passes the data through where there is none.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from headrace.core.outcome import Cause, Failed, Succeeded
from headrace.core.plan import ConnectorSpec
from headrace.runners.job_root import folder_bytes
from headrace.runners.node import forget_packages, node_command
from headrace.runners.node_packages import NodePackages
from headrace.runners.reports import own_program
from headrace.runners.stage import Stage


async def script(
    stage: Stage,
    program: Path | NodePackages,
    entry: str,
    *,
    given_records: int,
    allow_nothing: bool,
) -> Succeeded | Failed:
    """
    Run `python ENTRY` by that *program*, or `node ENTRY` with packages, in the job's root.

    A script that ends well but wrote nothing, although it was given records, has most likely lost them: that is a failure
    unless its flow allows it.
    """
    try:
        command = [str(program), entry] if isinstance(program, Path) else await node_command(stage, entry, program)
        if isinstance(command, Failed):
            return command
        child = await stage.start("etl", command)
        stage.children.progress()
        ended = await child.wait()
    finally:
        await forget_packages(stage)
    output: dict[str, Any] = {"data_bytes": _data_bytes(stage)}
    if not ended.succeeded or stage.children.exceeded is not None:
        return replace(await stage.diagnose([ended]), output=output)
    if not any(file.is_file() for file in stage.root.etl_output.rglob("*")):
        if given_records and not allow_nothing:
            return Failed(
                Cause(
                    stage=stage.name,
                    sentence=f"{entry} ended without an error but wrote nothing to etl-output, "
                    f"although it was given {given_records:,} records.",
                    instruction="Write to etl-output/, or set `empty_output: allow` on the flow's script if nothing is right.",
                    evidence={"exit_code": ended.code, "records": given_records},
                ),
                fatal=True,
                output=output,
            )
        output["warning"] = f"{entry} wrote nothing to etl-output."
    return Succeeded(output)


async def pass_through(stage: Stage, target: ConnectorSpec | None) -> Succeeded | Failed:
    """
    Hand the synced files on unchanged, in the form that the target reads.
    """
    form = target.input if target else "files"
    child = await stage.start("etl", own_program("pass_through", str(stage.root.folder), form))
    ended = await child.wait()
    if not ended.succeeded or stage.children.exceeded is not None:
        return await stage.diagnose([ended])
    return Succeeded({"data_bytes": _data_bytes(stage)})


def _data_bytes(stage: Stage) -> dict[str, int]:
    return {"etl-output": folder_bytes(stage.root.etl_output), "snapshots": folder_bytes(stage.root.snapshots)}
