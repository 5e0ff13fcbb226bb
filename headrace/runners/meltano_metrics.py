"""
How many records Meltano's extractors have read, as they say themselves in its log.

Singer's SDKs print a line `METRIC: {"type": "counter", "metric": "record_count", "value": 2, "tags": {"stream": ...}}` now and then and at each
stream's end, each with what came since the last. Targets of newer SDKs print them too, for the same records: only lines of extractors count.
Source: "Singer metrics" of the Meltano SDK's documentation and of singer-python; the log's form was seen with Meltano 4.4, uncoloured.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from headrace.runners.logs import LogLine

_LINE = re.compile(r"\S+ \[\w+\s*\] (?P<name>\S+)\s.*?METRIC: (?P<metric>\{.*\})")
_MOST = 2**53


class RecordCount:
    """
    Listens to a job's log.

    Attributes:
        streams: records by stream.
    """

    def __init__(self, extractors: Collection[str]) -> None:
        self._extractors = frozenset(extractors)
        self.streams: dict[str, int] = {}

    @property
    def total(self) -> int:
        return sum(self.streams.values())

    def hear(self, lines: Sequence[LogLine]) -> None:
        """
        Count what lines tell of; one that is cut or is no metric tells nothing.
        """
        for line in lines:
            if "record_count" not in line.text or "METRIC" not in line.text:
                continue
            match = _LINE.match(line.text)
            if match is not None and match["name"] in self._extractors:
                self._count(match["metric"])

    def _count(self, metric: str) -> None:
        try:
            found: Any = msgspec.json.decode(metric)
        except ValueError:
            return
        if not isinstance(found, dict) or (found.get("type"), found.get("metric")) != ("counter", "record_count"):
            return
        value, tags = found.get("value"), found.get("tags")
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
            return
        tags = tags if isinstance(tags, dict) else {}
        stream = str(tags.get("stream") or tags.get("endpoint") or "")
        self.streams[stream] = self.streams.get(stream, 0) + value
