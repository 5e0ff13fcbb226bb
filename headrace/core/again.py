"""
Whether a step that failed is tried again, and with what.

A step that ran out of memory gets more, as its plan has it; one that made no progress gets another try as it is. Both stay within
one attempt of the job, so a sync goes on from its last checkpoint and nothing of the steps before is done again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from headrace.core.outcome import Failed
from headrace.core.plan import Step

_KILLED_CODE = 128 + 9  # how a shell tells of a child that SIGKILL ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """
    One more try of a step.

    Attributes:
        memory_bytes: the limit of the coming try.
    """

    reason: Literal["memory", "stuck"]
    sentence: str
    memory_bytes: int | None

    def told(self) -> dict[str, Any]:
        """
        Give it as the step's output and the job's history keep it.
        """
        return {"reason": self.reason, "sentence": self.sentence, "memory_bytes": self.memory_bytes}


def next_try(step: Step, failed: Failed, earlier: Sequence[Mapping[str, Any]]) -> Retry | None:
    """
    Say with what a failed step is tried again; None when it is not.

    *earlier* are the tries before this one, as `Retry.told` gives them.
    """
    reason = _reason(failed)
    if reason is None:
        return None
    before = sum(1 for retry in earlier if retry.get("reason") == reason)
    if reason == "stuck":
        if before >= step.again.stuck_tries:
            return None
        return Retry(reason=reason, sentence=failed.cause.sentence, memory_bytes=memory_limit(step, earlier))
    if before >= len(step.again.memory_bytes):
        return None
    return Retry(reason=reason, sentence=failed.cause.sentence, memory_bytes=step.again.memory_bytes[before])


def memory_limit(step: Step, earlier: Sequence[Mapping[str, Any]]) -> int | None:
    """
    Give the memory limit that a step runs with after the tries *earlier*.
    """
    limit: int | None = earlier[-1].get("memory_bytes") if earlier else step.limits.memory_bytes
    return limit


def _reason(failed: Failed) -> Literal["memory", "stuck"] | None:
    evidence = failed.cause.evidence
    match evidence.get("limit"):
        case "memory":
            return "memory"
        case "no-progress":
            return "stuck"
        case None:
            # A SIGKILL of nobody's limit: the kernel ends so what takes the machine's or its group's last memory.
            killed = evidence.get("signal") == "SIGKILL" or evidence.get("exit_code") == _KILLED_CODE
            return "memory" if killed or evidence.get("exception") == "MemoryError" else None
        case _:
            return None
