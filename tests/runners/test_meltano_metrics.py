"""
Records counted in Meltano's log.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.runners.logs import LogLine
from headrace.runners.meltano_metrics import RecordCount

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
METRIC: dict[str, Any] = {"type": "counter", "metric": "record_count", "value": 2, "tags": {"stream": "flights"}}


def _line(text: str, *, name: str = "tap-x", level: str = "info     ") -> LogLine:
    return LogLine(1, NOON, "run", "command.stderr", f"2026-01-02T12:00:00.5Z [{level}] {name:12} {text}")


def _said(metric: Any, **fields: str) -> LogLine:
    return _line(f"METRIC: {json.dumps(metric)}", **fields)


def test_what_an_extractor_says_is_added_up_by_stream() -> None:
    """
    Each line tells what came since the last one; older taps have INFO before it and `endpoint` for the stream.
    """
    count = RecordCount(["tap-x", "tap-y"])

    count.hear([_said(METRIC), _said({**METRIC, "value": 3}), _said({**METRIC, "tags": {"stream": "b"}}, name="tap-y")])
    count.hear([_line(f"INFO METRIC: {json.dumps({**METRIC, 'tags': {'endpoint': 'c'}})}")])

    assert count.streams == {"flights": 5, "b": 2, "c": 2}
    assert count.total == 9


@pytest.mark.parametrize(
    "line",
    [
        _said(METRIC, name="target-x"),
        _said(METRIC, name="meltano"),
        _said({**METRIC, "type": "timer"}),
        _said({**METRIC, "metric": "record_count_2"}),
        *(_said({**METRIC, "value": value}) for value in (-1, True, 2.5, "2", None, 2**60)),
        _line('METRIC: {"type":"counter","metric":"record_count","val'),
        _line("METRIC: record_count {"),
        LogLine(1, NOON, "run", "command.stdout", f"METRIC: {json.dumps(METRIC)}"),
    ],
)
def test_what_is_no_count_of_an_extractor_counts_nothing(line: LogLine) -> None:
    """
    The target's own count of the same records, other metrics, values that are none, lines cut in two.
    """
    count = RecordCount(["tap-x"])

    count.hear([line])

    assert count.streams == {}


@given(st.text(max_size=200))
def test_no_line_breaks_the_count(text: str) -> None:
    """
    Whatever a program prints.
    """
    count = RecordCount(["tap-x"])

    count.hear([_line(f"METRIC: {text} record_count"), _line(f'METRIC: {{"metric":"record_count","x":{text}}}')])

    assert count.total == 0
