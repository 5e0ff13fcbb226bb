"""
Who asks, and what they may do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from headrace.core.errors import ForbiddenError, NotFoundError


class Scope(StrEnum):
    READ = "read"  # how jobs, flows and schedules stand; logs
    DATA = "data"  # the files of jobs: customers' records
    RUN = "run"  # submit, cancel, replay
    LINK = "link"  # connections, schedules, tenants
    SECRETS = "secrets"  # see connection settings
    DEFINE = "define"  # flows, connectors, webhooks
    KEYS = "keys"


ROLE_SCOPES: dict[str, frozenset[Scope]] = {
    "admin": frozenset(Scope),
    "environment": frozenset({Scope.READ, Scope.DATA, Scope.RUN, Scope.LINK, Scope.SECRETS, Scope.DEFINE}),
    "developer": frozenset({Scope.READ, Scope.DATA, Scope.RUN, Scope.LINK, Scope.SECRETS, Scope.DEFINE}),
    "viewer": frozenset({Scope.READ}),
    "public": frozenset({Scope.READ, Scope.RUN, Scope.LINK}),
}


@dataclass(frozen=True, slots=True)
class Actor:
    """
    The holder of a key.

    Attributes:
        workspace_id: the one workspace the key opens; None opens all.
        of_job: it is a child process of a running job, not somebody outside.
    """

    key_id: UUID
    name: str
    role: str
    workspace_id: UUID | None
    of_job: bool = False

    def may(self, scope: Scope) -> bool:
        return scope in ROLE_SCOPES[self.role]

    def require(self, scope: Scope, workspace_id: UUID | None = None) -> None:
        """
        Refuse what this actor may not do.

        Raises:
            NotFoundError: the workspace is not theirs; that it exists is none of their business.
            ForbiddenError: the key lacks the scope.
        """
        if workspace_id is not None and self.workspace_id not in (None, workspace_id):
            raise NotFoundError("There is no such workspace.")
        if not self.may(scope):
            raise ForbiddenError(
                f"A key of role {self.role} lacks the right `{scope}`.",
                "Use a key with more rights, or ask an administrator.",
            )
