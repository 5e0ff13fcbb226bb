"""
Hard values, one a case, through a whole sync into Parquet: each comes out right, or as null with the text in quarantine.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hotglue_rows import row

from tests.runners.singer_kit import (
    ARRAY,
    BOOLEAN,
    DATETIME,
    INTEGER,
    NUMBER,
    OBJECT,
    TEXT,
    schema,
    sync,
)

MISFIT = object()
"""The value is null and its text is in quarantine."""


def line(text: bytes) -> bytes:
    return b'{"type": "RECORD", "stream": "t", "record": ' + text + b"}"


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def a(property_schema: Any, text: bytes, *wanted: Any) -> tuple[dict[str, Any], list[bytes], list[Any]]:
    return {"a": property_schema}, [line(b'{"a": ' + text + b"}")], list(wanted)


WIDE = {"a": INTEGER, **{f"c{number}": TEXT for number in range(500)}}
CASES: dict[str, tuple[dict[str, Any], list[bytes], list[Any]]] = {
    "null": a(INTEGER, b"null", None),
    "missing column": ({"a": INTEGER, "b": TEXT}, [line(b'{"b": "x"}')], [None]),
    "extra column": ({"a": INTEGER}, [line(b'{"a": 1, "zz": {"q": [1]}}')], [1]),
    "empty record": ({"a": INTEGER}, [line(b"{}")], [None]),
    "unicode escapes": a(TEXT, b'"\\u00e9\\ud83d\\ude00 \xc3\xa9"', "é😀 é"),
    "lone surrogate": a(TEXT, b'"x\\ud800y"', MISFIT),
    "lone low surrogate": a(TEXT, b'"x\\udc00y"', MISFIT),
    "NUL": a(TEXT, b'"x\\u0000y"', "x\0y"),
    "invalid UTF-8": a(TEXT, b'"x\xff"', MISFIT),
    "quote, backslash, newline": a(TEXT, b'"q\\" \\\\ \\n \\/"', 'q" \\ \n /'),
    "raw tab in a string": a(TEXT, b'"x\ty"', "x\ty"),
    "nested object": a(OBJECT, b'{"x": 1, "y":  [1, 2.50]}', '{"x": 1, "y":  [1, 2.50]}'),
    "nested array": a(ARRAY, b'[1, {"x": null}]', '[1, {"x": null}]'),
    "nested with NaN": a(OBJECT, b'{"x": NaN}', '{"x": NaN}'),
    "nested with invalid UTF-8": a(OBJECT, b'{"x": "\xff"}', MISFIT),
    "json column null": a(OBJECT, b"null", None),
    "scalar in a json column": a(OBJECT, b'"x"', '"x"'),
    "object in a text column": a(TEXT, b'{"x": 1}', '{"x": 1}'),
    "number in a text column": a(TEXT, b"12.50", "12.50"),
    "boolean in a text column": a(TEXT, b"true", "true"),
    "text in an integer column": a(INTEGER, b'"12"', 12),
    "empty text in an integer column": a(INTEGER, b'""', None),
    "underscores are no digits": a(INTEGER, b'"1_000"', MISFIT),
    "5.0 in an integer column": a(INTEGER, b"5.0", 5),
    "5e2 in an integer column": a(INTEGER, b"5e2", 500),
    "5.7 in an integer column": a(INTEGER, b"5.7", MISFIT),
    "1e999999 in an integer column": a(INTEGER, b"1e999999", MISFIT),
    "true in an integer column": a(INTEGER, b"true", MISFIT),
    "integer in a number column": a(NUMBER, b"7", 7.0),
    "largest int64": a(INTEGER, b"9223372036854775807", 2**63 - 1),
    "smallest int64": a(INTEGER, b"-9223372036854775808", -(2**63)),
    "2^63": a(INTEGER, b"9223372036854775808", MISFIT),
    "10^30 in an integer column": a(INTEGER, b"1000000000000000000000000000000", MISFIT),
    "10^30 in a number column": a(NUMBER, b"1000000000000000000000000000000", 1e30),
    "1e400": a(NUMBER, b"1e400", MISFIT),
    "NaN": a(NUMBER, b"NaN", None),
    "Infinity": a(NUMBER, b"Infinity", MISFIT),
    "-Infinity": a(NUMBER, b"-Infinity", MISFIT),
    "shortest float": a(NUMBER, b"0.30000000000000004", 0.30000000000000004),
    "number with multipleOf": a(
        {"type": ["null", "number"], "multipleOf": 1e-10},
        b"12345678901234567890.1234567891",
        12345678901234567890.1234567891,
    ),
    "singer.decimal": a(
        {"type": ["null", "string"], "format": "singer.decimal"},
        b'"12345678901234567890.1234567891"',
        "12345678901234567890.1234567891",
    ),
    "text in a boolean column": a(BOOLEAN, b'"True"', True),
    "1 in a boolean column": a(BOOLEAN, b"1", True),
    "2 in a boolean column": a(BOOLEAN, b"2", MISFIT),
    "date-time with Z": a(DATETIME, b'"2013-01-01T10:00:00Z"', at(2013, 1, 1, 10)),
    "date-time with microseconds": a(DATETIME, b'"2013-01-01T10:00:00.123456+00:00"', at(2013, 1, 1, 10, 0, 0, 123456)),
    "date-time with +05:30": a(DATETIME, b'"2013-01-01T10:00:00+05:30"', at(2013, 1, 1, 4, 30)),
    "date-time with nanoseconds": a(DATETIME, b'"2013-01-01T10:00:00.123456789Z"', at(2013, 1, 1, 10, 0, 0, 123456)),
    "date-time without zone": a(DATETIME, b'"2013-01-01T10:00:00"', at(2013, 1, 1, 10)),
    "date-time with a blank": a(DATETIME, b'"2013-01-01 10:00:00"', at(2013, 1, 1, 10)),
    "date-time with UTC spelt out": a(DATETIME, b'"2013-01-01 10:00:00 UTC"', at(2013, 1, 1, 10)),
    "date-time of RFC 2822": a(DATETIME, b'"Tue, 01 Jan 2013 10:00:00 +0100"', at(2013, 1, 1, 9)),
    "date only": a(DATETIME, b'"2013-01-01"', at(2013, 1, 1)),
    "empty date-time": a(DATETIME, b'""', None),
    "date-time in mixed forms": (
        {"a": DATETIME},
        [line(b'{"a": "2013-01-01T10:00:00Z"}'), line(b'{"a": "2013-01-01T10:00:00.5+01:00"}'), line(b'{"a": null}')],
        [at(2013, 1, 1, 10), at(2013, 1, 1, 9, 0, 0, 500000), None],
    ),
    "date-time garbage": a(DATETIME, b'"soon"', MISFIT),
    "date-time of year 1": a(DATETIME, b'"0001-01-01T00:00:00Z"', at(1, 1, 1)),
    "date-time before year 1": a(DATETIME, b'"0001-01-01T00:00:00+05:30"', MISFIT),
    "date-time of year 0": a(DATETIME, b'"0000-01-01T00:00:00Z"', MISFIT),
    "date-time of 0000-00-00": a(DATETIME, b'"0000-00-00 00:00:00"', MISFIT),
    "date-time of year 10000": a(DATETIME, b'"10000-01-01T00:00:00Z"', MISFIT),
    "date-time as a number": a(DATETIME, b"1357034400", MISFIT),
    "anyOf date-time and string": a(
        {"anyOf": [{"type": "string", "format": "date-time"}, {"type": ["string", "null"]}]},
        b'"not a date"',
        "not a date",
    ),
    "anyOf integer and number": a({"anyOf": [{"type": "integer"}, {"type": "number"}, {"type": "null"}]}, b"1.5", 1.5),
    "no type": a({}, b'{"x": 1}', '{"x": 1}'),
    "duplicate key": ({"a": INTEGER}, [line(b'{"a": 1, "a": 2}')], [2]),
    "names with dot and quote": (
        {"a": INTEGER, 'x.y "q"': INTEGER},
        [line(b'{"a": 1, "x.y \\"q\\"": 5}'), line(b'{"a": 2, "zz": 1}')],
        [1, 2],
    ),
    "record before type": ({"a": INTEGER}, [b'{"record": {"a": 1}, "stream": "t", "type": "RECORD"}'], [1]),
    "time_extracted and version after": (
        {"a": INTEGER},
        [b'{"type":"RECORD","stream":"t","record":{"a":1},"version":1,"time_extracted":"2020-01-01T00:00:00Z"}'],
        [1],
    ),
    "time_extracted before": (
        {"a": INTEGER},
        [
            b'{"type":"RECORD","stream":"t","time_extracted":"2020-01-01T00:00:0%dZ","record":{"a":%d}}' % (n, n)
            for n in range(3)
        ],
        [0, 1, 2],
    ),
    "CRLF": ({"a": INTEGER}, [line(b'{"a": 1}') + b"\r"], [1]),
    "blank line inside": ({"a": INTEGER}, [line(b'{"a": 1}'), b"", b" \r", line(b'{"a": 2}')], [1, 2]),
    "20 MB of text": a(TEXT, b'"' + b"x" * 20_000_000 + b'"', "x" * 20_000_000),
    "500 columns": (WIDE, [line(json.dumps({"a": 1, **{f"c{n}": "v" for n in range(500)}}).encode())], [1]),
}


@pytest.mark.parametrize("case", CASES)
@row("drill 31", "6.2 parquet")
def test_a_hard_value_comes_out_right_or_is_kept_aside(tmp_path: Path, case: str):
    """
    No value is silently wrong: right in the row, or null there and its text in quarantine.
    """
    properties, lines, wanted = CASES[case]

    done = sync(tmp_path, schema(properties), *lines, datetimes="utc_us")

    assert done.exit == 0
    assert [row["a"] for row in done.rows()] == [None if value is MISFIT else value for value in wanted]
    assert len(done.quarantine()) == wanted.count(MISFIT)
    assert done.finished["quarantined"] == ({"t": wanted.count(MISFIT)} if MISFIT in wanted else {})


@pytest.mark.parametrize("case", ["lone surrogate", "invalid UTF-8", "5.7 in an integer column", "date-time garbage"])
def test_the_quarantine_has_line_field_reason_and_the_text_sent(tmp_path: Path, case: str):
    """
    Nothing of a misfit is lost: the file says where it stood and what it was.
    """
    properties, lines, _ = CASES[case]
    done = sync(tmp_path, schema(properties), *lines)

    [kept] = done.quarantine()

    sent = lines[0].split(b'{"a": ')[1].removesuffix(b"}}").decode("utf-8", "backslashreplace")
    assert (kept["line"], kept["field"], kept["text"].strip('"')) == (2, "a", sent.strip('"'))
    assert kept["reason"]


@pytest.mark.parametrize(
    ("sent", "naive"),
    [
        ("2013-01-01T10:00:00+05:30", datetime(2013, 1, 1, 4, 30)),  # noqa: DTZ001 - naive is what is tested
        ("2013-01-01T10:00:00.123456Z", datetime(2013, 1, 1, 10, 0, 0, 123000)),  # noqa: DTZ001
        ("1969-12-31T23:59:59.9995Z", datetime(1969, 12, 31, 23, 59, 59, 999000)),  # noqa: DTZ001
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1)),  # noqa: DTZ001
    ],
)
def test_naive_date_times_are_utc_cut_to_milliseconds(tmp_path: Path, sent: str, naive: datetime):
    """
    As hotglue's target writes them, and always cut downwards, before 1970 too.
    """
    done = sync(tmp_path, schema({"a": DATETIME}), line(json.dumps({"a": sent}).encode()))

    assert done.rows() == [{"a": naive}]


def test_decimals_as_text_keep_every_digit(tmp_path: Path):
    """
    With `decimals: text` a number with multipleOf is the text that was sent.
    """
    properties = {"a": {"type": ["null", "number"], "multipleOf": 0.01}, "b": NUMBER}
    done = sync(tmp_path, schema(properties), line(b'{"a": 1234567890123456789.10, "b": 1.5}'), decimals="text")

    assert done.rows() == [{"a": "1234567890123456789.10", "b": 1.5}]


def test_a_schema_without_properties_keeps_whole_records(tmp_path: Path):
    """
    Nothing is lost where a tap says nothing of its columns: one column holds each record's JSON text.
    """
    done = sync(tmp_path, schema({}), line(b'{"a": 1,  "b": [2]}'), line(b'{"a": NaN}'))

    assert done.rows() == [{"record": '{"a": 1,  "b": [2]}'}, {"record": '{"a": NaN}'}]
