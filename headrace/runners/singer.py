"""
The stages that run a tap: discover, and sync into files.

Command lines, working folders and files are those of the Singer specification and of hotglue's contract
(docs/reference/hotglue.md). Who ended first decides whom a failure is laid to: a tap that is stopped because its reader went
away is a consequence, never the cause.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headrace.core.outcome import Cause, Failed, Succeeded
from headrace.core.plan import Limits as PlanLimits
from headrace.core.plan import SyncFiles
from headrace.runners.catalog import select
from headrace.runners.connector import Connector, lend_config
from headrace.runners.job_root import ESTIMATES, METRICS, JobRoot, folder_bytes, read_json, write_json
from headrace.runners.process import Exit
from headrace.runners.reports import Reports, close, own_program
from headrace.runners.resume import plan_resume
from headrace.runners.stage import REPORT_FD, Stage
from headrace.runners.sync_spec import Limits as SyncLimits
from headrace.runners.sync_spec import SyncSpec, write_spec


async def discover(stage: Stage, tap: Connector) -> dict[str, Any] | Failed:
    """
    Ask a tap for its catalog.
    """
    lend_config(stage.root, tap, stage.root.config)
    output = stage.root.work / "discovered.json"
    with output.open("wb") as file:
        child = await stage.start(
            "discover", [*tap.command, "--config", "config.json", "--discover"], stdout=file.fileno()
        )
        ended = await child.wait()
    if not ended.succeeded:
        return await stage.diagnose([ended])
    catalog = read_json(output)
    if not isinstance(catalog, dict) or not isinstance(catalog.get("streams"), list):
        return Failed(
            Cause(
                stage=stage.name,
                sentence=f"{tap.spec.name} printed no catalog when asked to discover its streams.",
                instruction="Set `discover: false` on the connector if the tap cannot discover.",
                evidence={"exit_code": ended.code},
            ),
            fatal=True,
        )
    write_json(stage.root.catalog, catalog)
    return catalog


async def sync(
    stage: Stage,
    tap: Connector,
    *,
    files: SyncFiles,
    limits: PlanLimits,
    catalog: Mapping[str, Any] | None,
    field_map: Mapping[str, Any] | None,
    bookmark: dict[str, Any] | None,
    max_records: Mapping[str, int] | int | None,
    timestamp: str,
) -> Succeeded | Failed:
    """
    Run a tap into `sync-output/`, one file per stream.

    An attempt that follows one that died goes on from its last durable checkpoint, as far as the tap's state allows.
    Records of a stream beyond *max_records* are dropped; then there is no new bookmark.
    The new bookmark is left in the job's work folder; it becomes the connection's only when the whole job has succeeded.
    """
    root = stage.root
    if not root.initial_state.exists():
        write_json(root.initial_state, bookmark, durable=True)
    initial = read_json(root.initial_state)
    resume = await asyncio.to_thread(plan_resume, root.work, initial)
    # The counts of an attempt before; what a tap that writes files itself counts in this one is written there anew.
    (root.sync_output / METRICS).unlink(missing_ok=True)
    argv = tap_command(stage, tap, catalog, field_map, resume.state, max_records=max_records)
    spec = SyncSpec(
        output_dir=root.sync_output,
        work_dir=root.work,
        timestamp=timestamp,
        format=files.format,
        datetimes=files.datetimes,
        on_misfit=files.on_misfit,
        limits=SyncLimits(
            max_line_bytes=limits.line_bytes,
            max_records=dict(max_records) if isinstance(max_records, Mapping) else max_records,
            drop_beyond=True,
            max_output_bytes=limits.output_bytes,
        ),
        report_fd=REPORT_FD,
        initial_state=initial,
        resume=True,
    )
    write_spec(spec, root.work / "sync.json")
    _forget_files(root)
    reports = Reports(stage)
    data_read, data_write = os.pipe()
    report_read, report_write = os.pipe()
    try:
        tap_child = await stage.start("tap", argv, stdout=data_write)
        writer = await stage.start(
            "writer",
            own_program("sync_output", str(root.work / "sync.json")),
            stdin=data_read,
            pass_fds={REPORT_FD: report_write},
        )
    finally:
        pipe = os.fstat(data_read).st_ino
        close(data_read, data_write, report_write)
    listening = asyncio.create_task(reports.listen(report_read))
    tap_end, writer_end = await stage.both_ends(pipe, tap_child, writer)
    await listening
    return await _sync_outcome(stage, tap, tap_end, writer_end, reports)


def tap_command(
    stage: Stage,
    tap: Connector,
    catalog: Mapping[str, Any] | None,
    field_map: Mapping[str, Any] | None,
    state: Mapping[str, Any] | None,
    *,
    max_records: Mapping[str, int] | int | None = None,
) -> list[str]:
    """
    Write what a tap is started with, and give its command line.

    `hg_sync_output` tells taps that write files themselves where to; their default is a path under /home/hotglue.
    `_hg_max_records_limit` lets taps of hotglue's SDK stop by themselves; of others, records beyond are dropped.
    """
    root = stage.root
    settings = {**tap.settings, "hg_sync_output": str(root.sync_output)}
    if limits := _by_stream(max_records, catalog):
        settings["_hg_max_records_limit"] = limits
    lend_config(root, tap, root.config, settings)
    write_json(root.source_config, settings, secret=True)
    argv = [*tap.command, "--config", "config.json"]
    if catalog is not None:
        write_json(root.catalog, catalog)
        write_json(root.selected_catalog, select(catalog, field_map))
        argv += [tap.spec.catalog_flag, root.selected_catalog.name]
    if state is not None:
        write_json(root.state, state)
        argv += ["--state", root.state.name]
    else:
        root.state.unlink(missing_ok=True)
    return argv


def _by_stream(max_records: Mapping[str, int] | int | None, catalog: Mapping[str, Any] | None) -> dict[str, int]:
    if isinstance(max_records, Mapping):
        return dict(max_records)
    streams = catalog.get("streams", ()) if catalog and max_records is not None else ()
    return {str(stream.get("tap_stream_id") or stream.get("stream")): max_records or 0 for stream in streams}


def _forget_files(root: JobRoot) -> None:
    """
    Remove what taps that write files themselves left in an earlier try; folders of attachments stay.
    """
    for file in root.sync_output.iterdir():
        if not file.is_dir():
            file.unlink()


async def _sync_outcome(
    stage: Stage, tap: Connector, tap_end: Exit, writer_end: Exit, reports: Reports
) -> Succeeded | Failed:
    finished = reports.finished
    output = _sync_output(stage.root, reports)
    if stage.children.exceeded is not None:
        return replace(await stage.diagnose([tap_end, writer_end]), output=output)
    refused = finished.get("error")
    if refused and (tap_end.succeeded or writer_end.order <= tap_end.order or refused["code"] != "truncated-line"):
        return Failed(stage.refused(refused, tap=tap.spec.name), fatal=True, output=output)
    if not tap_end.succeeded:
        return replace(await stage.diagnose([tap_end, writer_end]), output=output)
    if not finished or not writer_end.succeeded:
        return replace(await stage.diagnose([writer_end], program="the writer of sync files"), output=output)
    if not finished.get("schemas_seen") and not stage.root.synced_files():
        return Failed(_sent_nothing(stage, tap, tap_end), output=output)
    # What was dropped has to come again, so a sync that was cut short moves no bookmark.
    if finished.get("state") is not None and not finished.get("dropped"):
        write_json(stage.root.new_bookmark, finished["state"], durable=True)
    return Succeeded(output)


def _sync_output(root: JobRoot, reports: Reports) -> dict[str, Any]:
    """
    Say what a sync made: what the writer counted, and what taps that write files themselves counted in `job_metrics.json`.
    """
    finished = reports.finished
    estimates = read_json(root.sync_output / ESTIMATES)
    output: dict[str, Any] = {
        "record_count": {**counts_in(read_json(root.sync_output / METRICS)), **reports.counts},
        "bytes": finished.get("bytes", 0),
        "data_bytes": {"sync-output": folder_bytes(root.sync_output)},
    }
    output |= {
        name: finished[name] for name in ("quarantined", "noise", "extra_columns", "dropped") if finished.get(name)
    }
    return output | ({"estimated_record_count": counts_in(estimates)} if counts_in(estimates) else {})


def counts_in(metrics: Any) -> dict[str, int]:
    """
    Read `{"recordCount": {stream: n}}`, or just what is in it, as taps write it; anything else counts nothing.
    """
    counts = metrics.get("recordCount", metrics) if isinstance(metrics, dict) else {}
    if not isinstance(counts, dict):
        return {}
    return {str(stream): count for stream, count in counts.items() if type(count) is int}


def _sent_nothing(stage: Stage, tap: Connector, tap_end: Exit) -> Cause:
    return Cause(
        stage=stage.name,
        sentence=f"{tap.spec.name} ended without an error but sent no SCHEMA and no records.",
        instruction="Run the tap by hand with the job's config.json; check its credentials and selection.",
        evidence={"exit_code": tap_end.code},
    )
