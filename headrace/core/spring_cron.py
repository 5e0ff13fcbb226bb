"""
Cron as Spring Framework reads it: second minute hour day-of-month month day-of-week.

Source: Spring Framework's javadoc of `CronExpression`, and the pattern that Matatika's API publishes for the field. All times are UTC.
Unlike UNIX, a day has to meet both day fields; their forms are those of `spring_days`. What the published pattern refuses (macros such as
`@daily`, `#`, five or seven fields) is refused over the wire; files may have `#`, five fields and macros, see `from_meltano`.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from cronsim import CronSim, CronSimError

from headrace.core.errors import InvalidError
from headrace.core.spring_days import Days, read_days

_PUBLISHED_FIELD = re.compile(r"[\w|*/,\-?]+", re.ASCII)
_LONGEST = 256
_MACROS: Final = {
    "@hourly": "0 0 * * * *",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@weekly": "0 0 0 * * 0",
    "@monthly": "0 0 0 1 * *",
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
}
_SECOND = timedelta(seconds=1)
_LOOKED_AT = timedelta(days=366 * 41)  # a leap day that is a certain weekday comes again within 40 years
_SINCE = datetime(2000, 1, 1, tzinfo=UTC)
_NEVER: Final = "A day has to meet both day fields; use `?` for the one that does not matter."


def check(expression: str, *, published: bool = True) -> None:
    """
    Refuse what is no schedule.

    Args:
        expression: six fields.
        published: hold it against the published pattern, too.

    Raises:
        InvalidError: it is no six-field expression, or it never comes.
    """
    if published and not all(_PUBLISHED_FIELD.fullmatch(field) for field in expression.split()):
        raise _wrong(expression)
    if next_after(expression, _SINCE) is None:
        raise InvalidError(f"The schedule `{expression}` never comes.", _NEVER, field="schedule")


def next_after(expression: str, after: datetime) -> datetime | None:
    """
    Give the first instant later than *after*, in UTC; None when none comes within 40 years.

    Raises:
        InvalidError: it is no six-field expression.
    """
    clock, days = _read(expression)
    at = after.astimezone(UTC)
    until = (at + _LOOKED_AT).date()
    while True:
        found = next(CronSim(clock, at), None)
        if found is None or found.date() > until or found.date() in days:
            return found if found and found.date() <= until else None
        day = next(days.after(found.date(), until), None)
        if day is None:
            return None
        at = _midnight(day) - _SECOND


def last_until(expression: str, until: datetime, *, since: datetime) -> datetime:
    """
    Give the last instant not later than *until*; *since* is an instant before it.
    """
    clock, days = _read(expression)
    at = until.astimezone(UTC).replace(microsecond=0) + _SECOND
    while True:
        found = next(CronSim(clock, at, reverse=True), None)
        if found is None or found <= since:
            return since
        if found.date() in days:
            return found
        day = next(days.before(found.date(), since.astimezone(UTC).date()), None)
        if day is None:
            return since
        at = _midnight(day) + timedelta(days=1)


def from_meltano(interval: str) -> str:
    """
    Turn a schedule of Meltano's own files, five fields or a macro, into six fields; `-` for one that never comes by itself.
    """
    text = interval.strip()
    if text in ("", "@once", "@manual", "@none", "-"):
        return "-"
    if text.lower() in _MACROS:
        return _MACROS[text.lower()]
    return f"0 {text}" if len(text.split()) == 5 else text


def _read(expression: str) -> tuple[str, Days]:
    """
    Give the clock and the months as an expression that comes every day, and the days.
    """
    fields = expression.upper().split()
    if len(fields) != 6 or len(expression) > _LONGEST:
        raise _wrong(expression)
    clock = " ".join([*fields[:3], "*", fields[4], "*"])
    try:
        days = read_days(fields[3], fields[5])
        CronSim(clock, _SINCE)
    except (CronSimError, InvalidError) as error:
        raise _wrong(expression) from error
    return clock, days


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _wrong(expression: str) -> InvalidError:
    shown = expression if len(expression) <= 100 else f"{expression[:100]}…"
    return InvalidError(
        f"`{shown}` is not a schedule.",
        "Write six fields, second minute hour day-of-month month day-of-week, such as `0 0 6 * * MON-FRI`; `-` is off.",
        field="schedule",
    )
