"""
Bytes of a pipe into redacted lines of text.
"""

from __future__ import annotations

import re

from headrace.runners.redaction import Redactor

LINE_END = re.compile(rb"[\r\n]")


class LineSplitter:
    r"""
    Joins pieces, ends lines at \n, \r\n and \r (progress bars), replaces invalid UTF-8, redacts, and cuts what is too long.

    Secrets are looked for in whole lines, so one that comes in two pieces is found; a cut leaves no part of one. Holds at most four bytes for
    each character of *line_characters*, however long a line is.
    """

    def __init__(self, redactor: Redactor, line_characters: int) -> None:
        self.redactor = redactor
        self._line_characters = line_characters
        self._carry = b""
        self._head: str | None = None  # of a line that is too long; the rest of it is only counted
        self._head_bytes = 0

    def feed(self, piece: bytes) -> list[str]:
        lines: list[str] = []
        if self._head is not None:
            end = LINE_END.search(piece)
            if end is None:
                self._head_bytes += len(piece)
                return []
            self._head_bytes += end.start()
            lines.append(self._finish_cut())
            piece = piece[end.start() :].removeprefix(b"\r").removeprefix(b"\n")
        data = unify_line_ends(self._carry + piece)
        end_at = data.rfind(b"\n") + 1
        self._carry = data[end_at:]
        if end_at:
            lines += self._lines_of(data[:end_at])
        if len(self._carry) > 4 * (self._line_characters + self.redactor.longest):
            self._begin_cut()
        return lines

    def end(self) -> list[str]:
        """
        Give the last line, which no newline ended.
        """
        if self._head is not None:
            return [self._finish_cut()]
        rest = self.take_rest()
        return self._lines_of(rest.removesuffix(b"\r") + b"\n") if rest else []

    def take_rest(self) -> bytes:
        """
        Give up what is held of an unfinished line.
        """
        rest, self._carry = self._carry, b""
        return rest

    @property
    def cutting(self) -> bool:
        return self._head is not None

    def skip_line(self, already_bytes: int) -> None:
        """
        Treat what comes up to the next line's end as the rest of a line whose first *already_bytes* are lost.
        """
        self._head, self._head_bytes = "", already_bytes

    def _lines_of(self, data: bytes) -> list[str]:
        lines = self.redactor.redact(data.decode("utf-8", "replace")).split("\n")[:-1]
        if len(data) > self._line_characters:
            return [self._cut(line) for line in lines]
        return lines

    def _cut(self, line: str) -> str:
        if len(line) <= self._line_characters:
            return line
        return f"{line[: self._line_characters]}… [cut, {len(line.encode(errors='replace')):,} bytes]"

    def _begin_cut(self) -> None:
        self._head_bytes = len(self._carry)
        redacted = self.redactor.redact(self.take_rest().decode("utf-8", "replace"))
        whole = max(0, len(redacted) - self.redactor.longest)  # beyond it a secret may have begun
        self._head = redacted[:whole][: self._line_characters]

    def _finish_cut(self) -> str:
        head, self._head = self._head or "", None
        return f"{head}… [cut, {self._head_bytes:,} bytes]"


def unify_line_ends(data: bytes) -> bytes:
    r"""
    Make each line end a \n, but for a last \r: it may be half of a \r\n.
    """
    if b"\r" not in data:
        return data
    data = data.replace(b"\r\n", b"\n")
    body = data.removesuffix(b"\r")
    return body.replace(b"\r", b"\n") + data[len(body) :]
