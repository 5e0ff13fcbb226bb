"""
How much a job may say, and what becomes of the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.runners.line_splitter import LineSplitter


@dataclass(frozen=True, slots=True)
class LogLimits:
    """
    How much a job may say.
    """

    line_characters: int = 1 << 16
    job_bytes: int = 64 << 20
    bytes_per_second: int = 5_000_000
    burst_bytes: int = 20_000_000
    backlog_bytes: int = 8 << 20  # held for a sink that does not follow
    flush_bytes: int = 1 << 18
    flush_seconds: float = 0.5
    kept_aside_bytes: int = 1 << 16  # of what is dropped, for the end of a flood


class Budget:
    """
    A bucket of bytes: full at first, refilled evenly. Once it refused, it refuses until a second's worth is in it, so that a flood shows as a
    few long gaps and not as thousands.
    """

    def __init__(self, limits: LogLimits, now: float) -> None:
        self._per_second = limits.bytes_per_second
        self._burst_bytes = self._left_bytes = float(limits.burst_bytes)
        self._at = now

    def take(self, size_bytes: int, now: float, *, refusing: bool) -> bool:
        self._left_bytes = min(self._burst_bytes, self._left_bytes + (now - self._at) * self._per_second)
        self._at = now
        wanted = max(size_bytes, min(self._per_second, self._burst_bytes)) if refusing else size_bytes
        if self._left_bytes < wanted:
            return False
        self._left_bytes -= size_bytes
        return True


class Flood:
    """
    What is dropped of one stream, from the first refusal to the next room: counted, and the last of it kept.
    """

    def __init__(self, splitter: LineSplitter, reason: str, kept_aside_bytes: int) -> None:
        self._splitter = splitter
        self._reason = reason
        self._most_bytes = kept_aside_bytes
        self._torn = splitter.cutting  # the first kept line is not whole, so it may begin within a secret
        self._last = b"" if self._torn else splitter.take_rest()
        self._lines = self._lost_bytes = 0

    def add(self, piece: bytes) -> None:
        self._lines += piece.count(b"\n")
        self._last += piece
        if len(self._last) > self._most_bytes:
            self._torn = True
            self._lost_bytes += len(self._last) - self._most_bytes
            self._last = self._last[-self._most_bytes :]

    def end(self) -> list[str]:
        """
        Give a line that says what was dropped, if anything was, and the lines that were kept.
        """
        kept = self._last
        if not self._torn:
            return self._splitter.feed(kept)
        torn, newline, kept = kept.partition(b"\n")
        self._splitter.skip_line(self._lost_bytes + len(torn))
        dropped = self._lines - kept.count(b"\n")
        marker = f"[{dropped:,} lines dropped: {self._reason}]"
        return [marker, *(self._splitter.feed(newline + kept)[1:] if newline else [])]
