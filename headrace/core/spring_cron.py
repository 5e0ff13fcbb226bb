"""
Cron as Spring Framework reads it: second minute hour day-of-month month day-of-week.

Source: Spring Framework's javadoc of `CronExpression`, and the pattern that Matatika's API publishes for the field. All times are UTC.
Unlike UNIX, a day has to meet both day fields; `?` in a day field is any day; Sunday is 0 or 7; `L` is the last day of the month.
What the published pattern refuses (macros such as `@daily`, `#`, five or seven fields) is refused here; files may have five fields
and macros, see `from_meltano`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from cronsim import CronSim, CronSimError

from headrace.core.errors import InvalidError

_PATTERN = re.compile(r"((([\w|*/,\-?]+)|\d+|\*) ?){6}", re.ASCII)
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
_DAYS_LOOKED_AT = (
    366 * 8
)  # a leap day that is a certain weekday comes again within 28 years, but no schedule means that
_NEVER: Final = "A day has to meet both day fields; use `?` for the one that does not matter."


def check(expression: str) -> None:
    """
    Raises:
        InvalidError: it is no six-field expression, or it never comes.
    """
    if next_after(expression, datetime(2000, 1, 1, tzinfo=UTC)) is None:
        raise InvalidError(f"The schedule `{expression}` never comes.", _NEVER, field="schedule")


def next_after(expression: str, after: datetime) -> datetime | None:
    """
    Give the first instant later than *after*, in UTC; None when none ever comes.

    Raises:
        InvalidError: it is no six-field expression.
    """
    fields = _fields(expression)
    of_days, of_weekdays = " ".join([*fields[:5], "*"]), " ".join(["0", "0", "0", "*", fields[4], fields[5]])
    at = after.astimezone(UTC)
    try:
        if fields[5] == "*":
            return next(CronSim(of_days, at), None)
        if fields[3] == "*":
            return next(CronSim(" ".join(fields), at), None)
        return _on_both(of_days, of_weekdays, at)
    except CronSimError as error:
        raise _wrong(expression) from error


def last_until(expression: str, until: datetime, *, since: datetime) -> datetime:
    """
    Give the last instant not later than *until*; *since* is an instant before it.
    """
    fields = _fields(expression)
    of_days, of_weekdays = " ".join([*fields[:5], "*"]), " ".join(["0", "0", "0", "*", fields[4], fields[5]])
    at = until.astimezone(UTC).replace(microsecond=0) + _SECOND
    while True:
        found = next(CronSim(of_days, at, reverse=True), None)
        if found is None or found <= since:
            return since
        midnight = found.replace(hour=0, minute=0, second=0)
        if fields[5] == "*" or next(CronSim(of_weekdays, midnight - _SECOND), None) == midnight:
            return found
        at = midnight


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


def _fields(expression: str) -> list[str]:
    fields = expression.upper().split()
    if len(fields) != 6 or len(expression) > 256 or not _PATTERN.fullmatch(" ".join(fields)):
        raise _wrong(expression)
    if "?" in "".join(fields[:3]) + fields[4] or any("?" in field and field != "?" for field in fields):
        raise _wrong(expression)
    fields = ["*" if field == "?" else field for field in fields]
    try:
        CronSim(" ".join([*fields[:5], "*"]), datetime(2000, 1, 1, tzinfo=UTC))
        CronSim(f"0 0 0 * * {fields[5]}", datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise _wrong(expression) from error
    return fields


def _on_both(of_days: str, of_weekdays: str, after: datetime) -> datetime | None:
    """
    Find the first instant whose day meets both: days by the one expression, and their weekday by the other.
    """
    at = after
    for _ in range(_DAYS_LOOKED_AT):
        found = next(CronSim(of_days, at), None)
        if found is None:
            return None
        midnight = found.replace(hour=0, minute=0, second=0)
        if next(CronSim(of_weekdays, midnight - _SECOND), None) == midnight:
            return found
        at = midnight + timedelta(days=1) - _SECOND
    return None


def _wrong(expression: str) -> InvalidError:
    shown = expression if len(expression) <= 100 else f"{expression[:100]}…"
    return InvalidError(
        f"`{shown}` is not a schedule.",
        "Write six fields, second minute hour day-of-month month day-of-week, such as `0 0 6 * * MON-FRI`; `-` is off.",
        field="schedule",
    )
