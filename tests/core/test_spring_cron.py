"""
Six-field schedules as Spring reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given, settings
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
        ("0 0 0 15W 2 ?", datetime(2026, 2, 16, tzinfo=UTC)),  # the 15th is a Sunday
        ("0 0 0 15W 8 ?", datetime(2026, 8, 14, tzinfo=UTC)),  # the 15th is a Saturday
        ("0 0 0 1W 8 ?", datetime(2026, 8, 3, tzinfo=UTC)),  # not back into July
        ("0 0 0 31W 5 ?", datetime(2027, 5, 31, tzinfo=UTC)),  # not on into June: 2026 has none
        ("0 0 0 LW 5 ?", datetime(2026, 5, 29, tzinfo=UTC)),  # the 31st is a Sunday
        ("0 0 0 L-3 2 *", datetime(2026, 2, 25, tzinfo=UTC)),
        ("0 0 0 ? * 5L", datetime(2026, 1, 30, tzinfo=UTC)),
        ("0 0 0 ? * FRIL", datetime(2026, 1, 30, tzinfo=UTC)),
        ("0 0 0 ? * MON#5", datetime(2026, 3, 30, tzinfo=UTC)),
        ("0 0 0 ? * 7#1", datetime(2026, 1, 4, tzinfo=UTC)),
        ("0 0 0 15W,LW * MON", datetime(2026, 2, 16, tzinfo=UTC)),
        ("0 0 0 * * SUN-TUE", datetime(2026, 1, 4, tzinfo=UTC)),
        ("0 0 0 * * */2", datetime(2026, 1, 2, tzinfo=UTC)),  # Monday, Wednesday, Friday, Sunday
        ("0 0 0 * * 0/2", datetime(2026, 1, 3, tzinfo=UTC)),  # Sunday, Tuesday, Thursday, Saturday
        ("0 0 0 30/1 2-3 ?", datetime(2026, 3, 30, tzinfo=UTC)),
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
        "0 0 0 W * *",
        "0 0 0 0W * *",
        "0 0 0 32W * *",
        "0 0 0 1-5W * *",
        "0 0 0 WL * *",
        "0 0 0 L3 * *",
        "0 0 0 L-0 * *",
        "0 0 0 L-31 2 *",
        "0 0 0 * * L",
        "0 0 0 * * 8L",
        "0 0 0 * * FRI-MON",
        "0 0 0 0 * *",
        "0 0 0 5-1 * *",
        "0 0 0 */0 * *",
        "0 0 0 1,,2 * *",
        "0 0 L * * *",
        "0 0 0 * L *",
        "0 0 0 * * MON#6",
        "0 0 0 * * #1",
        "0 0 0 5#1 * *",
        "x" * 300,
        "a" * 240 + "# b c d e f",
    ],
)
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    """
    Macros, five or seven fields, forms that another field has, days that never come.
    """
    for published in (True, False):
        with pytest.raises(InvalidError):
            check(expression, published=published)


def test_the_published_pattern_is_the_wires_alone() -> None:
    """
    Section 4.2: the pattern has no `#`; Spring has, and so have files.
    """
    check("0 0 0 * * MON#1", published=False)
    with pytest.raises(InvalidError):
        check("0 0 0 * * MON#1")


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


# An evaluator of its own: each part of a day field is drawn together with what it means, said of one date at a time.

NAMES = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


def _weekday(day: date) -> int:
    return (day.weekday() + 1) % 7  # 0 is Sunday


def _month_end(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def _is_nearest_weekday(day: date, wanted: int) -> bool:
    if day.weekday() > 4 or wanted > _month_end(day).day:
        return False
    away = day.day - wanted
    asked = date(day.year, day.month, wanted).weekday()
    return away == {5: -1 if wanted > 1 else 2, 6: 1}.get(asked, 0)


def _is_last_weekday(day: date) -> bool:
    later = [day + timedelta(days=more) for more in range(1, 8)]
    return day.weekday() <= 4 and not any(each.month == day.month and each.weekday() <= 4 for each in later)


def _pair(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high)).map(lambda two: (min(two), max(two)))


Part = tuple[str, Callable[[date], bool]]
DAYS: st.SearchStrategy[Part] = st.one_of(
    st.sampled_from([("*", lambda _: True), ("L", lambda day: day == _month_end(day)), ("LW", _is_last_weekday)]),
    st.integers(1, 31).map(lambda n: (f"{n}", lambda day: day.day == n)),
    st.integers(1, 31).map(lambda n: (f"{n}W", lambda day: _is_nearest_weekday(day, n))),
    st.integers(1, 27).map(lambda n: (f"L-{n}", lambda day: (_month_end(day) - day).days == n)),
    _pair(1, 31).map(lambda two: (f"{two[0]}-{two[1]}", lambda day: two[0] <= day.day <= two[1])),
    st.tuples(st.integers(1, 31), st.integers(1, 12)).map(
        lambda two: (f"{two[0]}/{two[1]}", lambda day: day.day >= two[0] and (day.day - two[0]) % two[1] == 0)
    ),
    st.integers(1, 12).map(lambda n: (f"*/{n}", lambda day: (day.day - 1) % n == 0)),
)
WEEKDAYS: st.SearchStrategy[Part] = st.one_of(
    st.sampled_from([("*", lambda _: True)]),
    st.integers(0, 7).map(lambda n: (f"{n}", lambda day: _weekday(day) == n % 7)),
    st.integers(0, 6).map(lambda n: (NAMES[n], lambda day: _weekday(day) == n)),
    st.integers(0, 7).map(
        lambda n: (f"{n}L", lambda day: _weekday(day) == n % 7 and (day + timedelta(days=7)).month != day.month)
    ),
    st.tuples(st.integers(0, 7), st.integers(1, 5)).map(
        lambda two: (f"{two[0]}#{two[1]}", lambda day: _weekday(day) == two[0] % 7 and (day.day + 6) // 7 == two[1])
    ),
    _pair(0, 6).map(lambda two: (f"{NAMES[two[0]]}-{NAMES[two[1]]}", lambda day: two[0] <= _weekday(day) <= two[1])),
)


def _list(part: st.SearchStrategy[Part]) -> st.SearchStrategy[Part]:
    return st.lists(part, min_size=1, max_size=3).map(
        lambda parts: (",".join(text for text, _ in parts), lambda day: any(meets(day) for _, meets in parts))
    )


@settings(max_examples=120, deadline=None)
@given(_list(DAYS), _list(WEEKDAYS), _pair(1, 12), st.integers(0, 3 * 365 * 86400))
def test_every_form_of_the_day_fields_means_what_it_says(
    of_month: Part, of_week: Part, months: tuple[int, int], later_by: int
) -> None:
    """
    The next instant of any mixture is the first one found by looking at each date in turn, and so is the last one before.
    """
    after = START + timedelta(seconds=later_by)
    expression = f"0 30 6 {of_month[0]} {months[0]}-{months[1]} {of_week[0]}"
    instants = (
        datetime(day.year, day.month, day.day, 6, 30, tzinfo=UTC)
        for day in (after.date() + timedelta(days=more) for more in range(500))
        if months[0] <= day.month <= months[1] and of_month[1](day) and of_week[1](day)
    )
    met = list(islice((instant for instant in instants if instant > after), 2))

    found = next_after(expression, after)

    if not met:
        assert found is None or found > after + timedelta(days=499)
        return
    assert found == met[0]
    assert last_until(expression, met[0], since=after - timedelta(days=1)) == met[0]
    if len(met) == 2:
        assert last_until(expression, met[1] - timedelta(seconds=1), since=after - timedelta(days=1)) == met[0]
