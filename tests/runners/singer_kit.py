"""
Singer lines by the piece, and a sync run over them: in this process where a rule is looked at, as a child where the process itself is.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from headrace.runners.report import Reporter
from headrace.runners.sync_output import SyncOutput
from headrace.runners.sync_spec import Limits, SyncSpec, write_spec

TIMESTAMP = "20260102T030405"
REPOSITORY = Path(__file__).parents[2]
DEADLINE_SECONDS = 60

INTEGER = {"type": ["null", "integer"]}
NUMBER = {"type": ["null", "number"]}
TEXT = {"type": ["null", "string"]}
BOOLEAN = {"type": ["null", "boolean"]}
DATETIME = {"type": ["null", "string"], "format": "date-time"}
OBJECT = {"type": ["null", "object"]}
ARRAY = {"type": ["null", "array"]}


def schema(properties: dict[str, Any], stream: str = "t", keys: Iterable[str] = ("id",)) -> str:
    message = {"type": "SCHEMA", "stream": stream, "key_properties": list(keys)}
    return json.dumps({**message, "schema": {"type": "object", "properties": properties}})


def record(values: dict[str, Any], stream: str = "t") -> str:
    return json.dumps({"type": "RECORD", "stream": stream, "record": values})


def state(value: Any) -> str:
    return json.dumps({"type": "STATE", "value": value})


def bookmark(number: int, stream: str = "t") -> str:
    return state({"bookmarks": {stream: {"replication_key": "id", "replication_key_value": number}}})


def stream_of(*lines: str | bytes) -> bytes:
    return b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines)


@dataclass
class Synced:
    """
    What a sync left behind.
    """

    exit: int
    spec: SyncSpec
    reports: list[dict[str, Any]] = field(default_factory=list)

    @property
    def finished(self) -> dict[str, Any]:
        assert [report["kind"] for report in self.reports].count("finished") == 1
        return self.reports[-1]

    @property
    def error_code(self) -> str | None:
        error = self.finished["error"]
        return error and error["code"]

    def path(self, stream: str = "t") -> Path:
        name = next(file["name"] for file in self.finished["files"] if file["stream"] == stream)
        return self.spec.output_dir / name

    def rows(self, stream: str = "t") -> list[dict[str, Any]]:
        return pq.read_table(self.path(stream)).to_pylist()

    def files(self) -> list[str]:
        return sorted(path.name for path in self.spec.output_dir.iterdir() if path.name != "job_metrics.json")

    def metrics(self) -> dict[str, int]:
        return json.loads((self.spec.output_dir / "job_metrics.json").read_text())["recordCount"]

    def quarantine(self, stem: str = "t") -> list[dict[str, Any]]:
        path = self.spec.work_dir / "quarantine" / f"{stem}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [report for report in self.reports if report["kind"] == kind]


def spec_in(folder: Path, **options: Any) -> SyncSpec:
    if isinstance(options.get("limits"), dict):
        options["limits"] = Limits(**options["limits"])
    return SyncSpec(folder / "sync-output", folder / "work", TIMESTAMP, **options)


def sync(folder: Path, *lines: str | bytes, raw: bytes | None = None, **options: Any) -> Synced:
    """
    A whole sync in this process.
    """
    folder.mkdir(exist_ok=True)
    spec = spec_in(folder, **options)
    source, report = folder / "in.singer", folder / "report.jsonl"
    source.write_bytes(stream_of(*lines) if raw is None else raw)
    with report.open("wb") as file:
        code = SyncOutput(spec, Reporter(file.fileno())).run(os.open(source, os.O_RDONLY))
    return Synced(code, spec, [json.loads(line) for line in report.read_text().splitlines()])


class Child:
    """
    A data-plane process under a test: its reports are read as they come.
    """

    def __init__(self, module: str, spec_path: Path, report_fds: tuple[int, int], **options: Any) -> None:
        read_fd, write_fd = report_fds
        self.reports: list[dict[str, Any]] = []
        self._arrived = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(read_fd,))
        self._thread.start()
        pass_fds = (write_fd, *options.pop("pass_fds", ()))
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"headrace.runners.{module}", str(spec_path)],
            cwd=REPOSITORY,
            pass_fds=pass_fds,
            stdin=subprocess.PIPE,
            bufsize=0,
            **options,
        )
        os.close(write_fd)

    def _read(self, fd: int) -> None:
        with os.fdopen(fd) as file:
            for line in file:
                with self._arrived:
                    self.reports.append(json.loads(line))
                    self._arrived.notify_all()

    def write(self, *lines: str) -> None:
        self.write_bytes(stream_of(*lines))

    def write_without_end(self, *lines: str) -> None:
        """
        Write until nobody reads; raises BrokenPipeError then, and AssertionError if somebody reads a gigabyte of it.
        """
        data = stream_of(*lines)
        for _ in range((1 << 30) // len(data)):
            self.write_bytes(data)
        raise AssertionError("nobody closed the pipe")

    def write_bytes(self, data: bytes) -> None:
        assert self.process.stdin is not None
        left = memoryview(data)
        while left:
            left = left[self.process.stdin.write(left) :]

    def wait_for(self, kind: str) -> dict[str, Any]:
        """
        The first report of that kind, waited for.
        """
        with self._arrived:
            found = self._arrived.wait_for(
                lambda: next((report for report in self.reports if report["kind"] == kind), None), DEADLINE_SECONDS
            )
        assert found, f"no {kind} report within {DEADLINE_SECONDS} s"
        return found

    def end(self) -> int:
        """
        Close its input, wait for its end and its last report.
        """
        if self.process.stdin is not None:
            self.process.stdin.close()
        code = self.process.wait(DEADLINE_SECONDS)
        self._thread.join(DEADLINE_SECONDS)
        return code

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)
        self._thread.join(DEADLINE_SECONDS)
        assert self.process.stdin is not None
        self.process.stdin.close()


def start_sync(folder: Path, limit_file_bytes: int | None = None, **options: Any) -> tuple[Child, SyncSpec]:
    """
    A sync as a child process with its standard input open.
    """
    fds = os.pipe()
    spec = spec_in(folder, report_fd=fds[1], **options)
    path = folder / "spec.json"
    write_spec(spec, path)
    limit = (
        None if limit_file_bytes is None else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit_file_bytes,) * 2)
    )
    return Child("sync_output", path, fds, preexec_fn=limit), spec


def synced(child: Child, spec: SyncSpec) -> Synced:
    code = child.end()
    return Synced(code, spec, child.reports)
