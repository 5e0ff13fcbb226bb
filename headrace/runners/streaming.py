"""
The stage of a streaming job: a tap straight into a target, with a relay between them that counts.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from headrace.core.outcome import Failed, Succeeded, refused_by
from headrace.core.plan import Limits as PlanLimits
from headrace.runners.connector import Connector, lend_config
from headrace.runners.export import left_early
from headrace.runners.job_root import write_json
from headrace.runners.process import Exit
from headrace.runners.reports import Reports, close, own_program
from headrace.runners.singer import tap_command
from headrace.runners.stage import REPORT_FD, Stage
from headrace.runners.target_state import TargetState


async def pipe(
    stage: Stage,
    tap: Connector,
    target: Connector,
    *,
    limits: PlanLimits,
    catalog: Mapping[str, Any] | None,
    field_map: Mapping[str, Any] | None,
    bookmark: dict[str, Any] | None,
) -> Succeeded | Failed:
    """
    Run a tap straight into a target. The new bookmark is the last state that the *target* printed: only that is written for sure.
    """
    root = stage.root
    argv = tap_command(stage, tap, catalog, field_map, bookmark)
    lend_config(root, target, root.target_config)
    write_json(root.work / "relay.json", {"max_line_bytes": limits.line_bytes, "report_fd": REPORT_FD})
    reports = Reports(stage)
    async with stage.listening() as (stdout, printed):
        tap_read, tap_write = os.pipe()
        target_read, target_write = os.pipe()
        report_read, report_write = os.pipe()
        try:
            target_child = await stage.start(
                "target",
                [*target.command, "--config", str(root.target_config)],
                stdin=target_read,
                stdout=stdout,
            )
            relay = await stage.start(
                "relay",
                own_program("relay", str(root.work / "relay.json")),
                stdin=tap_read,
                stdout=target_write,
                pass_fds={REPORT_FD: report_write},
            )
            tap_child = await stage.start("tap", argv, stdout=tap_write)
        finally:
            into, out_of = os.fstat(tap_read).st_ino, os.fstat(target_read).st_ino
            close(tap_read, tap_write, target_read, target_write, report_write)
        listening = asyncio.create_task(reports.listen(report_read))
        (tap_end, relay_end), (_, target_end) = await asyncio.gather(
            stage.both_ends(into, tap_child, relay), stage.both_ends(out_of, relay, target_child)
        )
        await listening
    state = await asyncio.to_thread(printed.read)
    if state.state is not None:
        write_json(root.target_state, state.state)
    outcome = await _pipe_outcome(stage, target, _Ends(tap_end, relay_end, target_end), reports, state)
    return refused_by(outcome, [target.connection] if state.refused and target.connection else [])


@dataclass(frozen=True, slots=True)
class _Ends:
    tap: Exit
    relay: Exit
    target: Exit


async def _pipe_outcome(
    stage: Stage, target: Connector, ends: _Ends, reports: Reports, state: TargetState
) -> Succeeded | Failed:
    finished = reports.finished
    output: dict[str, Any] = {
        "record_count": reports.counts,
        "bytes": finished.get("bytes", 0),
        "export_summary": state.summary,
        "export_details": state.details,
    }
    if stage.children.exceeded is not None:
        return replace(await stage.diagnose([ends.tap, ends.target]), output=output)
    if ends.target.succeeded and finished.get("target_closed") and await _by_the_target(stage, ends):
        return Failed(left_early(target, ends.target), output=output)
    if not ends.target.succeeded:
        failed = await stage.diagnose([ends.target])
        return replace(failed, cause=replace(failed.cause, stage="export"), output=output)
    if finished.get("error"):
        error = finished["error"]
        return Failed(stage.refused(error), fatal=True, output=output)
    if not ends.tap.succeeded:
        return replace(await stage.diagnose([ends.tap]), output=output)
    if not ends.relay.succeeded:
        return replace(await stage.diagnose([ends.relay], program="the relay"), output=output)
    if state.state is not None:
        bookmark = state.state.get("tap", state.state) if "target" in state.state else state.state
        write_json(stage.root.new_bookmark, bookmark, durable=True)
    return Succeeded(output)


async def _by_the_target(stage: Stage, ends: _Ends) -> bool:
    """
    Tell whether a target that closed the pipe and ended well is to blame, rather than a tap that failed of itself before.

    Who of the two ends first says little: a target may close the pipe, and take its time to end.
    """
    return ends.tap.succeeded or ends.target.order < ends.tap.order or await stage.broke_off(ends.tap)
