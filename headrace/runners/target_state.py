"""
What a target says of its work: the JSON lines on its standard output.

Singer's contract is that each line is a state up to which everything is written; the last one counts. Targets built on hotglue's
SDK print `{"bookmarks": {sink: [entry]}, "summary": {sink: counters}}`; in a streaming job, that under `target` beside the tap's
state under `tap`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

_COUNTERS = ("success", "fail", "existing", "updated")


@dataclass(frozen=True, slots=True)
class TargetState:
    """
    Attributes:
        state: the last state; None when the target printed none.
        summary: per sink, how many records succeeded, failed, existed, were updated; empty for targets of other SDKs.
        details: per sink, one entry a record.
    """

    state: dict[str, Any] | None = None
    summary: dict[str, dict[str, int]] = field(default_factory=dict)
    details: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def read_target_state(lines: Iterable[bytes]) -> TargetState:
    """
    Find the last state among the lines a target printed; anything else on standard output is passed over.
    """
    last: dict[str, Any] | None = None
    for line in lines:
        try:
            value = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue
        if isinstance(value, dict):
            last = value
    if last is None:
        return TargetState()
    report = last["target"] if isinstance(last.get("target"), dict) and "tap" in last else last
    return TargetState(state=last, summary=_summary(report), details=_details(report))


def _summary(report: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    summary = report.get("summary")
    if not isinstance(summary, dict):
        return {}
    return {
        str(sink): {name: int(counters.get(name) or 0) for name in _COUNTERS}
        for sink, counters in summary.items()
        if isinstance(counters, dict)
    }


def _details(report: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    if not isinstance(report.get("summary"), dict) or not isinstance(report.get("bookmarks"), dict):
        return {}
    return {
        str(sink): [entry for entry in entries if isinstance(entry, dict)]
        for sink, entries in report["bookmarks"].items()
        if isinstance(entries, list)
    }
