"""
The step that runs a user's script over the synced files.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from headrace.core.outcome import Failed, Succeeded
from headrace.core.plan import Script
from headrace.engine.accounts import account_of_script, blamed
from headrace.engine.desk import AttemptDesk, used
from headrace.engine.tenant_files import edited_tenant_config, lay_tenant_config
from headrace.runners import script
from headrace.runners.job_root import copy_tree, read_json, write_json
from headrace.runners.node import is_for_node
from headrace.runners.node_packages import NodePackages
from headrace.runners.snapshots import forget_unchanged


async def run_script(desk: AttemptDesk, step: Script) -> Succeeded | Failed:
    """
    Run a script, or pass the data through where there is none.

    A script that was cut off runs again from the start, so it gets the tenant's files as they were before it: what it has noted
    there as sent would not be sent again.
    """
    root = desk.root
    await asyncio.to_thread(root.clear_etl_output)
    if root.script_began.exists():
        await desk.tenant_files.bring_again(desk.work, root)
    root.script_began.touch()
    if step.source is not None:
        stored = await desk.files.obtain(f"scripts/{step.source}/files")
        await asyncio.to_thread(copy_tree, stored, root.folder)
    lay_tenant_config(desk.work, root)
    _write_files(desk, step)
    outcome = await (_run(desk, step) if step.source is not None else _pass_through(desk, step))
    await asyncio.to_thread(forget_unchanged, root)
    if isinstance(outcome, Succeeded) and (edited := edited_tenant_config(desk.work, root)):
        write_json(root.edited_tenant_config, edited, secret=True)
    return outcome


async def _run(desk: AttemptDesk, step: Script) -> Succeeded | Failed:
    program: Path | NodePackages = desk.toolbox.node_packages
    if not is_for_node(step.entry):
        program = await desk.toolbox.interpreter(step.requirements, step.python)
    records = sum(sum(output.get("record_count", {}).values()) for output in desk.outputs.values())
    async with desk.stage(step.name, step.limits) as stage:
        outcome = await script.script(
            stage, program, step.entry, given_records=records, allow_nothing=step.empty_output == "allow"
        )
    return used(blamed(outcome, account_of_script(desk.work.plan)), stage)


async def _pass_through(desk: AttemptDesk, step: Script) -> Succeeded | Failed:
    async with desk.stage(step.name, step.limits) as stage:
        outcome = await script.pass_through(stage, step.target)
    return used(outcome, stage)


def _write_files(desk: AttemptDesk, step: Script) -> None:
    """
    Put into the root what scripts look for there; a file of the script's own folder is not written over.
    """
    root = desk.root
    desk.write_configs()
    if step.selected_tables is not None:
        write_json(root.selected_tables, step.selected_tables)
        settings = read_json(root.config) or {}
        write_json(root.config, {**settings, "selected_tables": step.selected_tables}, secret=True)
    mapping = desk.work.tenant_config.get("hotglue_mapping", {}).get("mapping")
    if mapping is not None and not root.mapping.exists():
        write_json(root.mapping, mapping)
    for name, value in step.files.items():
        write_json(desk.path(name), value)
