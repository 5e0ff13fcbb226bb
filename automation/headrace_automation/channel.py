"""
The two pipes to the server: reports go one way, answers to questions come the other.

One JSON object a line. The server's side is headrace/runners/automation_talk.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from typing import Any

REPORT_FD, CALL_FD, ANSWER_FD = 3, 4, 5


class Channel:
    """
    Args:
        report_fd: where reports and questions are written.
        answer_fd: where answers are read.
    """

    def __init__(self, report_fd: int = REPORT_FD, answer_fd: int = ANSWER_FD) -> None:
        self._report_fd = report_fd
        self._answers = os.fdopen(answer_fd, "rb")
        self._writing = threading.Lock()
        self._asking = threading.Lock()
        for descriptor in (report_fd, answer_fd):
            os.set_inheritable(descriptor, False)  # programs that the function starts have no business here

    def say(self, kind: str, **facts: Any) -> None:
        """
        Report something.
        """
        self.write(json.dumps({"kind": kind, **facts}).encode())

    def write(self, line: bytes) -> None:
        """
        Write one report that is JSON already.
        """
        rest = memoryview(line + b"\n")
        with self._writing:
            while rest:
                rest = rest[os.write(self._report_fd, rest) :]

    async def ask(self, kind: str, **facts: Any) -> dict[str, Any]:
        """
        Ask the server something and wait for its answer.
        """
        return await asyncio.to_thread(self._exchange, kind, facts)

    def _exchange(self, kind: str, facts: dict[str, Any]) -> dict[str, Any]:
        with self._asking:
            self.say(kind, **facts)
            line = self._answers.readline()
        if not line:
            raise ConnectionError("The server has stopped listening to this call.")
        answer: dict[str, Any] = json.loads(line)
        return answer
