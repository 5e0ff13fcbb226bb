"""
The scanner counts exactly what a line-by-line reader would, however the bytes are cut.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hotglue_rows import row
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.runners.data_errors import LineTooLongError
from headrace.runners.scanner import Scanner
from tests.runners.singer_kit import record, schema, state


class Collected:
    """
    A sink that keeps all it gets.
    """

    def __init__(self) -> None:
        self.lines: list[tuple[int, str, str]] = []
        self.others: list[tuple[int, str]] = []
        self.noises: list[int] = []
        self.broken_lines: list[int] = []

    def records(self, stream: str, buffer: bytes, start: int, stop: int, count: int, line: int) -> None:
        texts = buffer[start:stop].decode().split("\n")
        assert len(texts) == count
        self.lines.extend((line + index, stream, text.strip()) for index, text in enumerate(texts))

    def message(self, kind: str, stream: str, text: bytes, line: int) -> None:
        self.others.append((line, kind))

    def broken(self, text: bytes, line: int) -> None:
        self.broken_lines.append(line)

    def noise(self, text: bytes, line: int) -> None:
        self.noises.append(line)


def scan(data: bytes, *, sizes: list[int], max_line_bytes: int = 1 << 20) -> tuple[Scanner, Collected, bytes | None]:
    sink = Collected()
    scanner = Scanner(sink, max_line_bytes=max_line_bytes)
    at, turn = 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        scanner.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    return scanner, sink, scanner.close()


def naively(data: bytes) -> tuple[list[tuple[int, str, str]], list[tuple[int, str]], list[int]]:
    records, others, noises = [], [], []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            message: Any = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            noises.append(number)
        elif message["type"] == "RECORD":
            records.append((number, message.get("stream", ""), line.decode().strip()))
        else:
            others.append((number, message["type"]))
    return records, others, noises


STREAMS = st.sampled_from(["a", "b", "a b", 'q"', "ü", '"record":'])
VALUES = st.dictionaries(
    st.sampled_from(["id", "record", "type"]), st.sampled_from([1, "x\n", '{"type": "RECORD"', None]), max_size=2
)


@st.composite
def singer_line(draw: st.DrawFn) -> str:
    """
    One line of any kind that a tap may write.
    """
    stream, values = draw(STREAMS), draw(VALUES)
    whole = {"type": "RECORD", "stream": stream, "record": values}
    late = {"record": values, "stream": stream, "type": "RECORD"}
    timed = {"type": "RECORD", "stream": stream, "time_extracted": draw(st.sampled_from("abcdefgh")), "record": values}
    kinds = [
        whole,
        whole,
        whole,
        {**whole, "version": 5},
        late,
        timed,
        {"type": "STATE", "value": values},
        {"type": "SCHEMA"},
        [1],
        5,
    ]
    separators = draw(st.sampled_from([(", ", ": "), (",", ":")]))
    text = json.dumps(draw(st.sampled_from(kinds)), separators=separators, ensure_ascii=draw(st.booleans()))
    return draw(st.sampled_from([text, text, text, f" {text}", f"{text}\r", "", "noise", "  ", "{", "[", '"x"']))


@settings(max_examples=300, deadline=None)
@given(
    lines=st.lists(singer_line(), max_size=40),
    repeats=st.integers(1, 4),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=5),
)
def test_any_mixture_in_any_chunks_is_counted_as_line_by_line(lines: list[str], repeats: int, sizes: list[int]):
    """
    Counts, order, line numbers and texts are those of a reader that decodes every line.
    """
    data = "".join(f"{line}\n" for line in lines * repeats).encode()
    scanner, sink, cut = scan(data, sizes=sizes)

    records, others, noises = naively(data)
    assert (sink.lines, sink.others, sink.noises, cut) == (records, others, noises, None)
    assert sum(scanner.counts.values()) == len(records)
    assert scanner.messages == len(records) + len(others)


def test_blocks_of_one_stream_are_taken_wholesale():
    """
    The point of it: a sink gets a few blocks, not a call per line.
    """
    calls = []

    class Counting(Collected):
        def records(self, stream: str, buffer: bytes, start: int, stop: int, count: int, line: int) -> None:
            calls.append(count)

    scanner = Scanner(Counting(), max_line_bytes=1 << 20)
    data = "".join(f"{record({'id': number})}\n" for number in range(10_000)).encode()
    for at in range(0, len(data), 1 << 16):
        scanner.feed(data[at : at + (1 << 16)])

    assert scanner.counts == {"t": 10_000}
    assert len(calls) < 50


@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
def test_a_stream_like_another_ones_beginning_is_not_mixed_up(separators: tuple[str, str]):
    """
    Prefixes end behind `"record":`, so "a" never matches "ab".
    """
    messages = [{"type": "RECORD", "stream": stream, "record": {}} for stream in ("a", "ab", "a", "ab", "ab")]
    data = "".join(json.dumps(message, separators=separators) + "\n" for message in messages).encode()

    assert scan(data, sizes=[1000])[0].counts == {"a": 2, "ab": 3}


@pytest.mark.parametrize("sizes", [[1], [7], [64], [1000]])
@row("drill 32")
def test_a_line_over_the_limit_is_refused_before_it_is_whole(sizes: list[int]):
    """
    Memory stays bounded when a tap never writes a newline.
    """
    with pytest.raises(LineTooLongError) as caught:
        scan(b"{}\n" + b"x" * 5000, sizes=sizes, max_line_bytes=1000)

    assert caught.value.facts["line"] == 2


def test_a_cut_last_line_is_given_back_even_with_a_known_beginning():
    """
    A prefix proves nothing of a line that did not end.
    """
    whole = f"{schema({})}\n{record({'id': 1})}\n{state({})}\n"
    scanner, _, cut = scan((whole + record({"id": 2})[:-5]).encode(), sizes=[4096])

    assert scanner.counts == {"t": 1}
    assert cut == record({"id": 2})[:-5].encode()
