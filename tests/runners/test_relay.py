"""
The streaming relay: its table of endings, line by line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from headrace.runners.relay import RelaySpec
from tests.runners.singer_kit import (
    DEADLINE_SECONDS,
    INTEGER,
    Child,
    bookmark,
    record,
    schema,
    stream_of,
)


class Target:
    """
    The reading end of the target's standard input, read to its end in a thread.
    """

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()
        self.received = bytearray()
        self._some = threading.Condition()
        self._thread = threading.Thread(target=self._read)

    def start(self) -> None:
        self._thread.start()

    def _read(self) -> None:
        while chunk := os.read(self.read_fd, 1 << 16):
            with self._some:
                self.received += chunk
                self._some.notify_all()
        os.close(self.read_fd)

    def wait_for(self, data: bytes) -> None:
        with self._some:
            assert self._some.wait_for(lambda: data in self.received, DEADLINE_SECONDS)

    def end(self) -> bytes:
        self._thread.join(DEADLINE_SECONDS)
        return bytes(self.received)


def start_relay(folder: Path, target: Target, **options: object) -> Child:
    """
    A relay whose tap is this test, by the child's standard input.
    """
    fds = os.pipe()
    path = folder / "relay.json"
    path.write_bytes(msgspec.json.encode(RelaySpec(0, target.write_fd, fds[1], **options)))  # type: ignore[arg-type]
    child = Child("relay", path, fds, pass_fds=(target.write_fd,))
    os.close(target.write_fd)
    return child


def records(count: int) -> list[str]:
    return [record({"id": number}) for number in range(count)]


def test_everything_is_forwarded_byte_for_byte_and_counted(tmp_path: Path):
    """
    Tap ends first and well: the rest is forwarded, both sides are closed, nobody is to blame.
    """
    target = Target()
    target.start()
    child = start_relay(tmp_path, target)
    lines = [schema({"id": INTEGER}), "noise", *records(20_000), bookmark(5), *records(10), bookmark(7)]
    child.write(*lines)

    assert child.end() == 0
    assert target.end() == stream_of(*lines)
    finished = child.reports[-1]
    assert (finished["kind"], finished["counts"], finished["schemas_seen"]) == ("finished", {"t": 20_010}, 1)
    assert finished["state"] == json.loads(bookmark(7))["value"]
    assert (finished["noise"], finished["target_closed"], finished["error"]) == (1, False, None)


def test_a_line_goes_on_at_once_and_progress_is_told(tmp_path: Path):
    """
    Nothing waits in the relay for more to come.
    """
    target = Target()
    target.start()
    child = start_relay(tmp_path, target)
    child.write(schema({"id": INTEGER}), record({"id": 1}))
    target.wait_for(record({"id": 1}).encode())

    assert child.wait_for("progress")["counts"] == {"t": 1}
    assert child.end() == 0
    target.end()


def test_a_target_that_leaves_early_is_told_and_the_tap_meets_a_closed_pipe(tmp_path: Path):
    """
    A target that exits while the tap writes: the relay ends well and says so; the worker lays the blame.
    """
    target = Target()
    child = start_relay(tmp_path, target)
    os.close(target.read_fd)
    with pytest.raises(BrokenPipeError):
        child.write_without_end(*records(100))

    assert child.end() == 0
    assert child.reports[-1]["target_closed"] is True
    assert child.reports[-1]["error"] is None


def test_a_target_that_leaves_while_the_tap_is_silent_is_noticed(tmp_path: Path):
    """
    No need to wait for the tap's next line, which may come in an hour.
    """
    target = Target()
    child = start_relay(tmp_path, target)
    child.write(schema({"id": INTEGER}))
    child.wait_for("progress")
    os.close(target.read_fd)

    assert child.wait_for("finished")["target_closed"] is True
    assert child.process.wait(DEADLINE_SECONDS) == 0
    child.end()


def test_a_target_that_leaves_what_the_pipe_still_held_is_noticed(tmp_path: Path):
    """
    The tap has ended well and its last lines lie in the target's pipe: they were not written by anybody, so that is no success.
    """
    target = Target()
    child = start_relay(tmp_path, target)
    child.write(schema({"id": INTEGER}), *records(100))
    assert child.process.stdin is not None
    child.process.stdin.close()
    os.read(target.read_fd, 100)
    os.close(target.read_fd)

    assert child.wait_for("finished")["target_closed"] is True
    assert child.process.wait(DEADLINE_SECONDS) == 0
    child.end()


def test_a_tap_cut_in_a_line_is_a_named_error(tmp_path: Path):
    """
    The target got the cut line too; the report says that it was cut.
    """
    target = Target()
    target.start()
    child = start_relay(tmp_path, target)
    child.write_bytes(stream_of(schema({"id": INTEGER}), record({"id": 1})) + b'{"type": "RECORD", "str')

    assert child.end() == 65
    assert target.end().endswith(b'"str')
    finished = child.reports[-1]
    assert (finished["error"]["code"], finished["truncated_line"]) == ("line-truncated", '{"type": "RECORD", "str')
    assert finished["counts"] == {"t": 1}


@pytest.mark.parametrize(
    ("options", "lines", "code"),
    [
        ({"max_records": 100}, records(200), "record-limit"),
        ({"max_records": {"t": 100}}, records(200), "record-limit"),
        ({"max_line_bytes": 1000}, [record({"id": "x" * 5000})], "line-too-long"),
    ],
)
def test_a_limit_ends_both_sides(tmp_path: Path, options: dict[str, object], lines: list[str], code: str):
    """
    With the same errors as a sync.
    """
    target = Target()
    target.start()
    child = start_relay(tmp_path, target, **options)
    child.write(schema({"id": INTEGER}), *lines)

    assert child.wait_for("finished")["error"]["code"] == code
    assert child.process.wait(DEADLINE_SECONDS) == 65
    target.end()
    child.end()


def test_a_slow_target_holds_the_tap_at_a_constant_size(tmp_path: Path):
    """
    Backpressure is the pipes'; the relay keeps nothing.
    """
    target = Target()
    child = start_relay(tmp_path, target)
    line = stream_of(record({"id": 1, "a": "x" * 1000})) * 1000
    writer = threading.Thread(target=lambda: [child.write_bytes(line) for _ in range(40)])
    writer.start()
    child.wait_for("progress")  # it has forwarded some and waits now
    target.start()
    writer.join(DEADLINE_SECONDS)

    assert child.end() == 0
    assert target.end() == line * 40
    assert child.reports[-1]["counts"] == {"t": 40_000}


def test_the_relay_runs_between_any_two_descriptors(tmp_path: Path):
    """
    By default it is a filter: standard input to standard output.
    """
    path = tmp_path / "relay.json"
    path.write_text("{}")
    data = stream_of(schema({"id": INTEGER}), *records(1000))

    ended = subprocess.run(
        [sys.executable, "-m", "headrace.runners.relay", str(path)], input=data, capture_output=True, check=True
    )

    assert ended.stdout == data
