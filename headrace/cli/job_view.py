"""
How a job looks on a terminal: its stages, what they read and wrote, and why it ended as it did.

Pure: the job is the core API's JSON, the time is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from headrace.cli.output import byte_count, duration, lasted, mark_of, moment, printable, state_text

_STREAMS_SHOWN = 8
_SHORT_ID = 13  # of a UUID of version 7: its milliseconds
_EVIDENCE = {
    "exit_code": "exit code",
    "signal": "signal",
    "last_error_line": "last error line",
    "peak_memory_bytes": "peak memory",
}
_WHO = {
    "customer": "the customer: reconnect an account or grant a permission",
    "developer": "the developer of the connector, script or definition",
    "operator": "the operator of this server",
}
_RESTING = {
    "scheduled": "will be tried again",
    "waiting": "waits for its turn",
    "admitted": "waits for a worker",
    "paused": "is paused",
    "pausing": "pauses as soon as what runs has ended",
}


def title(job: Mapping[str, Any]) -> str:
    """
    Name a job in one line: what it runs, tenant and short id.
    """
    return f"{subject(job)} for {job['tenant']}, job {short_id(job)}"


def subject(job: Mapping[str, Any]) -> str:
    """
    Say what a job runs: its flow or batch, or a pipeline by its name.
    """
    return str(job["name"]) if _is_uuid(job["definition"]) and job.get("name") else str(job["definition"])


def short_id(job: Mapping[str, Any]) -> str:
    """
    Give what people call a job: its public id, of a UUID the first 13 characters, which commands take for the whole.
    """
    public_id = str(job["public_id"])
    return public_id[:_SHORT_ID] if _is_uuid(public_id) else public_id


def _is_uuid(text: Any) -> bool:
    return len(str(text)) == 36 and str(text).count("-") == 4


def short_state(job: Mapping[str, Any]) -> str:
    """
    Say in a few words what a job that has not ended is doing.
    """
    state = standing(job)
    running = next((step["name"] for step in job.get("steps", ()) if step["state"] == "running"), "")
    if state == "running":
        return f"runs {running}" if running else "runs"
    return _RESTING.get(state, state)


def standing(job: Mapping[str, Any]) -> str:
    """
    Give a job's state; of one that is asked to pause, whether it has come to rest.
    """
    items = job.get("items") or {}
    if job.get("finished_at") or not items.get("pause_requested_at"):
        return str(job["state"])
    return "pausing" if items.get("live") else "paused"


def pause_text(job: Mapping[str, Any]) -> str:
    """
    Say what a pause means for a job, and how it ends; empty for one that is not asked to pause.
    """
    match standing(job):
        case "pausing":
            live = job["items"]["live"]
            many = "1 item still runs to its end" if live == 1 else f"{live:,} items still run to their end"
            return f"starts nothing more; {many}.\nGo on with: headrace resume {short_id(job)}"
        case "paused":
            return f"is paused and starts nothing.\nGo on with: headrace resume {short_id(job)}"
    return ""


def records_of(job: Mapping[str, Any]) -> dict[str, int]:
    """
    Sum the records read, by stream.
    """
    counts: dict[str, int] = {}
    for step in job.get("steps", ()):
        for stream, count in step.get("output", {}).get("record_count", {}).items():
            counts[stream] = counts.get(stream, 0) + int(count)
    return counts


def progress(
    job: Mapping[str, Any],
    rates: Mapping[str, float],
    *,
    now: datetime,
    spinner: Spinner,
    heard: str = "",
    note: str = "",
) -> RenderableType:
    """
    Show a job under way: a line for each stage, the streams below the stage that reads them.

    Args:
        job: as the core API shows it.
        rates: records per second, by stream.
        now: the time.
        spinner: turns beside what is running.
        heard: the newest line of its log, where there is nothing to count.
        note: what keeps the picture from being up to date.
    """
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(min_width=10)
    table.add_column(justify="right", min_width=8)
    table.add_column(overflow="fold")
    for step in job.get("steps", ()):
        mark, style = mark_of(step["state"])
        sign: RenderableType = spinner if step["state"] == "running" else Text(mark, style=style)
        table.add_row(sign, step["name"], duration(lasted(step, now=now)), Text(_said_of(step), style="dim"))
    parts: list[RenderableType] = [Text(title(job), style="bold"), table]
    if items := job.get("items"):
        parts.append(Text(f"  {items_text(items)}"))
    if streams := _streams(job, rates):
        parts.append(streams)
    if heard:
        parts.append(Text(f"  {printable(heard.strip())}", style="dim", no_wrap=True, overflow="ellipsis"))
    if job["state"] not in ("completed", "failed", "cancelled"):
        parts.append(Text(f"{short_state(job)}, {duration(lasted(job, now=now)) or 'not begun'}", style="dim"))
    if note:
        parts.append(Text(note, style="yellow"))
    return Group(*parts)


def items_text(items: Mapping[str, Any]) -> str:
    """
    Count the items of a job that calls functions: `3 of 4 items ended, 1 failed, 1 runs`.
    """
    ended = items["completed"] + items["failed"] + items["cancelled"]
    counts = [f"{items[name]:,} {name}" for name in ("failed", "cancelled") if items[name]]
    if items.get("live"):
        counts.append(f"{items['live']:,} under way")
    return ", ".join([f"{ended:,} of {items['total']:,} items ended", *counts])


def _said_of(step: Mapping[str, Any]) -> str:
    output = step.get("output", {})
    counts = output.get("record_count") or {}
    if counts:
        many = f"{len(counts)} streams, " if len(counts) > 1 else ""
        return f"{many}{sum(counts.values()):,} records"
    if summary := output.get("export_summary"):
        return _summary(summary)
    return ""


def _summary(summary: Mapping[str, Any]) -> str:
    """
    Add up what the targets say of each stream, such as `{"orders": {"success": 3, "fail": 1}}`.
    """
    totals: dict[str, int] = {}
    for told in summary.values():
        for what, count in told.items() if isinstance(told, dict) else ():
            if isinstance(count, int) and not isinstance(count, bool):
                totals[what] = totals.get(what, 0) + count
    return ", ".join(f"{count:,} {what}" for what, count in totals.items() if count)


def _streams(job: Mapping[str, Any], rates: Mapping[str, float]) -> Table | None:
    counts = records_of(job)
    if not counts:
        return None
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(overflow="ellipsis", max_width=40, no_wrap=True)
    table.add_column(justify="right", min_width=12)
    table.add_column(style="dim", justify="right", min_width=12)
    biggest = sorted(counts.items(), key=lambda item: -item[1])
    for stream, count in biggest[:_STREAMS_SHOWN]:
        rate = rates.get(stream, 0.0)
        table.add_row("", stream, f"{count:,}", f"{rate:,.0f}/s" if rate else "")
    if hidden := biggest[_STREAMS_SHOWN:]:
        table.add_row("", f"and {len(hidden)} more", f"{sum(count for _, count in hidden):,}", "")
    return table


def ending(job: Mapping[str, Any], last_lines: Sequence[str], *, now: datetime) -> RenderableType:
    """
    Show how a job ended; why it failed comes first.

    Args:
        job: as the core API shows it.
        last_lines: the end of its log.
        now: the time.
    """
    after = duration(lasted(job, now=now)) or "no time"
    if job["state"] == "completed":
        return Text(f"✓ Completed in {after}.", style="green")
    head = f"{job['state'].capitalize()} after {after}"
    cause = job.get("cause")
    body: list[RenderableType] = [cause_view(cause)] if cause else [Text("No cause was recorded.")]
    if last_lines and job["state"] == "failed":
        body += [
            Text("\nThe end of the log:", style="dim"),
            *(Text(f"  {printable(line)}", style="dim", no_wrap=True, overflow="ellipsis") for line in last_lines),
            Text(f"All of it: headrace logs {short_id(job)}", style="dim"),
        ]
    style = mark_of(str(job["state"]))[1]
    return Panel(Group(*body), title=head, title_align="left", border_style=style)


def cause_view(cause: Mapping[str, Any]) -> RenderableType:
    """
    Show a cause: the sentence, who can mend it, the next move, the evidence.
    """
    stage = f"{cause['stage']}: " if cause.get("stage") else ""
    lines: list[RenderableType] = [Text(printable(f"{stage}{cause['sentence']}"), style="bold")]
    table = Table.grid(padding=(0, 1))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    if who := _WHO.get(str(cause.get("who"))):
        table.add_row("mended by", who)
    if cause.get("instruction"):
        table.add_row("next move", Text(printable(str(cause["instruction"]))))
    for name, value in (cause.get("evidence") or {}).items():
        if value not in (None, ""):
            table.add_row(_EVIDENCE.get(name, name.replace("_", " ")), Text(_evidence(name, value)))
    if table.row_count:
        lines.append(table)
    return Group(*lines)


def _evidence(name: str, value: Any) -> str:
    if name.endswith("_bytes") and isinstance(value, (int, float)):
        return byte_count(value)
    return printable(str(value))


def whole(job: Mapping[str, Any], *, now: datetime) -> RenderableType:
    """
    Show everything about one job: its cause first, then its stages, then its facts.
    """
    parts: list[RenderableType] = [Text.assemble((title(job), "bold"), "  ", state_text(standing(job)))]
    if job.get("cause"):
        parts += [Text(), cause_view(job["cause"])]
    if job.get("steps"):
        parts += [Text(), _stages(job, now=now)]
    if items := job.get("items"):
        parts += [Text(), Text(items_text(items)), Text(f"Each of them: headrace items {short_id(job)}", style="dim")]
    if paused := pause_text(job):
        parts += [Text(), Text(f"It {paused}")]
    if streams := _streams(job, {}):
        parts += [Text(), streams]
    parts += [Text(), _facts(job, now=now)]
    return Group(*parts)


def _stages(job: Mapping[str, Any], *, now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("stage", "state", "began", "took", ""):
        table.add_column(column, overflow="fold")
    for step in job["steps"]:
        began = moment(step.get("started_at"))
        table.add_row(
            step["name"],
            state_text(str(step["state"])),
            f"{began:%H:%M:%S}" if began else "",
            duration(lasted(step, now=now)),
            _said_of(step),
        )
    return table


def _facts(job: Mapping[str, Any], *, now: datetime) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    times = {name: moment(job.get(f"{name}_at")) for name in ("created", "started", "finished")}
    crashes = f", {job['crashes']} ended without a word" if job.get("crashes") else ""
    for name, value in (
        ("id", job["id"]),
        ("name", job.get("name")),
        ("workspace", job.get("workspace")),
        ("root", job.get("root")),
        *((name, f"{at:%Y-%m-%d %H:%M:%S} UTC") for name, at in times.items() if at),
        ("took", duration(lasted(job, now=now))),
        ("attempts", f"{job.get('attempt', 0)}{crashes}"),
    ):
        if value:
            table.add_row(name, Text(str(value)))
    return table
