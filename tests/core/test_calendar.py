"""
Intervals and calendars: what they mean, and how looking ahead, looking back, counting and jitter agree.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core import calendar
from headrace.core.calendar import Calendar, Calendars
from headrace.core.calendar_words import MONTHS, WEEKDAYS, expression_of, read
from headrace.core.errors import InvalidError
from headrace.core.schedule import decide, last_until, next_after, parse

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]  # the zone is given by name alone


SATURDAY = utc(2026, 3, 28, 12, 0)
UNTIMED = settings(deadline=None, max_examples=60)
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "America/Havana", "Australia/Lord_Howe", "Asia/Kathmandu",
    "Pacific/Apia", "Africa/Casablanca",
)  # fmt: skip
# Around changes of clocks, leap days, and the day that Samoa left out (30 December 2011).
STARTS = (
    utc(2026, 3, 28, 20), utc(2026, 10, 24, 20), utc(2026, 3, 7, 20), utc(2026, 10, 31, 20),
    utc(2011, 3, 12, 20), utc(2011, 11, 5, 20), utc(2011, 12, 29, 2), utc(2026, 4, 4, 6),
    utc(2026, 10, 3, 6), utc(2028, 2, 28, 3), utc(2100, 2, 27, 22), utc(2026, 12, 31, 1),
)  # fmt: skip


def instants(schedule: Calendars, after: datetime, until: datetime) -> list[datetime]:
    found, at = [], calendar.next_after(schedule, after)
    while at is not None and at <= until:
        found.append(at)
        at = calendar.next_after(schedule, at)
    return found


def some(least: int, most: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.sets(st.integers(least, most), min_size=1, max_size=6).map(lambda found: tuple(sorted(found)))


def mostly(every: tuple[int, ...], else_some: st.SearchStrategy[tuple[int, ...]]) -> st.SearchStrategy[tuple[int, ...]]:
    return st.just(every) | else_some


def calendars(seconds: st.SearchStrategy[tuple[int, ...]]) -> st.SearchStrategy[Calendar]:
    return st.builds(
        Calendar,
        seconds=seconds,
        minutes=mostly(tuple(range(60)), some(0, 59)),
        hours=mostly(tuple(range(24)), some(0, 23)),
        days=mostly(tuple(range(1, 32)), some(1, 31) | st.sampled_from([(28, 29), (29,), (30, 31), (1,)])),
        months=mostly(tuple(range(1, 13)), some(1, 12)),
        weekdays=mostly(tuple(range(7)), some(0, 6)),
        years=st.none() | st.sampled_from([(2011, 2026), (2028, 2100), (2012, 2027)]),
    )


zones = st.sampled_from(ZONES).map(lambda name: UTC if name == "UTC" else ZoneInfo(name))


@UNTIMED
@given(
    st.lists(calendars(st.just((0,)) | some(0, 59)), max_size=2),
    st.lists(st.integers(30, 100_000), max_size=2),
    st.sampled_from(STARTS),
    zones,
    st.integers(0, 5_000_000),
    st.integers(0, 400_000),
)
def test_next_and_last_agree_with_jitter(
    each: list[Calendar], periods: list[int], start: datetime, zone: tzinfo, jitter_ms: int, seconds: int
) -> None:
    """
    Instants rise; each is put off by less than the way to the next one; looking back from anywhere finds what looking ahead found.
    """
    schedule = Calendars(
        periods_seconds=tuple(periods),
        calendars=tuple(each),
        jitter=timedelta(milliseconds=jitter_ms),
        zone=zone,
        seed="s",
    )
    plain = Calendars(periods_seconds=tuple(periods), calendars=tuple(each), zone=zone)
    after = start
    first = calendar.next_after(schedule, after)
    if first is None:
        return

    own = calendar.last_until(plain, first, since=first - schedule.jitter - SECOND)
    assert own <= first <= own + schedule.jitter
    second = calendar.next_after(schedule, first)
    assert second is None or second > first
    until = first + seconds * SECOND
    last = calendar.last_until(schedule, until, since=first)
    assert first <= last <= until
    following = calendar.next_after(schedule, last)
    assert following is None or following > until


@UNTIMED
@given(st.integers(1, 4000), st.integers(0, 10_000_000), st.integers(0, 40))
def test_count_is_how_many_there_are(period: int, jitter_ms: int, further: int) -> None:
    schedule = Calendars(periods_seconds=(period,), jitter=timedelta(milliseconds=jitter_ms), seed="s")
    first = calendar.next_after(schedule, SATURDAY)
    assert first is not None
    last = first
    for _ in range(further):
        last = calendar.next_after(schedule, last) or last

    assert calendar.count(schedule, first, last, at_most=1000) == further


@pytest.mark.parametrize(
    ("words", "following"),
    [
        ({"intervals": [{"every": "1h"}]}, [utc(2026, 3, 28, 13), utc(2026, 3, 28, 14)]),
        ({"intervals": [{"every": 86_400_000}]}, [utc(2026, 3, 29), utc(2026, 3, 30)]),
        ({"intervals": [{"every": "1 week"}]}, [utc(2026, 4, 2), utc(2026, 4, 9)]),  # 1970 began on a Thursday
        ({"intervals": [{"every": "6h"}, {"every": "4 hours"}]}, [utc(2026, 3, 28, 16), utc(2026, 3, 28, 18)]),
        (
            {"calendars": [{"hour": 9, "minute": {"start": 0, "step": 15, "end": 45}, "dayOfWeek": [{"start": "MONDAY", "end": "FRIDAY"}]}]},
            [utc(2026, 3, 30, 9), utc(2026, 3, 30, 9, 15), utc(2026, 3, 30, 9, 30), utc(2026, 3, 30, 9, 45), utc(2026, 3, 31, 9)],
        ),
        ({"calendars": [{"dayOfWeek": "MONDAY"}]}, [utc(2026, 3, 30), utc(2026, 4, 6)]),
        ({"calendars": [{"dayOfMonth": 13, "dayOfWeek": "friday", "comment": "bad luck"}]}, [utc(2026, 11, 13), utc(2027, 8, 13)]),
        ({"calendars": [{"month": "FEBRUARY", "dayOfMonth": 29}]}, [utc(2028, 2, 29), utc(2032, 2, 29)]),
        ({"calendars": [{"month": ["JANUARY", {"start": "JUNE", "end": "OCTOBER", "step": 2}], "dayOfMonth": 1.0}]},
         [utc(2026, 6, 1), utc(2026, 8, 1), utc(2026, 10, 1), utc(2027, 1, 1)]),
        ({"calendars": [{"hour": "*", "minute": 59, "second": [58, {"start": 59}]}]}, [utc(2026, 3, 28, 12, 59, 58), utc(2026, 3, 28, 12, 59, 59)]),
        ({"calendars": [{"year": 2030}], "intervals": None}, [utc(2030, 1, 1), utc(2030, 1, 2)]),
        ({"calendars": [{"year": "*", "hour": []}]}, [utc(2026, 3, 29)]),
        ({"calendars": [{"hour": 2, "minute": 30}], "timezone": "Europe/Berlin"}, [utc(2026, 3, 30, 0, 30)]),  # the 29th has no 02:30
    ],
)  # fmt: skip
def test_what_the_words_mean(words: dict[str, Any], following: list[datetime]) -> None:
    schedule = read(words)

    assert instants(schedule, SATURDAY, following[-1]) == following


def test_a_time_that_clocks_repeat_comes_twice() -> None:
    schedule = read({"calendars": [{"hour": 2, "minute": 30}], "timezone": "Europe/Berlin"})

    found = instants(schedule, utc(2026, 10, 24, 12), utc(2026, 10, 26))

    assert found == [utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 30)]


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"intervals": [], "calendars": []},
        {"jitter": "1m"},
        {"calendars": [{"month": "FEBRUARY", "dayOfMonth": [30, 31]}]},
        {"calendars": [{"year": 2020}]},
    ],
)
def test_what_never_comes_has_no_instant(words: dict[str, Any]) -> None:
    assert calendar.next_after(read(words), SATURDAY) is None


def test_a_leap_day_on_a_certain_weekday_is_found_over_a_century() -> None:
    schedule = read({"calendars": [{"month": "FEBRUARY", "dayOfMonth": 29, "dayOfWeek": "SUNDAY"}]})

    assert instants(schedule, utc(2076, 3, 1), utc(2121, 1, 1)) == [
        utc(year, 2, 29) for year in range(2080, 2121, 4) if year != 2100 and utc(year, 2, 29).isoweekday() == 7
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("100", 100), ("5s", 5000), ("10 minutes", 600_000), ("1.5h", 5_400_000), (".5 Days", 43_200_000), ("1y", 31_557_600_000), (2500.0, 2500), ("0", 0)],
)  # fmt: skip
def test_lengths_of_time_are_read(text: Any, milliseconds: int) -> None:
    assert read({"jitter": text}).jitter == timedelta(milliseconds=milliseconds)


@pytest.mark.parametrize(("every", "seconds"), [(1, 1), (1499, 1), (1500, 2), ("90s", 90)])
def test_intervals_are_whole_seconds(every: Any, seconds: int) -> None:
    assert read({"intervals": [{"every": every}]}).periods_seconds == (seconds,)


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ({"intervals": [{"every": 0}]}, "schedule.intervals[0].every"),
        ({"intervals": [{}]}, "schedule.intervals[0].every"),
        ({"intervals": [{"every": "1 fortnight"}]}, "schedule.intervals[0].every"),
        ({"intervals": [{"every": "-5m"}]}, "schedule.intervals[0].every"),
        ({"intervals": [{"every": "1000y"}]}, "schedule.intervals[0].every"),
        ({"intervals": [{"every": "9" * 400}]}, "schedule.intervals[0].every"),
        ({"intervals": [{"every": True}]}, "schedule.intervals[0].every"),
        ({"intervals": [{"every": 1000}] * 101}, "schedule.intervals"),
        ({"jitter": "soon"}, "schedule.jitter"),
        ({"jitter": -1}, "schedule.jitter"),
        ({"calendars": [{}, {"hour": 24}]}, "schedule.calendars[1].hour"),
        ({"calendars": [{"hour": "9"}]}, "schedule.calendars[0].hour"),
        ({"calendars": [{"hour": 9.5}]}, "schedule.calendars[0].hour"),
        ({"calendars": [{"hour": [[9]]}]}, "schedule.calendars[0].hour"),
        ({"calendars": [{"hour": ["*"]}]}, "schedule.calendars[0].hour"),
        ({"calendars": [{"hour": [9] * 101}]}, "schedule.calendars[0].hour"),
        ({"calendars": [{"minute": {"start": 5, "end": 1}}]}, "schedule.calendars[0].minute"),
        ({"calendars": [{"minute": {"start": 5, "step": 5}}]}, "schedule.calendars[0].minute"),
        ({"calendars": [{"minute": {"start": 5, "end": 9, "step": 0}}]}, "schedule.calendars[0].minute"),
        ({"calendars": [{"minute": {"end": 9}}]}, "schedule.calendars[0].minute"),
        ({"calendars": [{"month": "MAI"}]}, "schedule.calendars[0].month"),
        ({"calendars": [{"month": 5}]}, "schedule.calendars[0].month"),
        ({"calendars": [{"dayOfWeek": {"start": "FRIDAY", "end": "MONDAY"}}]}, "schedule.calendars[0].dayOfWeek"),
        ({"calendars": [{"dayOfMonth": 0}]}, "schedule.calendars[0].dayOfMonth"),
        ({"calendars": [{"year": 26}]}, "schedule.calendars[0].year"),
        ({"calendars": [5]}, "schedule.calendars"),
        ({"timezone": "Mars/Olympus"}, "schedule.timezone"),
        ({"timezone": "../../etc/passwd"}, "schedule.timezone"),
        ({"timezone": "Europe"}, "schedule.timezone"),
        ({"timezone": 1}, "schedule.timezone"),
    ],
)
def test_what_is_wrong_is_named(words: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidError) as raised:
        read(words)

    assert raised.value.facts["field"] == field


def test_jitter_stays_the_same_for_one_instant_and_differs_between_schedules() -> None:
    """
    What is shown as the next run does not move while one waits for it.
    """
    words = {"intervals": [{"every": "1h"}], "jitter": "30m"}
    one, same, other = read(words, seed="one"), read(words, seed="one"), read(words, seed="other")
    at = calendar.next_after(one, SATURDAY)
    assert at is not None

    assert all(calendar.next_after(same, at - after) == at for after in (HOUR / 60, SECOND, SECOND / 1000))
    assert instants(one, SATURDAY, SATURDAY + DAY) != instants(other, SATURDAY, SATURDAY + DAY)
    assert len({found - found.replace(minute=0, second=0, microsecond=0) for found in instants(one, SATURDAY, SATURDAY + DAY)}) > 20  # fmt: skip


def test_jitter_never_reaches_the_next_instant() -> None:
    found = instants(read({"intervals": [{"every": "1m"}], "jitter": "1 day"}), SATURDAY, SATURDAY + HOUR)

    assert 60 <= len(found) <= 61
    assert len({at.replace(second=0, microsecond=0) for at in found}) == len(found)


def test_an_expression_is_read_as_it_was_written() -> None:
    words = {
        "calendars": [{"hour": "*", "dayOfWeek": "MONDAY", "comment": "a ) in it"}],
        "jitter": "5s",
        "timezone": "Asia/Tokyo",
    }
    recurrence = parse(expression_of(words, seed="batch-1"))

    assert recurrence == read(words, seed="batch-1")
    following = next_after(recurrence, SATURDAY, anchor=SATURDAY)
    assert following is not None
    assert last_until(recurrence, following + MINUTE, since=SATURDAY, anchor=SATURDAY) == following


@pytest.mark.parametrize(
    "text", ["calendar()", "calendar([])", "calendar({)", 'calendar({"intervals": 5})', "calendar(" + "[" * 300_000]
)
def test_expressions_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        parse(text)


def test_a_year_of_missed_seconds_is_decided_at_once() -> None:
    """
    However many instants nobody was there for, a look takes little time.
    """
    recurrence = read(
        {"calendars": [{"hour": "*", "minute": "*", "second": "*"}], "jitter": "1s", "timezone": "Europe/Berlin"}
    )
    due = calendar.next_after(recurrence, SATURDAY)
    assert due is not None
    began = time.process_time()
    verdict = decide(
        recurrence, due, due + 365 * DAY, anchor=SATURDAY, misfire="latest", grace=MINUTE, present_since=due + 365 * DAY
    )

    assert time.process_time() - began < 5
    assert (verdict.fire, verdict.missed) == (True, 1000)
    assert due + 365 * DAY - 2 * SECOND <= verdict.instant <= due + 365 * DAY


def test_every_name_has_its_number() -> None:
    assert read({"calendars": [{"month": [name], "dayOfWeek": [day]} for name, day in zip(MONTHS[:7], WEEKDAYS, strict=True)]}).calendars == tuple(
        Calendar(months=(number + 1,), weekdays=(number,)) for number in range(7)
    )  # fmt: skip
