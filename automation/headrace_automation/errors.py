"""
Errors of the runtime: those that a function raises on purpose, and those that tell its author what is wrong with the project.
"""

from __future__ import annotations


class AutomationError(Exception):
    """
    Base of this package's errors.
    """


class NonRetryableError(AutomationError):
    """
    Raised by a function that knows that trying again cannot help.
    """


class NoCallError(AutomationError):
    """
    Something was asked that only a running call can have, such as its session's parameters.
    """


class RefusedError(AutomationError):
    """
    The call cannot be made, or what came of it cannot be handed on.

    Args:
        code: `not-found`, `invalid`, `no-output`, `result-too-large` or `auth-check-failed`.
        sentence: what is wrong, for the project's author.
        instruction: the next move.
        retryable: whether the same call may go better another time.
    """

    def __init__(self, code: str, sentence: str, instruction: str = "", *, retryable: bool = False) -> None:
        super().__init__(sentence)
        self.code = code
        self.instruction = instruction
        self.retryable = retryable
