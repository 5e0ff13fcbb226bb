"""
The calls of Intuned's clients on a whole server, and a sink that listens.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2

from acceptance.running_server import RunningServer, eventually

_ON_THEIR_WAY = ("pending", "started", "in_progress")


def _has_ended(record: dict[str, Any]) -> bool:
    return record["end_time"] is not None


class IntunedClient:
    """
    Args:
        project: whose calls they are.
        patient: makes a call again while the server comes back.
    """

    def __init__(self, server: RunningServer, project: str, *, patient: bool = False) -> None:
        self.server = server
        self._place = f"/intuned/api/v1/workspace/demo/projects/{project}"
        self._patient = patient

    def __call__(self, method: str, path: str, body: Any = None, *, status: int | None = None) -> Any:
        """
        Make one call that succeeds, with *status* where one is given.
        """
        reply = eventually(lambda: self._asked(method, path, body), seconds=60, what=f"an answer to {method} {path}")
        assert reply.is_success if status is None else reply.status_code == status, reply.text
        return reply.json() if reply.content else None

    def _asked(self, method: str, path: str, body: Any) -> httpx2.Response | None:
        try:
            reply = self.server.client.request(method, self._place + path, json=body)
        except httpx2.TransportError:
            if not self._patient:
                raise
            return None
        return None if self._patient and reply.status_code >= 500 else reply

    def ended(self, path: str) -> dict[str, Any]:
        """
        Wait for the result of a run, or of an operation on a login.
        """

        def over() -> dict[str, Any] | None:
            result: dict[str, Any] = self("GET", path)
            return result if result["status"] not in _ON_THEIR_WAY else None

        return eventually(over, seconds=120, what=f"{path} has ended")

    def job_run(
        self,
        job: str,
        run: str,
        is_so: Callable[[dict[str, Any]], bool] = _has_ended,
        *,
        what: str = "the job run has ended",
        seconds: float = 120.0,
    ) -> dict[str, Any]:
        """
        Wait until a job run is as *is_so* wants it; gives what is told of it, `jobRun` and `results`.
        """

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self("GET", f"/jobs/{job}/runs/{run}")
            return found if is_so(found["jobRun"]) else None

        return eventually(look, seconds=seconds, what=what)


@contextmanager
def listening(take: Callable[[dict[str, Any], Message], int]) -> Iterator[str]:
    """
    Listen as a sink does; gives its address. *take* is told each body and its headers, and says the status of the answer.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(take(body, self.headers))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """
            Say nothing.
            """

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as sink:
        thread = threading.Thread(target=sink.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{sink.server_port}/"
        sink.shutdown()
        thread.join()
