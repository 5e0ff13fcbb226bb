"""
Why a run failed, in Intuned's codes: those are closed lists of its published clients (2025, 2026).
"""

from __future__ import annotations

from typing import Any, Final

from headrace.core.auth_session import LOST, MISSING, REFUSED
from headrace.core.fan_out import Item
from headrace.core.outcome import Cause

# From the codes of our causes to those of the wire, with category and the status that sinks are told.
CODES: Final[dict[str, tuple[str, str, int]]] = {
    "exception": ("script-execution-exception", "execution", 500),
    "timeout": ("script-timeout", "execution", 504),
    "result-too-large": ("result-too-big-error", "execution", 500),
    "no-output": ("script-no-valid-output-received", "execution", 500),
    "crashed": ("script-process-crashed", "execution", 500),
    "not-found": ("script-unexpected-error", "user", 400),
    "invalid": ("script-unexpected-error", "user", 400),
    "auth-check-failed": ("auth-check-failed", "auth", 500),
    "check-attempts-failed": ("check-attempts-failed", "auth", 500),
    "create-attempts-failed": ("create-attempts-failed", "auth", 500),
    "post-create-check-attempts-failed": ("post-create-check-attempts-failed", "auth", 500),
    MISSING: ("auth-check-failed", "auth", 500),
    "internal": ("internal-server-error", "infrastructure", 500),
}
_UNEXPECTED: Final = ("unexpected", "infrastructure", 500)
TERMINATED: Final = "job-terminated"
SURPLUS: Final = "job-full"
ANOTHER: Final = "another-job-active"

# Of a job run whose session is not valid, and of its runs.
SESSION_REASONS: Final = {
    REFUSED: "auth-session-validate-dependency-failed",
    MISSING: "auth-session-not-found",
    LOST: "auth-session-invalid-mid-job",
}


def code_of(cause: Cause | None) -> str:
    return str(cause.evidence.get("code", "")) if cause else ""


def underlying(cause: Cause | None) -> dict[str, Any]:
    """
    Say which error of a session is behind a reason.
    """
    code = cause.evidence.get("error") if cause else None
    return {"details": {"code": CODES[code][0]}} if code in CODES else {}


def error_of(item: Item) -> dict[str, Any]:
    """
    Say why a run failed. After several tries the code says so, and the details say how the last one failed.
    """
    code, category, _ = CODES.get(code_of(item.cause), _UNEXPECTED)
    message = item.cause.sentence if item.cause else "The run failed."
    details: dict[str, Any] = {"attempts_count": max(1, item.failures)}
    if item.failures > 1:
        details["last_error"] = {"code": code, "message": message}
        code, category = "api-attempts-failed", "execution"
    return {"message": message, "code": code, "category": category, "retirable": False, "details": details}


def status_code_of(item: Item) -> int:
    """
    Give the HTTP status by which a sink is told how a run failed.
    """
    return CODES.get(code_of(item.cause), _UNEXPECTED)[2]
