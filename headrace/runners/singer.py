"""
The stages that run taps and targets: discover, sync, export, and the pipe of a streaming job.

Command lines, working folders and files are those of the Singer specification and of hotglue's contract
(docs/reference/hotglue.md). Who ended first decides whom a failure is laid to: a tap that is stopped because its reader went
away is a consequence, never the cause.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headrace.core.outcome import Blame, Cause, Failed, Succeeded
from headrace.core.plan import ConnectorSpec, SyncFiles
from headrace.core.plan import Limits as PlanLimits
from headrace.runners.catalog import select
from headrace.runners.job_root import read_json, rewritten_settings, write_json
from headrace.runners.process import Child, Exit
from headrace.runners.resume import plan_resume
from headrace.runners.stage import REPORT_FD, Stage, read_reports
from headrace.runners.sync_spec import Limits as SyncLimits
from headrace.runners.sync_spec import SyncSpec, write_spec
from headrace.runners.target_state import TargetState, read_target_state


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """
    A connector ready to start.

    Attributes:
        command: its program, resolved in its environment.
        settings: what it is started with, secrets included.
        private: names of settings that came from this job alone; never saved back.
    """

    spec: ConnectorSpec
    command: Sequence[str]
    settings: Mapping[str, Any]
    private: frozenset[str] = frozenset()


async def discover(stage: Stage, tap: Connector) -> dict[str, Any] | Failed:
    """
    Ask a tap for its catalog.
    """
    write_json(stage.root.config, tap.settings, secret=True)
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
    The new bookmark is left in the job's work folder; it becomes the connection's only when the whole job has succeeded.
    """
    root = stage.root
    if not root.initial_state.exists():
        write_json(root.initial_state, bookmark)
    initial = read_json(root.initial_state)
    resume = await asyncio.to_thread(plan_resume, root.work, initial)
    argv = _tap_command(stage, tap, catalog, field_map, resume.state)
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
            max_output_bytes=limits.output_bytes,
        ),
        report_fd=REPORT_FD,
        initial_state=initial,
        resume=True,
    )
    write_spec(spec, root.work / "sync.json")
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


