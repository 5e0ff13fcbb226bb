"""
What can go wrong, grouped by what the reader can do about it.

Errors know no HTTP: each wire has one table from error to status and body. No secret ever enters a reason.
"""

from __future__ import annotations

from typing import Any, ClassVar


class HeadraceError(Exception):
    """
    Something happened that a person or a program has to act on.

    Args:
        reason: what happened, one sentence, safe to show to the caller.
        instruction: the next move, one sentence; empty when there is none.
        facts: the evidence as plain JSON values.
    """

    code: ClassVar[str] = "error"

    def __init__(self, reason: str, instruction: str = "", **facts: Any) -> None:
        super().__init__(reason)
        self.reason = reason
        self.instruction = instruction
        self.facts = facts

    def __str__(self) -> str:
        return f"{self.reason} {self.instruction}".strip()


class CallerError(HeadraceError):
    """The caller mends it: repeating the same call cannot help."""

    code = "invalid"


class InvalidError(CallerError):
    """A value is malformed or of the wrong type."""

    code = "invalid"


class NotFoundError(CallerError):
    """It does not exist, or not for this actor."""

    code = "not-found"


class ConflictError(CallerError):
    """It clashes with what is there."""

    code = "conflict"


class ActiveJobError(ConflictError):
    """A job that holds the exclusivity key is not finished yet."""

    code = "active-job"


class RootTakenError(ConflictError):
    """Another job has the root that was made up for this one; make up another."""

    code = "root-taken"


class OwnedByFolderError(ConflictError):
    """The project folder defines it; nothing is deployed over it unasked."""

    code = "owned-by-folder"


class FinalStateError(ConflictError):
    """The job has ended; a final state is final."""

    code = "final-state"


class UnauthenticatedError(CallerError):
    """No key, or one that is not known."""

    code = "unauthenticated"


class ForbiddenError(CallerError):
    """The key is known and may not do this."""

    code = "forbidden"


class TooLargeError(CallerError):
    """A body, record or file is over its limit."""

    code = "too-large"


class DefinitionError(CallerError):
    """A file of the project folder is wrong; the last good version stays in force."""

    code = "definition-invalid"


class RetriableError(HeadraceError):
    """Waiting and trying again can help."""

    code = "unavailable"


class StoreUnavailableError(RetriableError):
    """The database or the file store did not answer; nothing was changed."""

    code = "store-unavailable"


class BackpressureError(RetriableError):
    """A cap is reached (queue depth, connections)."""

    code = "backpressure"


class FatalError(HeadraceError):
    """A person must look."""

    code = "fatal"


class FencedError(FatalError):
    """Somebody else owns the attempt now: write nothing more, end the children."""

    code = "fenced"


class EnvironmentBuildError(FatalError):
    """The environment of a connector or script could not be built."""

    code = "environment-build-failed"


class EmbeddedDatabaseError(FatalError):
    """The embedded PostgreSQL could not be prepared or started."""

    code = "embedded-database-failed"


class SecretError(FatalError):
    """A secret cannot be opened with the keys that are here."""

    code = "secret-unreadable"


class SpawnError(FatalError):
    """A child process could not be started."""

    code = "spawn-failed"


class ChildrenRemainError(FatalError):
    """Child processes survived SIGKILL; the kernel does not let them go."""

    code = "children-remain"


class ShimLostError(RetriableError):
    """The supervisor of a step's children was killed, and the children with it."""

    code = "shim-lost"
