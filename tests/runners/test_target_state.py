"""
Of what a target prints, the last state counts.
"""

from __future__ import annotations

import json

import pytest
from hotglue_rows import row

from headrace.runners.target_state import LastState, TargetState


def printed(*pieces: bytes) -> TargetState:
    state = LastState()
    for piece in pieces:
        state.data_received(piece)
    state.connection_lost(None)
    return state.read()


def sdk(successes: int) -> dict[str, object]:
    entries = [{"success": True, "id": f"R-{n}", "externalId": str(n)} for n in range(successes)]
    return {"bookmarks": {"Contacts": entries}, "summary": {"Contacts": {"success": successes}}}


@pytest.mark.parametrize("chunk_bytes", [1, 7, 100, 1 << 20])
@row("6.4 last line")
def test_the_last_state_counts_however_it_is_cut(chunk_bytes: int) -> None:
    """
    Earlier lines, lines that are no objects, and half a line are passed over.
    """
    output = b"\n".join([json.dumps(sdk(1)).encode(), b"connecting ...", json.dumps(sdk(3)).encode(), b'done {"a', b""])
    told = printed(*(output[at : at + chunk_bytes] for at in range(0, len(output), chunk_bytes)))

    assert told.summary == {"Contacts": {"success": 3, "fail": 0, "existing": 0, "updated": 0}}
    assert [entry["id"] for entry in told.details["Contacts"]] == ["R-0", "R-1", "R-2"]


def test_a_last_line_without_a_newline_counts() -> None:
    assert printed(b'{"bookmarks": {}}\n', b'{"bookmarks": {"t": 1}}').state == {"bookmarks": {"t": 1}}


@row("6.4 other targets")
def test_a_plain_singer_state_has_no_summary() -> None:
    told = printed(b'{"bookmarks": {"t": {"id": 1}}}\n')

    assert (told.summary, told.details) == ({}, {})


def test_nothing_printed_is_no_state() -> None:
    assert printed().state is None


def test_a_streaming_targets_report_stands_under_target() -> None:
    told = printed(json.dumps({"tap": {"bookmarks": {}}, "target": sdk(2)}).encode())

    assert told.summary["Contacts"]["success"] == 2


@row("6.4 several targets")
def test_two_targets_reports_are_added_up() -> None:
    both = printed(json.dumps(sdk(2)).encode()).joined(printed(json.dumps(sdk(1)).encode()))

    assert both.summary["Contacts"]["success"] == 3
    assert len(both.details["Contacts"]) == 3
    assert both.state == sdk(1)