async def export(stage: Stage, targets: Sequence[Connector]) -> Succeeded | Failed:
    """
    Send what the script made through each target in turn; the first failure ends it.
    """
    output: dict[str, Any] = {"export_summary": {}, "export_details": {}}
    made = [file for file in stage.root.etl_output.rglob("*") if file.is_file()]
    if not made:
        return Succeeded({**output, "warning": "There was nothing to export."})
    for target in targets:
        ended = await _export_one(stage, target)
        if isinstance(ended, Failed):
            return replace(ended, output=output)
        output["export_summary"] |= ended.summary
        output["export_details"] |= ended.details
    return Succeeded(output)


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
    argv = _tap_command(stage, tap, catalog, field_map, bookmark)
    config = root.folder / "target-config.json"
    write_json(config, target.settings, secret=True)
    write_json(root.work / "relay.json", {"max_line_bytes": limits.line_bytes, "report_fd": REPORT_FD})
    reports = Reports(stage)
    tap_read, tap_write = os.pipe()
    target_read, target_write = os.pipe()
    report_read, report_write = os.pipe()
    try:
        with root.target_state.open("wb") as printed:
            target_child = await stage.start(
                "target", [*target.command, "--config", str(config)], stdin=target_read, stdout=printed.fileno()
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
    return await _pipe_outcome(stage, tap_end, relay_end, target_end, reports)


class Reports:
    """
    What a data-plane process reports: keeps the counts, tells the stage of progress, remembers the last word.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.counts: dict[str, int] = {}
        self.finished: dict[str, Any] = {}

    async def listen(self, descriptor: int) -> None:
        async for report in read_reports(descriptor):
            match report["kind"]:
                case "progress":
                    self._stage.children.progress()
                    self.counts |= report.get("counts", {})
                    self._stage.progress(
                        {
                            "record_count": dict(self.counts),
                            "bytes": report.get("bytes", 0),
                            **({"quarantined": report["quarantined"]} if report.get("quarantined") else {}),
                        }
                    )
                case "checkpoint":
                    self._stage.children.progress()
                case "noise":
                    self._stage.book.write(
                        f"Line {report['line']} of the tap's output is no Singer message: {report['excerpt']}",
                        stage=self._stage.name,
                    )
                case "finished":
                    self.finished = report
                    self.counts |= report.get("counts", {})


def own_program(name: str, *arguments: str) -> list[str]:
    """
    Name one of our data-plane programs, kept from importing what lies in the job's folder.
    """
    return [sys.executable, "-I", "-m", f"headrace.runners.{name}", *arguments]


def close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _tap_command(
    stage: Stage,
    tap: Connector,
    catalog: Mapping[str, Any] | None,
    field_map: Mapping[str, Any] | None,
    state: Mapping[str, Any] | None,
) -> list[str]:
    root = stage.root
    write_json(root.config, tap.settings, secret=True)
    write_json(root.folder / "source-config.json", tap.settings, secret=True)
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


async def _sync_outcome(
    stage: Stage, tap: Connector, tap_end: Exit, writer_end: Exit, reports: Reports
) -> Succeeded | Failed:
    finished = reports.finished
    output: dict[str, Any] = {
        "record_count": reports.counts,
        "bytes": finished.get("bytes", 0),
        "data_bytes": {"sync-output": sum(file.get("bytes", 0) for file in finished.get("files", []))},
    }
    output |= {name: finished[name] for name in ("quarantined", "noise", "extra_columns") if finished.get(name)}
    if stage.children.exceeded is not None:
        return replace(await stage.diagnose([tap_end, writer_end]), output=output)
    refused = finished.get("error")
    if refused and (tap_end.succeeded or writer_end.order <= tap_end.order or refused["code"] != "truncated-line"):
        return Failed(_refused(stage, tap, refused), fatal=True, output=output)
    if not tap_end.succeeded:
        return replace(await stage.diagnose([tap_end, writer_end]), output=output)
    if not finished or not writer_end.succeeded:
        return replace(await stage.diagnose([writer_end], program="the writer of sync files"), output=output)
    if not finished.get("schemas_seen") and not any(stage.root.synced_files()):
        return Failed(
            Cause(
                stage=stage.name,
                sentence=f"{tap.spec.name} ended without an error but sent no SCHEMA and no records.",
                instruction="Run the tap by hand with the job's config.json; check its credentials and selection.",
                evidence={"exit_code": tap_end.code},
            ),
            output=output,
        )
    if finished.get("state") is not None:
        write_json(stage.root.new_bookmark, finished["state"])
    return Succeeded(output)


def _refused(stage: Stage, tap: Connector, error: Mapping[str, Any]) -> Cause:
    return Cause(
        stage=stage.name,
        sentence=str(error["reason"]),
        who=Blame.OPERATOR if error["code"] == "disk-full" else Blame.DEVELOPER,
        instruction=str(error.get("instruction") or ""),
        evidence={
            "tap": tap.spec.name,
            **{
                name: error[name]
                for name in ("code", "stream", "field", "line", "excerpt")
                if error.get(name) is not None
            },
        },
    )


async def _export_one(stage: Stage, target: Connector) -> TargetState | Failed:
    root = stage.root
    folder = target_folder(stage, target)
    config = folder / "config.json"
    settings = dict(target.settings)
    if target.spec.input == "files":
        settings["input_path"] = str(root.etl_output)
    write_json(config, settings, secret=True)
    write_json(root.folder / "target-config.json", settings, secret=True)
    argv = [*target.command, "--config", str(config)]
    if target.spec.input == "singer" and not root.singer_output.exists():
        return Failed(
            Cause(
                stage=stage.name,
                sentence=f"The script wrote no etl-output/data.singer, which {target.spec.name} reads.",
                instruction="Write Singer messages to etl-output/data.singer, or set `input: files` on the target.",
                evidence={"etl_output": sorted(file.name for file in root.etl_output.iterdir())[:20]},
            ),
            fatal=True,
        )
    source = os.open(root.singer_output if target.spec.input == "singer" else os.devnull, os.O_RDONLY)
    try:
        with root.target_state.open("wb") as printed:
            child = await stage.start("target", argv, cwd=folder, stdin=source, stdout=printed.fileno())
            ended = await _watched(stage, child, source)
        # The child shares our file's position: it tells how much was read.
        left = os.fstat(source).st_size - os.lseek(source, 0, os.SEEK_CUR)
        untouched = os.lseek(source, 0, os.SEEK_CUR) == 0
    finally:
        os.close(source)
    if not ended.succeeded:
        return await stage.diagnose([ended])
    with root.target_state.open("rb") as lines:
        state = read_target_state(lines)
    if target.spec.input == "singer" and left > 0 and not (untouched and state.state is not None):
        return Failed(
            Cause(
                stage=stage.name,
                sentence=f"{target.spec.name} ended without an error before it had read its input ({left:,} bytes left).",
                instruction="Look at the target's own log lines: it must read to the end or exit with a code other than 0.",
                evidence={"exit_code": ended.code, "unread_bytes": left},
            )
        )
    return state


async def _watched(stage: Stage, child: Child, source: int) -> Exit:
    """
    Wait for a target; that it reads on is its progress.
    """
    ending = asyncio.ensure_future(child.wait())
    position = -1
    while not ending.done():
        await asyncio.wait({ending}, timeout=1.0)
        now_at = os.lseek(source, 0, os.SEEK_CUR)
        if now_at != position:
            position = now_at
            stage.children.progress()
    return ending.result()


async def _pipe_outcome(
    stage: Stage, tap_end: Exit, relay_end: Exit, target_end: Exit, reports: Reports
) -> Succeeded | Failed:
    finished = reports.finished
    with stage.root.target_state.open("rb") as lines:
        state = read_target_state(lines)
    output: dict[str, Any] = {
        "record_count": reports.counts,
        "bytes": finished.get("bytes", 0),
        "export_summary": state.summary,
        "export_details": state.details,
    }
    if stage.children.exceeded is not None:
        return replace(await stage.diagnose([tap_end, target_end]), output=output)
    target_first = finished.get("target_closed") or target_end.order < tap_end.order
    if not target_end.succeeded or (target_first and not tap_end.succeeded):
        failed = await stage.diagnose([target_end])
        return replace(failed, cause=replace(failed.cause, stage="export"), output=output)
    if finished.get("error"):
        error = finished["error"]
        return Failed(Cause(stage=stage.name, sentence=str(error["reason"]), evidence=error), fatal=True, output=output)
    if not tap_end.succeeded:
        return replace(await stage.diagnose([tap_end]), output=output)
    if not relay_end.succeeded:
        return replace(await stage.diagnose([relay_end], program="the relay"), output=output)
    if state.state is not None:
        bookmark = state.state.get("tap", state.state) if "target" in state.state else state.state
        write_json(stage.root.new_bookmark, bookmark)
    return Succeeded(output)


def target_folder(stage: Stage, target: Connector) -> Path:
    """
    Give the folder a target works in.
    """
    return stage.root.folder / "targets" / _safe(target.spec.name)


def rewritten(connector: Connector, path: Path) -> dict[str, Any]:
    """
    Tell which of a connector's saved settings it has rewritten in its config file.
    """
    return rewritten_settings(path, connector.settings, private=connector.private)


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
