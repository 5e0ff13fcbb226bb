"""
Instants of intervals and calendars, all together: which they are, and how far each is put off by chance.

Source: what the models of Intuned's clients say of a job's schedule, and the schedule specification of Temporal's public SDK, of which
those are a subset. An instant is one of a calendar's when the clock on the wall of its zone meets every field then. So a time that a change
of clocks leaves out does not come that day, and one that it repeats comes twice.
"""

from __future__ import annotations

import bisect
import calendar
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)
_NO_OFFSET: Final = timedelta(0)
_LAST_YEAR: Final = 9998  # a day more must still be a date
# A 29 February of a certain weekday is at most 40 years off, over a year such as 2100.
_YEARS_LOOKED_AT: Final = 41
# Years that are named a step apart fall on the same days again after at most so many of them.
_NAMED_YEARS_LOOKED_AT: Final = 400
# A time that the clocks have left out on so many of its days in a row is left out for ever.
_GAPS_LOOKED_AT: Final = 60
# Where a local day can begin and end, against the same date of UTC.
_EARLIEST: Final = timedelta(hours=15)
_LATEST: Final = timedelta(hours=40)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """
    Attributes:
        seconds, minutes, hours, days, months, weekdays: what they may be, rising; Sunday is 0.
        years: None is every year.
    """

    seconds: tuple[int, ...] = (0,)
    minutes: tuple[int, ...] = (0,)
    hours: tuple[int, ...] = (0,)
    days: tuple[int, ...] = tuple(range(1, 32))
    months: tuple[int, ...] = tuple(range(1, 13))
    weekdays: tuple[int, ...] = tuple(range(7))
    years: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendars:
    """
    The instants of all intervals and calendars, each once, later by a share of the jitter.

    Attributes:
        periods_seconds: of the intervals, counted from 1970 in UTC.
        jitter: none is put off by more, nor to the next one.
        zone: whose clock the calendars go by.
        seed: makes two schedules of one wording differ in what they are put off by.
    """

    periods_seconds: tuple[int, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    jitter: timedelta = timedelta(0)
    zone: tzinfo = UTC
    seed: str = ""


def next_after(schedule: Calendars, after: datetime) -> datetime | None:
    """
    Give the first instant later than *after*, in UTC; None when none ever comes.
    """
    after = after.astimezone(UTC)
    schedule = _ahead(schedule, after - schedule.jitter)
    if schedule.jitter:
        # Only the last one whose own time is over can still be ahead: none is put off to the next one.
        begun = _last_plain(schedule, after, since=after - schedule.jitter)
        if begun is not None and (put_off := _put_off(schedule, begun)) > after:
            return put_off
    following = _next_plain(schedule, after)
    return None if following is None else _put_off(schedule, following)


def last_until(schedule: Calendars, until: datetime, *, since: datetime) -> datetime:
    """
    Give the last instant not later than *until*; *since* is an instant before it.
    """
    before = until.astimezone(UTC)
    earliest = since.astimezone(UTC) - schedule.jitter - _SECOND
    schedule = _ahead(schedule, earliest)
    while (plain := _last_plain(schedule, before, since=earliest)) is not None:
        if (found := _put_off(schedule, plain)) <= until:
            return max(found, since)
        before = plain - _SECOND
    return since


def count(schedule: Calendars, first: datetime, last: datetime, *, at_most: int) -> int:
    """
    Count the instants from *first*, which is one, to before *last*, which is one too.
    """
    # As many come to their own time after the first and up to the last, and those need no jitter.
    schedule = _ahead(schedule, first.astimezone(UTC))
    counted, at = 0, _next_plain(schedule, first.astimezone(UTC))
    while at is not None and at <= last and counted < at_most:
        counted, at = counted + 1, _next_plain(schedule, at)
    return counted


def _ahead(schedule: Calendars, after: datetime) -> Calendars:
    """
    Leave out the calendars that never come any more: to find that takes long, and halving asks many times.
    """
    coming = tuple(each for each in schedule.calendars if _next_of(each, after, schedule.zone) is not None)
    return schedule if len(coming) == len(schedule.calendars) else replace(schedule, calendars=coming)


def _put_off(schedule: Calendars, plain: datetime) -> datetime:
    """
    Move an instant by its share of the jitter, in whole milliseconds; the same one always by the same.
    """
    if not schedule.jitter:
        return plain
    following = _next_plain(schedule, plain)
    room = schedule.jitter if following is None else min(schedule.jitter, following - plain)
    digest = hashlib.sha256(f"{schedule.seed}:{plain.isoformat()}".encode()).digest()
    share = int.from_bytes(digest[:8])
    return plain + timedelta(milliseconds=(room // timedelta(milliseconds=1)) * share >> 64)


def _next_plain(schedule: Calendars, after: datetime) -> datetime | None:
    found = [_EPOCH + timedelta(seconds=_next_multiple(after, period)) for period in schedule.periods_seconds]
    for each in schedule.calendars:
        at = _next_of(each, after, schedule.zone)
        if at is not None:
            found.append(at)
    return min(found, default=None)


def _next_multiple(after: datetime, period_seconds: int) -> int:
    return ((after - _EPOCH) // _SECOND // period_seconds + 1) * period_seconds


def _last_plain(schedule: Calendars, until: datetime, *, since: datetime) -> datetime | None:
    """
    Find the last instant after *since* and not after *until*, jitter apart, by halving what is left.
    """
    found = _next_plain(schedule, since)
    if found is None or found > until:
        return None
    none_after = until
    while none_after - found >= _SECOND:
        middle = found + (none_after - found) / 2
        later = _next_plain(schedule, middle)
        if later is not None and later <= until:
            found = later
        else:
            none_after = middle
    return found


def _next_of(each: Calendar, after: datetime, zone: tzinfo) -> datetime | None:
    first = after.replace(microsecond=0) + _SECOND
    # Clocks that are set back over midnight show yesterday once more.
    days = _days(each, first.astimezone(zone).date() - _DAY)
    for day in itertools.islice(days, _GAPS_LOOKED_AT):
        found = _on(each, day, first, zone)
        if found is not None:
            tomorrow = _on(each, day + _DAY, first, zone) if _meets(each, day + _DAY) else None
            return found if tomorrow is None else min(found, tomorrow)
    return None


def _days(each: Calendar, start: date) -> Iterator[date]:
    """
    Give the days that meet a calendar from *start*, in order.
    """
    for year in _years(each, start.year):
        for month in each.months:
            length = calendar.monthrange(year, month)[1]
            days = (date(year, month, day) for day in each.days if day <= length)
            yield from (day for day in days if day >= start and day.isoweekday() % 7 in each.weekdays)


def _years(each: Calendar, first: int) -> Sequence[int]:
    """
    Give the years from *first* in which a calendar comes, if it ever does.
    """
    if each.years is None:
        return range(first, min(first + _YEARS_LOOKED_AT, _LAST_YEAR) + 1)
    ahead = each.years[bisect.bisect_left(each.years, first) : bisect.bisect_right(each.years, _LAST_YEAR)]
    return ahead[:_NAMED_YEARS_LOOKED_AT]


def _meets(each: Calendar, day: date) -> bool:
    return (
        day.day in each.days
        and day.month in each.months
        and day.isoweekday() % 7 in each.weekdays
        and (each.years is None or day.year in each.years)
    )


def _on(each: Calendar, day: date, first: datetime, zone: tzinfo) -> datetime | None:
    """
    Find the first instant of a local day that is not before *first*.
    """
    for offset, begins, ends in _stretches(day, zone):
        shown = (max(first, begins) + offset).replace(tzinfo=None)
        if shown.date() > day:
            continue
        at = _time_from(each, shown.time() if shown.date() == day else time.min)
        if at is not None:
            found = datetime.combine(day, at, tzinfo=UTC) - offset
            if found < ends:
                return found
    return None


def _time_from(each: Calendar, earliest: time) -> time | None:
    at = (earliest.hour, earliest.minute, earliest.second)
    return next(
        (
            time(hour, minute, second)
            for hour in each.hours
            if hour >= at[0]
            for minute in each.minutes
            if (hour, minute) >= at[:2]
            for second in each.seconds
            if (hour, minute, second) >= at
        ),
        None,
    )


def _stretches(day: date, zone: tzinfo) -> list[tuple[timedelta, datetime, datetime]]:
    """
    Give the zone's offsets over a local day, each with when it begins and ends.
    """
    midnight = datetime.combine(day, time.min, tzinfo=UTC)
    begins, ends = midnight - _EARLIEST, midnight + _LATEST
    if zone is UTC:
        return [(_NO_OFFSET, begins, ends)]
    before, after = _offset(begins, zone), _offset(ends, zone)
    if before == after:
        return [(before, begins, ends)]
    low, high = begins, ends  # both whole seconds, as every change of clocks is
    while high - low > _SECOND:
        middle = low + (high - low) // _SECOND // 2 * _SECOND
        low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
    return [(before, begins, high), (after, high, ends)]


def _offset(at: datetime, zone: tzinfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or _NO_OFFSET
