"""
What the runner of an automation is asked for one try of one item.

The runner is `async def run_item(stage: Stage, call: ItemCall) -> ItemEnd`. It starts the children on the stage, watches the time and hands
back how it ended: `Succeeded` with the result's JSON and what the function asked for besides, or `Failed`. The evidence of a failure's
cause holds a `code`: `exception`, `timeout`, `result-too-large`, `no-output`, `crashed`, `not-found`, `invalid` or `auth-check-failed`; `fatal`
says that trying again cannot help. JSON that it hands on must be such that msgspec reads it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from headrace.core.fan_out import ItemEnd
from headrace.core.outcome import Blame, Cause, Failed
from headrace.runners.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemCall:
    """
    One call of a function of a project.

    Attributes:
        folder: the project, as it was when the job was asked for; not to be written to.
        name: of the function: its path below `api/`, without extension.
        parameters: JSON object, as bytes.
        timeout_seconds: of this try; a function that extends its time has it whole again.
        attempt: number of the try, from 1; interrupted ones count.
        batch: name of the definition that the job was made of, if it was.
        grows: whether further items will be run; else they are only reported.
        proxy: URL, with its password.
        options: plain values, such as `save_trace`.
        kind: `api`; `create` makes a login and has its state as result, `check` says whether one still holds.
        session: JSON of a login's state, as `create` gave it; for `check`, and for functions that need one.
        session_parameters: JSON object that the login was made with.
        session_name: what the login is called.
    """

    folder: Path
    name: str
    parameters: bytes
    timeout_seconds: float
    attempt: int
    workspace_id: UUID
    project: str
    job_id: UUID
    item_id: str
    grows: bool
    batch: str | None = None
    proxy: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    kind: Literal["api", "create", "check"] = "api"
    session: bytes | None = None
    session_parameters: bytes | None = None
    session_name: str | None = None


RunItem = Callable[[Stage, ItemCall], Awaitable[ItemEnd]]


async def no_runtime(_stage: Stage, call: ItemCall) -> ItemEnd:
    """
    Fail every item: this server has nothing to run automations with.
    """
    cause = Cause(
        call.name,
        "This server has no runtime for automations.",
        who=Blame.OPERATOR,
        instruction="Install a version of Headrace that has one.",
        evidence={"code": "internal"},
    )
    return ItemEnd(outcome=Failed(cause, fatal=True))
