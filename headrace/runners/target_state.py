"""
What a target says of its work: the JSON lines on its standard output.

Singer's contract is that each line is a state up to which everything is written; the last one counts. Targets built on hotglue's
SDK print `{"bookmarks": {sink: [entry]}, "summary": {sink: counters}}`; in a streaming job, that under `target` beside the tap's
state under `tap`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from headrace.runners.diagnosis import INVALID_CREDENTIALS

_COUNTERS = ("success", "fail", "existing", "updated")


@dataclass(frozen=True, slots=True)
class TargetState:
    """
    Attributes:
        state: the last state; None when the target printed none.
        summary: per sink, how many records succeeded, failed, existed, were updated; empty for targets of other SDKs.
        details: per sink, one entry a record.
        refused: the account refused its credentials: `auth_error_response`, or an entry with that class of error.
    """

    state: dict[str, Any] | None = None
    summary: dict[str, dict[str, int]] = field(default_factory=dict)
    details: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refused: bool = False

    def joined(self, later: TargetState) -> TargetState:
        """
        Add what a later target told; the state is its.
        """
        summary = {sink: dict(counters) for sink, counters in self.summary.items()}
        for sink, counters in later.summary.items():
            known = summary.get(sink, {})
            summary[sink] = {name: known.get(name, 0) + count for name, count in counters.items()}
        details = {
            sink: [*self.details.get(sink, ()), *later.details.get(sink, ())]
            for sink in {**self.details, **later.details}
        }
        return TargetState(
            state=later.state if later.state is not None else self.state, summary=summary, details=details
        )


class LastState(asyncio.Protocol):
    """
    The reading end of a target's standard output: keeps the last line that is a state, and forgets the others.

    Targets of hotglue's SDK print all they have done so far after each record, which adds up to gigabytes within thousands of records.

    Attributes:
        over: set when the target, and whoever inherited its output, has closed it.
    """

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self._line: bytes | None = None
        self._begun: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        """
        Take what was read: complete lines are looked at from the last one backwards.
        """
        complete, newline, rest = data.rpartition(b"\n")
        if newline:
            self._look(b"".join((*self._begun, complete)))
            self._begun = []
        self._begun.append(rest)

    def connection_lost(self, _error: Exception | None) -> None:
        """
        Take the last line, which may lack its newline.
        """
        self._look(b"".join(self._begun))
        self.over.set()

    def read(self) -> TargetState:
        """
        Read the last state; anything else on standard output was passed over.
        """
        if self._line is None:
            return TargetState()
        last: dict[str, Any] = msgspec.json.decode(self._line)
        report = last["target"] if isinstance(last.get("target"), dict) and "tap" in last else last
        details = _details(report)
        refused = bool(report.get("auth_error_response")) or any(
            entry.get("hg_error_class") == INVALID_CREDENTIALS for entries in details.values() for entry in entries
        )
        return TargetState(state=last, summary=_summary(report), details=details, refused=refused)

    def _look(self, lines: bytes) -> None:
        while lines:
            lines, _, line = lines.rpartition(b"\n")
            if line.lstrip().startswith(b"{") and _is_json(line):
                self._line = line
                return


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


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
