"""
What can go wrong between the command line and a server, and the exit code that says so.
"""

from __future__ import annotations

from typing import Any

from headrace.core.errors import ActiveJobError, CallerError, HeadraceError, RetriableError

COMPLETED, FAILED, USAGE, CANCELLED, REFUSED, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 4, 69, 130


class ServerUnreachableError(RetriableError):
    """Nothing answers where the server should be."""

    code = "server-unreachable"


class NoServerError(CallerError):
    """It is not known where the server is, or by which key it can be asked."""

    code = "no-server"


class ServerError(HeadraceError):
    """
    What a server answered instead of what it was asked for.

    Attributes:
        status: the HTTP status.
        answered_code: the code of the server's own error; ours when it sent none.
    """

    code = "server-error"

    def __init__(self, status: int, answered_code: str, reason: str, instruction: str = "", **facts: Any) -> None:
        super().__init__(reason, instruction, **facts)
        self.status = status
        self.answered_code = answered_code or self.code


def exit_code_of(error: HeadraceError) -> int:
    """
    Say by which exit code a command ends that raised *error*.
    """
    match error:
        case ServerError(answered_code=ActiveJobError.code):
            return REFUSED
        case ServerError(status=status):
            return UNREACHABLE if status in (429, 502, 503, 504) else USAGE if status < 500 else FAILED
        case ServerUnreachableError():
            return UNREACHABLE
        case CallerError():
            return USAGE
        case _:
            return FAILED


def code_of(error: HeadraceError) -> str:
    return error.answered_code if isinstance(error, ServerError) else error.code
