"""
The call that this process runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace_automation.channel import Channel
from headrace_automation.errors import NoCallError


@dataclass(frozen=True, kw_only=True)
class Call:
    """
    What the server asked for, in its own words.

    Attributes:
        project: folder of the project.
        output: folder in which the call may leave files, such as its trace.
        kind: `api`, or `create` and `check` of a session.
        name: of the function: its path below `api/`, without extension.
        result_limit_bytes: largest result, as UTF-8 JSON.
        ids: `run_id`, `job_run_id` and their like.
        options: `browser`, `save_trace` and what else the project's settings say.
        session: stored state of a login: `cookies`, `origins` and `session_storage`.
        session_parameters: what the login was made with; None for a call without one.
        driver_folder: of the Playwright driver that the server lends; None where it lends none.
    """

    project: Path
    output: Path
    kind: str = "api"
    name: str
    parameters: dict[str, Any] | None = None
    result_limit_bytes: int = 2 * 2**20
    ids: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    proxy: str | None = None
    session: Mapping[str, Any] | None = None
    session_parameters: Mapping[str, Any] | None = None
    driver_folder: str | None = None

    @staticmethod
    def read(value: dict[str, Any]) -> Call:
        """
        Read what the server sent; fields that a newer one added are passed over.
        """
        known = {name: value[name] for name in Call.__dataclass_fields__ if name in value}
        return Call(**{**known, "project": Path(known["project"]), "output": Path(known["output"])})


class Running:
    """
    A call on its way, with what it has noted so far.
    """

    def __init__(self, call: Call, channel: Channel) -> None:
        self.call = call
        self.channel = channel
        self.kept: dict[str, Any] = {}
        self.attributes: dict[str, Any] = {}
        self.extended_at = float("-inf")


_now: list[
    Running
] = []  # a process runs one call; threads of the function ask for it too, so it is no context variable


def begin(running: Running) -> None:
    """
    Make *running* what this process's questions are about.
    """
    _now[:] = [running]


def running() -> Running | None:
    """
    Give the call that runs now; None outside of one, as in an author's own tests.
    """
    return _now[0] if _now else None


def needed() -> Running:
    """
    Give the call that runs now.

    Raises:
        NoCallError: there is none.
    """
    if not _now:
        raise NoCallError("No call is running; this can only be asked by a function that Headrace runs.")
    return _now[0]
