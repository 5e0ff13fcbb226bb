"""
The two day fields of Spring's cron: on which days of a month an expression comes.

    day of month   *  ?  5  1-5  5/10  1-20/3  L (the last)  L-3 (three before it)  15W (the weekday nearest to it)  LW (the last weekday)
    day of week    *  ?  0-7 or SUN-SAT, Sunday both 0 and 7, also in ranges and steps  5L (the last Friday)  FRI#2 (the second Friday)

Lists with commas mix all of these; a day has to meet both fields. `W` stays in its month: where the 1st is a Saturday it is Monday the 3rd,
and where the Monday after a Sunday would be in the next month, the month has none.
Source: Spring Framework's javadoc of `CronExpression`, and how its 6.x behaves where that is silent.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from headrace.core.errors import InvalidError

_NAMES = {name: str(number) for number, name in enumerate(("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"), 1)}
_NAME = re.compile("|".join(_NAMES))
_RANGE = re.compile(r"(?P<first>\d{1,2}|\*)(?:-(?P<last>\d{1,2}))?(?:/(?P<step>\d{1,3}))?", re.ASCII)
_SUNDAY = 7

Rule = Callable[[int, int], frozenset[int]]
"""Gives the days of a year's month that one part of a field means."""


@dataclass(frozen=True, slots=True)
class Days:
    """
    Both day fields, read.
    """

    of_month: tuple[Rule, ...]
    of_week: tuple[Rule, ...]

    def in_month(self, year: int, month: int) -> list[int]:
        """
        List the days of a month that meet both fields, in order.
        """
        by_date = frozenset().union(*(rule(year, month) for rule in self.of_month))
        by_week = frozenset().union(*(rule(year, month) for rule in self.of_week))
        return sorted(by_date & by_week)

    def after(self, day: date, until: date) -> Iterator[date]:
        """
        Yield the days later than *day* that meet both fields, not later than *until*.
        """
        at = day + timedelta(days=1)
        while at <= until:
            for number in self.in_month(at.year, at.month):
                if number >= at.day and date(at.year, at.month, number) <= until:
                    yield date(at.year, at.month, number)
            at = date(at.year + at.month // 12, at.month % 12 + 1, 1)

    def before(self, day: date, since: date) -> Iterator[date]:
        """
        Yield the days earlier than *day* that meet both fields, latest first, not earlier than *since*.
        """
        at = day - timedelta(days=1)
        while at >= since:
            for number in reversed(self.in_month(at.year, at.month)):
                if number <= at.day and date(at.year, at.month, number) >= since:
                    yield date(at.year, at.month, number)
            at = date(at.year, at.month, 1) - timedelta(days=1)

    def __contains__(self, day: date) -> bool:
        return day.day in self.in_month(day.year, day.month)


@lru_cache(maxsize=1024)
def read_days(of_month: str, of_week: str) -> Days:
    """
    Read the day fields, in capitals.

    Raises:
        InvalidError: one of them has a part that means nothing.
    """
    weekdays = _NAME.sub(lambda name: _NAMES[name[0]], of_week)
    return Days(
        tuple(_day_rule(part) for part in of_month.split(",")),
        tuple(_weekday_rule(part) for part in weekdays.split(",")),
    )


def _day_rule(part: str) -> Rule:
    if match := re.fullmatch(r"L(?:-([1-9]\d?))?", part):
        back = int(match[1] or 0)
        return lambda year, month: frozenset(day for day in (_last(year, month) - back,) if day > 0)
    if part == "LW":
        return _last_weekday
    if match := re.fullmatch(r"(\d{1,2})W", part):
        wanted = _within(int(match[1]), 1, 31, part)
        return lambda year, month: _nearest_weekday(year, month, wanted)
    numbers = _numbers(part, 1, 31)
    return lambda year, month: frozenset(day for day in numbers if day <= _last(year, month))


def _weekday_rule(part: str) -> Rule:
    if match := re.fullmatch(r"([0-7])L", part):
        weekday = int(match[1]) or _SUNDAY
        return lambda year, month: frozenset(_all_of(year, month, weekday)[-1:])
    if match := re.fullmatch(r"([0-7])#(\d)", part):
        weekday, nth = int(match[1]) or _SUNDAY, _within(int(match[2]), 1, 5, part)
        return lambda year, month: frozenset(_all_of(year, month, weekday)[nth - 1 : nth])
    weekdays = [weekday or _SUNDAY for weekday in _numbers(part, 1, 7, also_least=0)]
    return lambda year, month: frozenset(day for weekday in weekdays for day in _all_of(year, month, weekday))


def _numbers(part: str, least: int, most: int, *, also_least: int | None = None) -> range:
    """
    Read `*`, a number, a range or a step; a number with a step runs to the end.

    *also_least* is a second name of the greatest number, which a range may begin with: Sunday is 0, too.
    """
    match = _RANGE.fullmatch("*" if part == "?" else part)
    if match is None or (match["first"] == "*" and match["last"]):
        raise _wrong(part)
    lowest = least if also_least is None else also_least
    first = least if match["first"] == "*" else _within(int(match["first"]), lowest, most, part)
    if match["last"]:
        last = _within(int(match["last"]), lowest, most, part)
        first = also_least if also_least is not None and first == most > last else first
    else:
        last = most if match["first"] == "*" or match["step"] else first
    step = int(match["step"] or 1)
    if step == 0 or last < first:
        raise _wrong(part)
    return range(first, last + 1, step)


def _last(year: int, month: int) -> int:
    return monthrange(year, month)[1]


def _last_weekday(year: int, month: int) -> frozenset[int]:
    last = _last(year, month)
    return frozenset({last - max(0, date(year, month, last).isoweekday() - 5)})


def _nearest_weekday(year: int, month: int, wanted: int) -> frozenset[int]:
    if wanted > _last(year, month):
        return frozenset()
    match date(year, month, wanted).isoweekday():
        case 6:
            return frozenset({wanted - 1 if wanted > 1 else 3})
        case 7:
            return frozenset({wanted + 1} if wanted < _last(year, month) else ())
        case _:
            return frozenset({wanted})


def _all_of(year: int, month: int, weekday: int) -> range:
    first = 1 + (weekday - date(year, month, 1).isoweekday()) % 7
    return range(first, _last(year, month) + 1, 7)


def _within(number: int, least: int, most: int, part: str) -> int:
    if not least <= number <= most:
        raise _wrong(part)
    return number


def _wrong(part: str) -> InvalidError:
    return InvalidError(
        f"`{part[:20]}` is no day.", "Write days like 1, 1-15, */2, L, 15W, MON-FRI or 5L.", field="schedule"
    )
