"""
The tolerant path: what becomes of a value that is not of its column's own type.

Numbers below are JSON number literals or strings that spell one; blanks around a string are ignored; `true` and the like in any case.

| column | taken | becomes null | a misfit |
|---|---|---|---|
| integer | 5, 5.0, 5e2, "5", "5.0" | null, "", NaN | 5.7, 2^63 and beyond, true, "x", nested, Infinity |
| number | any number, "1.5" | null, "", NaN, "nan" | 1e400, Infinity, true, "x", nested |
| boolean | true, false, 1, 0, "true", "False", "1", "0" | null, "" | anything else |
| datetime | ISO 8601 with or without zone (without: UTC), date only, RFC 2822 | null, "" | numbers (their unit is unknown), "soon", years outside 1 to 9999 |
| json | anything, as the text sent | null | text that is no UTF-8 |
| text | strings; other values as the text sent (12.50 stays "12.50") | null | lone surrogates, text that is no UTF-8 |

A misfit is never guessed at: it becomes null in the row and is kept, counted or fails the job, as the job says. Fractions of a second
beyond microseconds are cut. float64 cannot hold every integer beyond 2^53: that is the column type's own limit, see `decimals`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from headrace.runners.columns import Kind

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
YEAR_ONE_MICROSECONDS = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST_MICROSECONDS = (datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,6})?", re.ASCII)
_INT64 = range(-(1 << 63), 1 << 63)
_INT64_DIGITS = 19
_NULL_NUMBERS = {"", "nan", "+nan", "-nan"}
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
_decode_string = msgspec.json.Decoder(str).decode
_decode_loose_string = json.JSONDecoder(strict=False).decode


class MisfitError(Exception):
    """
    The value fits no rule of its column; the message is the reason, without the value.
    """


class Literal(str):
    """
    The text of a JSON value that is neither string, null, true nor false: a number, an object or an array.
    """

    __slots__ = ()


def coerce(value: Any, kind: Kind) -> Any:
    """
    *value* as the column wants it: int, float, bool, str, microseconds since 1970 for a date-time, or None.

    A `msgspec.Raw` is the JSON text as sent; anything else came out of the strict decoder.

    Raises:
        MisfitError: no rule of the table takes it.
    """
    if value is None:
        return None
    if kind == "json":
        return _sent(value)
    return _RULES[kind](_parsed(value) if isinstance(value, msgspec.Raw) else value)


def text_sent(value: Any) -> str:
    """
    *value* for a person or a quarantine file: the JSON text as sent, undecodable bytes as escapes.
    """
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode("utf-8", "backslashreplace")
    return value if isinstance(value, str) else json.dumps(value)


def _sent(value: Any) -> str | None:
    if not isinstance(value, msgspec.Raw):
        return json.dumps(value)
    try:
        text = bytes(value).decode()
    except UnicodeDecodeError:
        raise MisfitError("not UTF-8") from None
    return None if text == "null" else text


def _parsed(raw: msgspec.Raw) -> Any:
    sent = bytes(raw).strip()
    if sent[:1] == b'"':
        return _string(sent)
    try:
        text = sent.decode()
    except UnicodeDecodeError:
        raise MisfitError("not UTF-8") from None
    return _WORDS[text] if text in _WORDS else Literal(text)


_WORDS = {"null": None, "true": True, "false": False}


def _string(sent: bytes) -> str:
    try:
        return _decode_string(sent)
    except UnicodeDecodeError:
        raise MisfitError("not UTF-8") from None
    except msgspec.DecodeError:
        pass  # a raw control character, which is taken, or a lone surrogate, which no UTF-8 text can hold
    try:
        text: str = _decode_loose_string(sent.decode())
        text.encode()
    except UnicodeDecodeError:
        raise MisfitError("not UTF-8") from None
    except UnicodeEncodeError:
        raise MisfitError("half of a surrogate pair") from None
    return text


def _integer(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return _in_int64(value)
    text = _number_text(value)
    if text is None:
        return None
    number = Decimal(text)
    if number.adjusted() >= _INT64_DIGITS:
        raise MisfitError("beyond 64 bits")
    if number.adjusted() < 0 and number != 0:
        raise MisfitError("not a whole number")
    whole = int(number)
    if whole != number:
        raise MisfitError("not a whole number")
    return _in_int64(whole)


def _in_int64(number: int) -> int:
    if number not in _INT64:
        raise MisfitError("beyond 64 bits")
    return number


def _float(value: Any) -> float | None:
    if isinstance(value, float):
        return _finite(value)
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else _number_text(value)
    return None if text is None else _finite(float(text))


def _finite(number: float) -> float | None:
    if math.isinf(number):
        raise MisfitError("beyond float64")
    return None if math.isnan(number) else number


def _number_text(value: Any) -> str | None:
    """
    The spelling of a number, or None for what means null.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        raise MisfitError("a boolean, not a number")
    text = repr(value) if isinstance(value, float) else str(value).strip()
    if text.lower() in _NULL_NUMBERS:
        return None
    if not _NUMBER.fullmatch(text):
        raise MisfitError("not a number")
    return text


def _boolean(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if not text:
        return None
    if text not in _BOOLEANS:
        raise MisfitError("not a boolean")
    return _BOOLEANS[text]


def _datetime(value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, str) or isinstance(value, Literal):
        raise MisfitError("not a date-time string")
    text = value.strip()
    return _microseconds(_parsed_datetime(text)) if text else None


def _parsed_datetime(text: str) -> datetime:
    for parse in (datetime.fromisoformat, _with_spaced_zone, parsedate_to_datetime):
        try:
            return parse(text)
        except (ValueError, IndexError):
            continue
    raise MisfitError("not a date-time")


def _with_spaced_zone(text: str) -> datetime:
    """
    The forms of SQL and of Python's str(): a blank before the zone, or its name UTC.
    """
    head, _, zone = text.rpartition(" ")
    return datetime.fromisoformat(head + ("+00:00" if zone in {"UTC", "GMT"} else zone))


def _microseconds(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    number = (aware - _EPOCH) // _MICROSECOND
    if not YEAR_ONE_MICROSECONDS <= number <= _LAST_MICROSECONDS:
        raise MisfitError("outside the years 1 to 9999")
    return number


def _text(value: Any) -> str | None:
    if isinstance(value, bool | float | int):
        return json.dumps(value)
    return None if value is None else str(value)


_RULES: dict[Kind, Callable[[Any], Any]] = {
    "integer": _integer,
    "number": _float,
    "boolean": _boolean,
    "datetime": _datetime,
    "text": _text,
}
