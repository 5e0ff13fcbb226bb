"""
Our own data-plane programs as children of a stage: how they are started, and what they report.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from headrace.runners.stage import Stage, read_reports


class Reports:
    """
    What a data-plane process reports: keeps the counts, tells the stage of progress, remembers the last word.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.counts: dict[str, int] = {}
        self.finished: dict[str, Any] = {}

    async def listen(self, descriptor: int) -> None:
        async for report in read_reports(descriptor):
            match report["kind"]:
                case "progress":
                    self._stage.children.progress()
                    self.counts |= report.get("counts", {})
                    self._stage.progress(
                        {
                            "record_count": dict(self.counts),
                            "bytes": report.get("bytes", 0),
                            **({"quarantined": report["quarantined"]} if report.get("quarantined") else {}),
                        }
                    )
                case "checkpoint":
                    self._stage.children.progress()
                case "noise":
                    self._stage.book.write(
                        f"Line {report['line']} of the tap's output is no Singer message: {report['excerpt']}",
                        stage=self._stage.name,
                    )
                case "finished":
                    self.finished = report
                    self.counts |= report.get("counts", {})


def own_program(name: str, *arguments: str) -> list[str]:
    """
    Name one of our data-plane programs, kept from importing what lies in the job's folder.
    """
    return [sys.executable, "-I", "-m", f"headrace.runners.{name}", *arguments]


def close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
