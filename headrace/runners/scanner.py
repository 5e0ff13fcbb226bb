r"""
Singer lines, found in large blocks without touching them one by one.

A block of bytes is taken wholesale when the number of its newlines equals the number of times that the current stream's
newline-anchored prefix, such as `\n{"type": "RECORD", "stream": "x", "record":`, occurs in it. That is exact: JSON forbids a
raw newline inside a string, so the prefix can only match where a line starts. Where the counts differ the lines are looked at
one by one: a known prefix is a dictionary look-up, anything else is decoded.

What a prefix cannot prove is the rest of its line. A line with a known prefix that is no JSON after it is counted here and found
by whoever decodes it. A message that repeats `type` or `stream` after its record is taken at its first word.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

import msgspec

from headrace.runners.data_errors import LineTooLongError, excerpt

BOM = b"\xef\xbb\xbf"
_RECORD_KEY = b'"record":'
_PREFIX_BYTES = 400
_PREFIXES_PER_STREAM = 4
_PREFIX_KEYS = {"type", "stream", "version", "record"}


class LineSink(Protocol):
    """
    Who gets the lines. Line numbers are 1-based and count every line, blank ones too.
    """

    def records(self, stream: str, buffer: bytes, start: int, stop: int, count: int, line: int) -> None:
        """
        *count* whole RECORD lines of *stream* stand in `buffer[start:stop]`, without the last newline; the first is line *line*.
        """

    def message(self, kind: str, stream: str, text: bytes, line: int) -> None:
        """
        A message of another type; *stream* is empty where it names none.
        """

    def broken(self, text: bytes, line: int) -> None:
        """
        A line that was meant to be a RECORD and is no JSON, as when two threads of a tap write at once.
        """

    def noise(self, text: bytes, line: int) -> None:
        """
        A line that is no Singer message at all, such as a print() of the tap.
        """


class _Header(msgspec.Struct, gc=False):
    type: str
    stream: str = ""


_decode_header = msgspec.json.Decoder(_Header).decode
_decode_loosely = json.JSONDecoder(strict=False, parse_int=str, parse_float=str).decode


class Scanner:
    """
    Feed it chunks of any size; it hands whole lines to its sink in order and keeps the counts.

    `counts` is the number of RECORD lines by stream, `lines` the number of lines, `bytes` all that was fed,
    `messages` how many Singer messages of any type came.
    """

    def __init__(self, sink: LineSink, *, max_line_bytes: int) -> None:
        self._sink = sink
        self._max_line_bytes = max_line_bytes
        self.counts: dict[str, int] = {}
        self.lines = 0
        self.bytes = 0
        self.others = 0
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._prefixes: dict[bytes, str] = {}
        self._prefixes_of: dict[str, int] = {}
        self._current = ""
        self._anchor: bytes | None = None

    @property
    def messages(self) -> int:
        return sum(self.counts.values()) + self.others

    def feed(self, chunk: bytes) -> None:
        """
        Raises:
            LineTooLongError: before the line is complete, so memory stays bounded. Exact when chunks are no longer than the limit.
        """
        self.bytes += len(chunk)
        first = chunk.find(b"\n")
        if first < 0:
            self._hold(chunk)
            return
        if self._held:
            self._hold(chunk[:first])
            self._lines(b"".join(self._release()), -1, None)
        else:
            self._lines(chunk, -1, first)
        last = chunk.rfind(b"\n")
        if last > first:
            self._block(chunk, first, last)
        if last + 1 < len(chunk):
            self._hold(chunk[last + 1 :])

    def close(self) -> bytes | None:
        """
        Take the last line, which may lack its newline; give it back when it was cut in the middle.
        """
        if not self._held:
            return None
        text = b"".join(self._release()).strip()
        self.lines += 1
        if not text:
            return None
        header = _header_of(text)
        if header is not None:
            self._message(header, text, self.lines)
        elif text.startswith(b"{"):
            return text
        else:
            self._sink.noise(text, self.lines)
        return None

    def _hold(self, part: bytes) -> None:
        self._held_bytes += len(part)
        if self._held_bytes > self._max_line_bytes:
            raise LineTooLongError(
                f"Line {self.lines + 1} of the tap is longer than {self._max_line_bytes} bytes.",
                "Raise max_line_bytes, or have the tap write smaller records.",
                line=self.lines + 1,
                excerpt=excerpt(self._held[0] if self._held else part),
            )
        self._held.append(part)

    def _release(self) -> list[bytes]:
        held, self._held, self._held_bytes = self._held, [], 0
        return held

    def _block(self, chunk: bytes, first: int, last: int) -> None:
        anchor = self._anchor
        count = chunk.count(b"\n", first, last)
        if anchor is not None and chunk.count(anchor, first, last) == count:
            self.counts[self._current] += count
            line = self.lines + 1
            self.lines += count
            self._sink.records(self._current, chunk, first + 1, last, count, line)
        else:
            self._lines(chunk, first, last)

    def _lines(self, chunk: bytes, before: int, last: int | None) -> None:
        """
        Look at the lines between the newline at *before* and the one at *last* one by one, handing on runs of one stream.
        """
        end = len(chunk) if last is None else last
        prefixes = self._prefixes
        run_start = start = before + 1
        run, run_count = "", 0
        while start <= end:
            stop = chunk.find(b"\n", start, end)
            if stop < 0:
                stop = end
            key = chunk.find(_RECORD_KEY, start, min(start + _PREFIX_BYTES, stop))
            stream = prefixes.get(chunk[start : key + 9]) if key > 0 else None
            if stream is not None and stream == run and run_count:
                run_count += 1
            else:
                self._run(run, chunk, run_start, start - 1, run_count)
                run_start, run, run_count = start, stream or "", 1 if stream is not None else 0
                if stream is None:
                    self._other(chunk[start:stop])
                    prefixes = self._prefixes
            start = stop + 1
        self._run(run, chunk, run_start, end, run_count)

    def _run(self, stream: str, chunk: bytes, start: int, stop: int, count: int) -> None:
        if not count:
            return
        self.counts[stream] += count
        line = self.lines + 1
        self.lines += count
        if stream != self._current:
            self._follow(stream, chunk[start : chunk.find(_RECORD_KEY, start) + len(_RECORD_KEY)])
        self._sink.records(stream, chunk, start, stop, count, line)

    def _follow(self, stream: str, prefix: bytes) -> None:
        self._current, self._anchor = stream, b"\n" + prefix

    def _other(self, line: bytes) -> None:
        self.lines += 1
        text = line.strip()
        if text.startswith(BOM):
            text = text.removeprefix(BOM).lstrip()
        if not text:
            return
        header = _header_of(text)
        if header is not None:
            self._message(header, text, self.lines)
        elif text.startswith(b"{") and b'"RECORD"' in text:
            self._sink.broken(text, self.lines)
        else:
            self._sink.noise(text, self.lines)

    def _message(self, header: _Header, text: bytes, line: int) -> None:
        if header.type != "RECORD":
            self.others += 1
            self._sink.message(header.type, header.stream, text, line)
            return
        stream = header.stream
        self.counts[stream] = self.counts.get(stream, 0) + 1
        self._learn(text, stream)
        self._sink.records(stream, text, 0, len(text), 1, line)

    def _learn(self, text: bytes, stream: str) -> None:
        """
        Trust the bytes up to `"record":` as this stream's prefix, when they are the same for every record of a stream.

        A prefix that holds another key, `time_extracted` say, differs from line to line and would only fill the table.
        """
        key = text.find(_RECORD_KEY, 0, _PREFIX_BYTES)
        if key < 0 or self._prefixes_of.get(stream, 0) >= _PREFIXES_PER_STREAM:
            return
        prefix = text[: key + len(_RECORD_KEY)]
        try:
            opening = json.loads(prefix + b"0}")
        except ValueError:
            return
        if set(opening) <= _PREFIX_KEYS and (opening.get("type"), opening.get("stream")) == ("RECORD", stream):
            self._prefixes[prefix] = stream
            self._prefixes_of[stream] = self._prefixes_of.get(stream, 0) + 1
            self._follow(stream, prefix)


def _header_of(text: bytes) -> _Header | None:
    """
    Type and stream of one message, or None when it is no JSON object with a type.

    The strict decoder refuses what real taps write (NaN, lone surrogates, raw control characters); the loose one does not.
    """
    if not text.startswith(b"{"):
        return None
    try:
        return _decode_header(text)
    except (ValueError, RecursionError):  # msgspec's errors and UnicodeDecodeError are ValueErrors
        return _loose_header_of(text)


def _loose_header_of(text: bytes) -> _Header | None:
    try:
        message: Any = _decode_loosely(text.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None
    kind, stream = message.get("type"), message.get("stream", "")
    if not isinstance(kind, str) or not isinstance(stream or "", str):
        return None
    return _Header(kind, stream or "")
