"""
When a definition becomes a job: expressions, their instants, and what to do about instants that nobody was there for.

All times are UTC unless a calendar names its zone, so that no clock change adds or takes an instant. Forms (hotglue's pages and public customer code; EventBridge's where it
has six fields):

    cron(m h dom mon dow)        UNIX, five fields; also bare. Day of week 0 to 7, both ends are Sunday
    cron(m h dom mon dow year)   six fields, `?` for any day. Day of week 1 to 7, 1 is Sunday
    rate(N minutes|hours|days)   counted from when the schedule was set
    spring(s m h dom mon dow)    six fields as Spring has them, from the second on; see `core.spring_cron`
    calendar({...})              intervals and calendars, the one form with time zones; see `core.calendar_words`
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from cronsim import CronSim, CronSimError

from headrace.core import calendar, calendar_words, spring_cron
from headrace.core.calendar import Calendars
from headrace.core.errors import InvalidError

Misfire = Literal["skip", "latest", "all"]

CATCH_UP_WINDOW: Final = timedelta(hours=24)
"""How far back the policy `all` goes."""

_LONGEST = 256
_COUNT_AT_MOST = 1000
_LAST_YEAR = 2199
_MINUTE = timedelta(minutes=1)
_UNITS: Final = {"minute": 60, "hour": 3600, "day": 86400}
_WRAPPED = re.compile(r"(cron|rate|spring)\s*\((.*)\)", re.IGNORECASE | re.DOTALL)
_CALENDAR = re.compile(r"calendar\((.*)\)", re.DOTALL)
_RATE = re.compile(r"(\d{1,6})\s+(minute|hour|day)s?", re.IGNORECASE | re.ASCII)
_YEAR_TERM = re.compile(r"(\*|\d{4})(?:-(\d{4}))?(?:/(\d{1,3}))?", re.ASCII)
_FORMS: Final = (
    "Write cron(m h dom mon dow), with a sixth field for the year if need be, or rate(N minutes|hours|days)."
)


@dataclass(frozen=True, slots=True)
class Cron:
    """
    Attributes:
        fields: five, as `cronsim` reads them.
        years: None is every year.
    """

    fields: str
    years: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Every:
    """Equal distances from the anchor, which is no instant itself."""

    period: timedelta


@dataclass(frozen=True, slots=True)
class Spring:
    """Six fields from the second on, a day meeting both day fields."""

    fields: str


Recurrence = Cron | Every | Spring | Calendars


def parse(expression: str) -> Recurrence:
    """
    Read an expression.

    Raises:
        InvalidError: it has none of the forms.
    """
    text = expression.strip()
    try:
        if found := _CALENDAR.fullmatch(text):
            return calendar_words.parse(found[1])
        if not text or len(text) > _LONGEST:
            raise ValueError("length")
        wrapped = _WRAPPED.fullmatch(text)
        if wrapped and wrapped[1].lower() == "rate":
            return _rate(wrapped[2].strip())
        if wrapped and wrapped[1].lower() == "spring":
            spring_cron.check(wrapped[2].strip(), published=False)  # a wire has held it against its own form
            return Spring(wrapped[2].strip())
        return _cron((wrapped[2] if wrapped else text).split())
    except (ValueError, CronSimError):
        shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
        raise InvalidError(f"`{shown}` is not a schedule.", _FORMS, field="schedule_expression") from None


def next_after(recurrence: Recurrence, after: datetime, *, anchor: datetime) -> datetime | None:
    """
    Give the first instant later than *after*; None when none ever comes.
    """
    if isinstance(recurrence, Every):
        passed = max(0, (after - anchor) // recurrence.period)
        return anchor + (passed + 1) * recurrence.period
    if isinstance(recurrence, Spring):
        return spring_cron.next_after(recurrence.fields, after)
    if isinstance(recurrence, Calendars):
        return calendar.next_after(recurrence, after)
    at = after.astimezone(UTC)
    while True:
        found = next(CronSim(recurrence.fields, at), None)
        if found is None or recurrence.years is None or found.year in recurrence.years:
            return found
        later = [year for year in recurrence.years if year > found.year]
        if not later:
            return None
        at = datetime(min(later), 1, 1, tzinfo=UTC) - _MINUTE


def last_until(recurrence: Recurrence, until: datetime, *, since: datetime, anchor: datetime) -> datetime:
    """
    Give the last instant not later than *until*; *since* is an instant before it.
    """
    if isinstance(recurrence, Every):
        return max(since, anchor + (until - anchor) // recurrence.period * recurrence.period)
    if isinstance(recurrence, Spring):
        return spring_cron.last_until(recurrence.fields, until, since=since)
    if isinstance(recurrence, Calendars):
        return calendar.last_until(recurrence, until, since=since)
    before = until.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE
    for found in CronSim(recurrence.fields, before, reverse=True):
        if found <= since:
            break
        if recurrence.years is None or found.year in recurrence.years:
            return found
    return since


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What to do about a schedule that is due.

    Attributes:
        instant: the one that is dealt with now.
        fire: whether it becomes a job; otherwise it is missed.
        missed: how many instants nobody was there for, the one at hand included when it does not fire; counted to a thousand.
        next_at: when to look again; None for never.
    """

    instant: datetime
    fire: bool
    missed: int
    next_at: datetime | None


