"""
How intervals and calendars are written: the words of Intuned's job schedules.

Source: the models of Intuned's published clients (2025, 2026). `timezone` is ours; without it the clock is UTC.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from headrace.core.calendar import Calendar, Calendars
from headrace.core.errors import InvalidError

MONTHS: Final = (
    "JANUARY", "FEBRUARY", "MARCH", "APRIL", "MAY", "JUNE", "JULY", "AUGUST", "SEPTEMBER", "OCTOBER", "NOVEMBER", "DECEMBER",
)  # fmt: skip
WEEKDAYS: Final = ("SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")

_MOST = 100
_LONGEST = 2**18
_SECOND_MS = 1000
_DAY_MS = 24 * 3600 * _SECOND_MS
_MOST_PERIOD_MS = 100 * 366 * _DAY_MS
_MOST_JITTER_MS = 366 * _DAY_MS
_NUMBERS: Final = {
    "second": ("seconds", 0, 59),
    "minute": ("minutes", 0, 59),
    "hour": ("hours", 0, 23),
    "dayOfMonth": ("days", 1, 31),
    "year": ("years", 1970, 9999),
}
_NAMES: Final = {"month": ("months", MONTHS, 1), "dayOfWeek": ("weekdays", WEEKDAYS, 0)}
_DURATION = re.compile(r"(\d{1,15}(?:\.\d{1,9})?|\.\d{1,9}) ?([a-z]{0,12})", re.IGNORECASE | re.ASCII)
_ZONE = re.compile(r"[A-Za-z0-9_+\-]+(?:/[A-Za-z0-9_+\-]+)*", re.ASCII)
_UNITS: Final = {
    **dict.fromkeys(("", "ms", "msec", "msecs", "millisecond", "milliseconds"), 1),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), _SECOND_MS),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60 * _SECOND_MS),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600 * _SECOND_MS),
    **dict.fromkeys(("d", "day", "days"), _DAY_MS),
    **dict.fromkeys(("w", "week", "weeks"), 7 * _DAY_MS),
    **dict.fromkeys(("y", "yr", "yrs", "year", "years"), _DAY_MS * 1461 // 4),
}


def expression_of(words: Mapping[str, Any], *, seed: str) -> str:
    """
    Write a schedule as an expression of `core.schedule`.
    """
    text = msgspec.json.encode({**words, "seed": seed}, order="sorted").decode()
    return f"calendar({text})"


def parse(text: str) -> Calendars:
    """
    Read what stands between the brackets of an expression.

    Raises:
        ValueError: it is too long, or no JSON object.
        InvalidError: the object is not as it should be; the reason names the field.
    """
    words = msgspec.json.decode(text) if len(text) <= _LONGEST else None
    if not isinstance(words, dict):
        raise ValueError("object")
    return read(words, seed=str(words.get("seed", "")))


def read(words: Mapping[str, Any], *, seed: str = "", at: str = "schedule") -> Calendars:
    """
    Read a schedule.

    Args:
        words: the object, out of JSON.
        seed: of the jitter.
        at: the path of the object, for what is raised.

    Raises:
        InvalidError: it is not as it should be; the reason names the field.
    """
    intervals, calendars = (_objects(words.get(name), f"{at}.{name}") for name in ("intervals", "calendars"))
    jitter = words.get("jitter")
    return Calendars(
        periods_seconds=tuple(
            _period_seconds(each.get("every"), f"{at}.intervals[{number}].every")
            for number, each in enumerate(intervals)
        ),
        calendars=tuple(
            dict.fromkeys(_calendar(each, f"{at}.calendars[{number}]") for number, each in enumerate(calendars))
        ),
        jitter=timedelta(
            milliseconds=0 if jitter is None else _milliseconds(jitter, f"{at}.jitter", most=_MOST_JITTER_MS)
        ),
        zone=_zone(words.get("timezone"), f"{at}.timezone"),
        seed=seed,
    )


def _objects(value: Any, at: str) -> Sequence[Mapping[str, Any]]:
    found = value if value is not None else []
    if not isinstance(found, list) or len(found) > _MOST or not all(isinstance(each, dict) for each in found):
        raise _wrong(at, "is not a list of objects", f"Give at most {_MOST}.")
    return found


def _period_seconds(value: Any, at: str) -> int:
    period_ms = _milliseconds(value, at, most=_MOST_PERIOD_MS)
    if period_ms <= 0:
        raise _wrong(at, "is no time at all", "Give at least a second.")
    return max(1, (period_ms + _SECOND_MS // 2) // _SECOND_MS)


def _milliseconds(value: Any, at: str, *, most: int) -> int:
    """
    Read a length of time: a number of milliseconds, or text such as `6h` or `10 minutes`.
    """
    found: float | None = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        found = value
    elif isinstance(value, str) and (parts := _DURATION.fullmatch(value.strip())):
        unit = _UNITS.get(parts[2].lower())
        found = float(parts[1]) * unit if unit is not None else None
    if found is None:
        raise _wrong(at, "is not a length of time", "Give milliseconds, or text such as 30s, 10 minutes, 6h or 1 day.")
    if not 0 <= found <= most:
        raise _wrong(at, "is out of bounds", f"Give at most {most // _DAY_MS} days.")
    return int(found)


def _calendar(words: Mapping[str, Any], at: str) -> Calendar:
    fields: dict[str, tuple[int, ...]] = {}
    for word, (field, least, most) in _NUMBERS.items():
        if (found := _of_numbers(words.get(word), f"{at}.{word}", least, most)) is not None:
            fields[field] = found
    for word, (field, names, first) in _NAMES.items():
        if (found := _of_names(words.get(word), f"{at}.{word}", names, first)) is not None:
            fields[field] = found
    if words.get("year") == "*":
        del fields["years"]
    return Calendar(**fields)


def _of_numbers(value: Any, at: str, least: int, most: int) -> tuple[int, ...] | None:
    def number(element: Any) -> int:
        if not isinstance(element, int | float) or isinstance(element, bool) or element != element // 1:
            raise _wrong(at, f"has {_shown(element)}, which is not a whole number", f"Use {least} to {most}.")
        if not least <= element <= most:
            raise _wrong(at, f"has {element:g}, which is out of bounds", f"Use {least} to {most}.")
        return int(element)

    return _elements(value, at, number, range(least, most + 1))


def _of_names(value: Any, at: str, names: Sequence[str], first: int) -> tuple[int, ...] | None:
    def number(element: Any) -> int:
        if not isinstance(element, str) or element.upper() not in names:
            raise _wrong(at, f"has {_shown(element)}, which is not one of its names", f"Use {', '.join(names)}.")
        return names.index(element.upper()) + first

    return _elements(value, at, number, range(first, len(names) + first))


def _elements(value: Any, at: str, number: Any, every: range) -> tuple[int, ...] | None:
    """
    Read a single element, a range, a list of both, or `*`; None when there is nothing.
    """
    if value is None or value == []:
        return None
    if value == "*":
        return tuple(every)
    elements = value if isinstance(value, list) else [value]
    if len(elements) > _MOST:
        raise _wrong(at, f"has {len(elements)} elements", f"Give at most {_MOST}, or a range.")
    found: set[int] = set()
    for element in elements:
        found.update(_range(element, at, number) if isinstance(element, dict) else [number(element)])
    return tuple(sorted(found))


def _range(words: Mapping[str, Any], at: str, number: Any) -> range:
    start, end, step = number(words.get("start")), words.get("end"), words.get("step")
    last = start if end is None else number(end)
    if last < start:
        raise _wrong(
            at, "has a range that ends before it starts", "Give two ranges, one up to the end and one from the start."
        )
    if step is None:
        return range(start, last + 1)
    if end is None:
        raise _wrong(at, "has a range with a step and no end", "Give its `end` too.")
    if not isinstance(step, int | float) or isinstance(step, bool) or step != step // 1 or not 1 <= step <= 10_000:
        raise _wrong(at, f"has the step {_shown(step)}", "Give a whole number from 1.")
    return range(start, last + 1, int(step))


def _zone(name: Any, at: str) -> tzinfo:
    if name is None or name == "UTC":
        return UTC
    try:
        if isinstance(name, str) and _ZONE.fullmatch(name):
            return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # KeyError is what zoneinfo's own error is
        pass
    raise _wrong(at, f"is {_shown(name)}, which is not the name of a time zone", "Write it like Europe/Berlin.")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _wrong(at: str, what: str, instruction: str) -> InvalidError:
    return InvalidError(f"The field `{at}` {what}.", instruction, field=at)
