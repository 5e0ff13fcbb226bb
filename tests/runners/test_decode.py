"""
The fast way and the tolerant way agree on every value.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.runners.arrow_columns import to_array
from headrace.runners.columns import shape_of
from headrace.runners.decode import STRIKES, RecordDecoder
from headrace.runners.loose_json import record_values
from tests.runners.singer_kit import BOOLEAN, DATETIME, INTEGER, NUMBER, OBJECT, TEXT

SHAPE = shape_of({"properties": {"i": INTEGER, "n": NUMBER, "b": BOOLEAN, "d": DATETIME, "s": TEXT, "o": OBJECT}})
MOMENTS = [
    "2020-01-01T00:00:00Z",
    "2020-01-01 00:00:00.5",
    "2020-02-30",
    "soon",
    "",
    "0001-01-01",
    "2020-01-01T00:00:00.1234567+01:00",
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-5, 5),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([*MOMENTS, "12", " 5 ", "1.50", "NaN", "true", "\ud800", "\x00", "1e400", "5.0"]),
)
ANY = st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(st.sampled_from("xy"), SCALARS, max_size=2))
RECORDS = st.dictionaries(st.sampled_from(["i", "n", "b", "d", "s", "o", "extra"]), ANY, max_size=7)


def converted(columns: list[list[Any]], mixed: set[int]) -> tuple[list[list[Any]], list[tuple[str, int, str, str]]]:
    misfits: list[tuple[str, int, str, str]] = []
    arrays = [
        to_array(
            values,
            column.kind,
            mixed=index in mixed,
            datetimes="utc_us",
            on_misfit=lambda row, text, reason, name=column.name: misfits.append((name, row, text.strip('"'), reason)),
        ).to_pylist()
        for index, (column, values) in enumerate(zip(SHAPE.columns, columns, strict=True))
    ]
    return arrays, sorted(misfits)


@settings(max_examples=200, deadline=None)
@given(records=st.lists(RECORDS, min_size=1, max_size=30), ascii_only=st.booleans())
def test_fast_and_tolerant_ways_agree(records: list[dict[str, Any]], ascii_only: bool):
    """
    A block gives the same rows and the same misfits whether it is decoded as a whole or each value by the tolerant rules.
    """
    lines = [
        json.dumps({"type": "RECORD", "stream": "t", "record": values}, ensure_ascii=ascii_only) for values in records
    ]
    encoded = [line.encode("utf-8", "surrogatepass") for line in lines]
    decoder = RecordDecoder(SHAPE)
    decoder.decode(encoded[0], 1)  # it may have learnt something
    fast = decoder.decode(b"\n".join(encoded), len(encoded))

    loose = [record_values(line) or {} for line in encoded]
    raw = [
        [None if (text := row.get(column.name)) is None else msgspec.Raw(text) for row in loose]
        for column in SHAPE.columns
    ]

    assert fast.rows == len(records)
    rows, misfits = converted([list(values) for values in fast.columns], set(fast.mixed))
    wanted_rows, wanted_misfits = converted(raw, set(range(len(raw))))
    assert rows == wanted_rows
    assert [misfit[:2] for misfit in misfits] == [misfit[:2] for misfit in wanted_misfits]


def test_a_column_that_is_odd_again_and_again_is_retyped():
    """
    Two lines of dirt in a hundred must not send every block line by line.
    """
    lines = [json.dumps({"record": {"s": 5 if number % 50 == 0 else "x"}}).encode() for number in range(50 * STRIKES)]
    decoder = RecordDecoder(SHAPE)
    decoder.decode(b"\n".join(lines), len(lines))

    again = decoder.decode(b"\n".join(lines), len(lines))

    assert again.lines is None  # as a whole, not line by line
    assert len(again.mixed) == 1


def test_an_extra_property_is_met_line_by_line_only_once():
    """
    It becomes a hidden column, counted and not written.
    """
    lines = [json.dumps({"record": {"i": number, "zz": number}}).encode() for number in range(100)]
    decoder = RecordDecoder(SHAPE)
    decoder.decode(b"\n".join(lines), 100)

    again = decoder.decode(b"\n".join(lines), 100)

    assert (again.lines, decoder.extra_columns) == (None, {"zz": 200})


def test_two_messages_on_one_line_are_no_two_rows():
    """
    A line that is not one message is kept aside whole, so rows and line numbers never slip.
    """
    twice = b'{"record": {"i": 1}} {"record": {"i": 2}}'
    decoded = RecordDecoder(SHAPE).decode(twice + b'\n{"record": {"i": 3}}', 2)

    assert (decoded.rows, [item.text for item in decoded.unreadable], decoded.lines) == (1, [twice], [1])
