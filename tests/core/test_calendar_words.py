"""
Schedules as they are written on the wire, from their words to their instants, against a reading that shares no code with ours.

The evaluator here reads the words themselves: it looks at each second, minute or day of a stretch of time and asks whether the clock on
the wall meets every field as the reference says. What the reader makes of ranges, steps, names, lists and `*` is so checked as well.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core import calendar
from headrace.core.calendar_words import expression_of, read
from headrace.core.schedule import next_after, parse

UNTIMED = settings(deadline=None, max_examples=40)
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
MONTHS = [
    "JANUARY",
    "FEBRUARY",
    "MARCH",
    "APRIL",
    "MAY",
    "JUNE",
    "JULY",
    "AUGUST",
    "SEPTEMBER",
    "OCTOBER",
    "NOVEMBER",
    "DECEMBER",
]
DAYS = ["SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"]
# Field by field: what the clock shows, and what a field that is missing means.
FIELDS: dict[str, tuple[Any, Any]] = {
    "second": (lambda at: at.second, 0),
    "minute": (lambda at: at.minute, 0),
    "hour": (lambda at: at.hour, 0),
    "dayOfMonth": (lambda at: at.day, "*"),
    "month": (lambda at: at.month, "*"),
    "dayOfWeek": (lambda at: (at.weekday() + 1) % 7, "*"),
    "year": (lambda at: at.year, "*"),
}
EVERY = {"90s": 90, 7000: 7, "10 minutes": 600, "1h": 3600, "1.5 hours": 5400, 1400: 1, "2m": 120, "1 Day": 86400}
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu", "Pacific/Apia")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]  # the zone is given by name alone


# Nights in which some of the zones change their clocks, leap days, a century that leaps not, the day that Samoa left out, and a year's end.
STARTS = (
    utc(2026, 3, 28, 23), utc(2026, 10, 24, 23), utc(2026, 3, 8, 4), utc(2026, 11, 1, 3), utc(2026, 4, 4, 13),
    utc(2026, 10, 3, 13), utc(2028, 2, 28, 22), utc(2100, 2, 28, 22), utc(2011, 12, 30, 8), utc(2026, 12, 31, 22),
)  # fmt: skip


def means(field: str, element: Any) -> int:
    names = {"month": MONTHS, "dayOfWeek": DAYS}.get(field)
    if names is None:
        return int(element)
    return names.index(element.upper()) + (field == "month")


def meets(field: str, words: Any, value: int) -> bool:
    """
    Say whether a field's words let the clock show *value*.
    """
    match words:
        case "*":
            return True
        case list():
            return any(meets(field, each, value) for each in words)
        case {"start": start, "end": end, "step": step}:
            return means(field, start) <= value <= means(field, end) and (value - means(field, start)) % step == 0
        case {"start": start, "end": end}:
            return means(field, start) <= value <= means(field, end)
        case {"start": start}:
            return value == means(field, start)
    return value == means(field, words)


def is_instant(words: dict[str, Any], at: datetime) -> bool:
    shown = at.astimezone(ZoneInfo(words.get("timezone", "UTC")))
    by_clock = (
        all(meets(name, each.get(name, missing), look(shown)) for name, (look, missing) in FIELDS.items())
        for each in words.get("calendars", [])
    )
    seconds = int(at.timestamp())
    return any(seconds % EVERY[each["every"]] == 0 for each in words.get("intervals", [])) or any(by_clock)


def meets_day(words: dict[str, Any], day: datetime) -> bool:
    return all(meets(name, written, FIELDS[name][0](day)) for name, written in words.items())


def read_through(words: dict[str, Any], after: datetime, until: datetime, step: timedelta) -> list[datetime]:
    count = (until - after) // step
    return [at for number in range(1, count + 1) if is_instant(words, at := after + number * step)]


def coming(schedule: calendar.Calendars, after: datetime, until: datetime) -> Iterator[datetime]:
    at = calendar.next_after(schedule, after)
    while at is not None and at <= until:
        yield at
        at = calendar.next_after(schedule, at)


def written(field: str, least: int, most: int) -> st.SearchStrategy[Any]:
    """
    Write a field in each of its forms; names in any case, whole numbers as floats too.
    """
    first = least

    def word(value: int) -> st.SearchStrategy[Any]:
        if field == "month":
            return st.sampled_from([MONTHS[value - first], MONTHS[value - first].lower()])
        if field == "dayOfWeek":
            return st.sampled_from([DAYS[value], DAYS[value].title()])
        return st.sampled_from([value, value, float(value)])

    def span(ends: tuple[int, int]) -> st.SearchStrategy[dict[str, Any]]:
        start, end = min(ends), max(ends)
        whole = st.fixed_dictionaries({"start": word(start), "end": word(end)}, optional={"step": st.integers(1, 9)})
        return whole | st.fixed_dictionaries({"start": word(start)})

    value = st.integers(least, most)
    one = value.flatmap(word) | st.tuples(value, value).flatmap(span)
    return one | st.lists(one, min_size=1, max_size=4) | st.just("*")


def calendars(*, seconds: bool) -> st.SearchStrategy[dict[str, Any]]:
    fields = {
        "minute": written("minute", 0, 59),
        "hour": written("hour", 0, 23),
        "dayOfMonth": written("dayOfMonth", 1, 31) | st.sampled_from([29, [28, {"start": 29}], {"start": 25, "end": 31}]),
        "month": written("month", 1, 12),
        "dayOfWeek": written("dayOfWeek", 0, 6),
        "year": written("year", 2011, 2100),
        "comment": st.text(max_size=5),
        **({"second": written("second", 0, 59)} if seconds else {}),
    }  # fmt: skip
    # Most are left out most of the time, or hardly any schedule would come at all.
    chosen = st.sets(st.sampled_from(sorted(fields)), max_size=4)
    return chosen.flatmap(lambda names: st.fixed_dictionaries({name: fields[name] for name in sorted(names)}))


def schedules(*, seconds: bool) -> st.SearchStrategy[dict[str, Any]]:
    every = [text for text, length in EVERY.items() if seconds or length % 60 == 0]
    return st.fixed_dictionaries(
        {"calendars": st.lists(calendars(seconds=seconds), min_size=1, max_size=3)},
        optional={
            "intervals": st.lists(st.fixed_dictionaries({"every": st.sampled_from(every)}), max_size=2),
            "timezone": st.sampled_from(ZONES),
        },
    )


@UNTIMED
@given(schedules(seconds=False), st.sampled_from(STARTS), st.integers(-720, 720))
def test_words_come_at_the_minutes_that_they_name(words: dict[str, Any], start: datetime, minutes: int) -> None:
    """
    A day and a half, minute by minute: every one that the words name, once and in order, and no other.
    """
    after = start + minutes * MINUTE
    until = after + 36 * 60 * MINUTE

    assert list(coming(read(words), after, until)) == read_through(words, after, until, MINUTE)


@UNTIMED
@given(schedules(seconds=True), st.sampled_from(STARTS), st.integers(0, 12 * 3600))
def test_words_come_at_the_seconds_that_they_name(words: dict[str, Any], start: datetime, seconds: int) -> None:
    after = start + seconds * SECOND
    until = after + 20 * MINUTE

    assert list(coming(read(words), after, until)) == read_through(words, after, until, SECOND)


@UNTIMED
@given(
    st.fixed_dictionaries(
        {"dayOfMonth": written("dayOfMonth", 26, 31), "month": written("month", 1, 12)},
        optional={"dayOfWeek": written("dayOfWeek", 0, 6), "year": written("year", 2011, 2060)},
    ),
    st.sampled_from(STARTS),
)
def test_what_comes_seldom_comes_on_the_first_day_that_meets_it(words: dict[str, Any], start: datetime) -> None:
    """
    Day by day over longer than a 29 February of a weekday may be away; where no day meets it, it never comes.
    """
    midnight = start.replace(hour=0)
    days = (midnight + number * DAY for number in range(1, 50 * 366))
    first = next((day for day in days if meets_day(words, day)), None)

    assert calendar.next_after(read({"calendars": [words]}), start) == first


NEVER: dict[str, Any] = {"month": ["APRIL", "JUNE"], "dayOfMonth": 31, "year": {"start": 1970, "end": 9999}}
LEFT_OUT: dict[str, Any] = {
    "month": "MARCH", "dayOfWeek": "SUNDAY", "dayOfMonth": {"start": 25, "end": 31}, "hour": 2,
    "year": {"start": 1970, "end": 9999},
}  # fmt: skip


@pytest.mark.parametrize(
    "hopeless", [NEVER, {**LEFT_OUT, "minute": 30}, {"month": "FEBRUARY", "dayOfMonth": 29, "year": {"start": 2001, "end": 9999, "step": 4}}]
)  # fmt: skip
def test_what_never_comes_holds_up_nobody(hopeless: dict[str, Any]) -> None:
    """
    However many calendars look for a day or an hour that is not there, in however many years, a look takes little time.

    Whoever may define a job could stop the whole server else: schedules are looked at on its one loop.
    """
    many = [{**hopeless, "second": number % 60, "comment": str(number)} for number in range(100)]
    words = {"calendars": many, "intervals": [{"every": "1h"}], "jitter": "50m", "timezone": "Europe/Berlin"}
    alone = parse(expression_of({"calendars": many, "timezone": "Europe/Berlin"}, seed="s"))
    now = utc(2026, 3, 28, 12)

    began = time.process_time()
    never = next_after(alone, now, anchor=now)
    following = calendar.next_after(read(words), now)
    last = calendar.last_until(read(words), now + 30 * DAY, since=now)

    assert never is None
    assert following is not None
    assert now < following < now + DAY
    assert last > now + 29 * DAY
    assert time.process_time() - began < 6


@pytest.mark.parametrize(("year", "first"), [(2031, utc(2031, 1, 1)), (9998, utc(9998, 1, 1)), (9999, None)])
def test_a_year_far_ahead_comes(year: int, first: datetime | None) -> None:
    assert calendar.next_after(read({"calendars": [{"year": year}]}), utc(2026, 3, 28)) == first
