"""
Six-field schedules as Spring reads them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidError
from headrace.core.spring_cron import check, from_meltano, last_until, next_after

START = datetime(2026, 1, 1, tzinfo=UTC)  # a Thursday


@pytest.mark.parametrize(
    ("expression", "instant"),
    [
        ("*/5 * * * * *", datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)),
        ("0 0 9-17 * * MON-FRI", datetime(2026, 1, 1, 9, tzinfo=UTC)),
        ("0 0 0 25 12 ?", datetime(2026, 12, 25, tzinfo=UTC)),
        ("0 0 0 * * 0", datetime(2026, 1, 4, tzinfo=UTC)),
        ("0 0 0 * * 7", datetime(2026, 1, 4, tzinfo=UTC)),
        ("0 0 0 ? JAN SUN", datetime(2026, 1, 4, tzinfo=UTC)),
        ("0 0 0 13 * FRI", datetime(2026, 2, 13, tzinfo=UTC)),
        ("* * * 13 * FRI", datetime(2026, 2, 13, tzinfo=UTC)),
        ("0 0 0 L * ?", datetime(2026, 1, 31, tzinfo=UTC)),
        ("0 0 0 29 2 MON", datetime(2044, 2, 29, tzinfo=UTC)),
    ],
)
def test_the_next_instant(expression: str, instant: datetime) -> None:
    """
    Both day fields have to be met; `?` is any day; Sunday is 0 or 7.
    """
    assert next_after(expression, START) == instant


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "-",
        "@daily",
        "0 0 * * *",
        "0 0 0 * * * 2026",
        "0 0 0 31 2 ?",
        "? * * * * *",
        "61 * * * * *",
        "0 0 0 * * MON#1",
        "x" * 300,
    ],
)
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    """
    Macros, five or seven fields, `#`, days that never come.
    """
    with pytest.raises(InvalidError):
        check(expression)


@pytest.mark.parametrize(
    ("interval", "expression"),
    [
        ("@daily", "0 0 0 * * *"),
        ("@once", "-"),
        ("30 2 * * 1", "0 30 2 * * 1"),
        ("0 0 6 * * MON-FRI", "0 0 6 * * MON-FRI"),
        ("", "-"),
    ],
)
def test_schedules_of_meltanos_files(interval: str, expression: str) -> None:
    """
    Five fields and macros, as Meltano's own files have them.
    """
    assert from_meltano(interval) == expression


@given(
    st.sampled_from(["*/7 * * * * *", "0 */11 * * * *", "0 0 3 13 * FRI", "0 30 6 * * MON-FRI", "5 0 0 1 */2 ?"]),
    st.integers(0, 20 * 365 * 86400).map(lambda seconds: START + timedelta(seconds=seconds)),
)
def test_the_last_instant_before_the_next_one_is_the_one_before_it(expression: str, after: datetime) -> None:
    """
    Going forward and going back agree.
    """
    first = next_after(expression, after)
    assert first is not None
    second = next_after(expression, first)
    assert second is not None

    assert first > after
    assert last_until(expression, second - timedelta(seconds=1), since=after - timedelta(days=1)) == first
    assert last_until(expression, second, since=first) == second