def decide(
    recurrence: Recurrence,
    due_at: datetime,
    now: datetime,
    *,
    anchor: datetime,
    misfire: Misfire,
    grace: timedelta,
    present_since: datetime,
) -> Verdict:
    """
    Say what becomes of the instants from *due_at*, which is one, to *now*.

    The last one fires when somebody was there for it: *present_since* at most *grace* after it, however many others had to be dealt with
    first. When nobody was, after a downtime or a jump of the clock, `skip` lets it go and `latest` fires it all the same; the ones
    before it are let go. `all` fires each of the last day in turn, one a call.
    """
    if misfire == "all":
        first, missed = _first_since(recurrence, due_at, now - CATCH_UP_WINDOW, anchor)
        return Verdict(first, fire=True, missed=missed, next_at=next_after(recurrence, first, anchor=anchor))
    last = last_until(recurrence, now, since=due_at, anchor=anchor)
    fire = misfire == "latest" or present_since - last <= grace
    missed = _count(recurrence, due_at, last, anchor) + (not fire)
    return Verdict(last, fire=fire, missed=missed, next_at=next_after(recurrence, last, anchor=anchor))


def _first_since(
    recurrence: Recurrence, due_at: datetime, earliest: datetime, anchor: datetime
) -> tuple[datetime, int]:
    if due_at >= earliest:
        return due_at, 0
    first = next_after(recurrence, earliest - timedelta(microseconds=1), anchor=anchor) or due_at
    return first, _count(recurrence, due_at, first, anchor)


def _count(recurrence: Recurrence, first: datetime, last: datetime, anchor: datetime) -> int:
    """
    Count the instants from *first* to before *last*.
    """
    if isinstance(recurrence, Every):
        return min(_COUNT_AT_MOST, (last - first) // recurrence.period)
    if isinstance(recurrence, Calendars):
        return calendar.count(recurrence, first, last, at_most=_COUNT_AT_MOST)
    return sum(1 for _ in _between(recurrence, first, last, anchor))


def _between(recurrence: Recurrence, first: datetime, last: datetime, anchor: datetime) -> Iterator[datetime]:
    at: datetime | None = first
    for _ in range(_COUNT_AT_MOST):
        if at is None or at >= last:
            return
        yield at
        at = next_after(recurrence, at, anchor=anchor)


def _rate(text: str) -> Every:
    found = _RATE.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise ValueError("rate")
    return Every(timedelta(seconds=int(found[1]) * _UNITS[found[2].lower()]))


def _cron(fields: list[str]) -> Cron:
    words = [field.upper() for field in fields]
    years = None
    if len(words) == 6:
        years = _years(words.pop())
        words[4] = _day_of_week(words[4])
    if len(words) != 5:
        raise ValueError("fields")
    text = " ".join("*" if word == "?" else word for word in words)
    CronSim(text, datetime(2000, 1, 1, tzinfo=UTC))
    return Cron(text, years)


def _day_of_week(field: str) -> str:
    """
    Turn EventBridge's days, 1 for Sunday, into those of UNIX, 0 for Sunday; steps and ordinals stay.
    """
    if field == "L":
        return "6"
    return re.sub(r"(?<![/#\d])[1-7](?!\d)", lambda day: str(int(day[0]) - 1), field)


def _years(field: str) -> frozenset[int] | None:
    if field in ("*", "?"):
        return None
    years: set[int] = set()
    for term in field.split(","):
        found = _YEAR_TERM.fullmatch(term)
        if found is None:
            raise ValueError("year")
        first = 1970 if found[1] == "*" else int(found[1])
        open_ended = found[1] == "*" or found[3] is not None
        last = int(found[2]) if found[2] else (_LAST_YEAR if open_ended else first)
        years.update(range(first, min(last, _LAST_YEAR) + 1, int(found[3] or 1)))
    if not years:
        raise ValueError("year")
    return frozenset(years)
