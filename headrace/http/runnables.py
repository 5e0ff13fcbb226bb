"""
What dialects offer to be run by its name, beside flows: how the core API asks for it, whichever dialect it belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from headrace.core.actor import Actor
from headrace.core.errors import NotFoundError
from headrace.core.job import Job
from headrace.services.access import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Runnable:
    """
    Attributes:
        project: the folder that it stands in; empty where the dialect has none.
        id: what its schedules name as their definition.
        held: why it cannot be run now, as a sentence; empty when it can.
        paused: None where the kind cannot be paused.
    """

    project: str = ""
    id: str
    name: str
    description: str = ""
    held: str = ""
    paused: bool | None = None


class Runnables(Protocol):
    """One kind of definitions."""

    async def of_workspace(self, workspace: Workspace) -> Sequence[Runnable]:
        """
        List what a workspace has of the kind.
        """
        ...

    async def run(
        self, actor: Actor, workspace: Workspace, project: str, name: str, *, idempotency_key: str | None
    ) -> Job:
        """
        Run one, by its name or id; whoever calls has checked the actor's scope.

        Raises:
            NotFoundError: the workspace has none of that name.
            ActiveJobError: a job of it has not ended, and it does not queue.
        """
        ...


class Pausables(Runnables, Protocol):
    """A kind that can be paused; whoever calls has checked the actor's scope. Asked again, both change nothing."""

    async def pause(self, actor: Actor, workspace: Workspace, project: str, name: str) -> Runnable:
        """
        Start no more jobs of one, and no more items of the job that runs; give how it is now.

        Raises:
            NotFoundError: the workspace has none of that name.
        """
        ...

    async def resume(self, actor: Actor, workspace: Workspace, project: str, name: str) -> Runnable:
        """
        Let one go on, and its paused job; give how it is now. Raises like `pause`.
        """
        ...


class NothingToRun:
    """A server without the dialect."""

    async def of_workspace(self, workspace: Workspace) -> Sequence[Runnable]:
        return ()

    async def run(
        self, actor: Actor, workspace: Workspace, project: str, name: str, *, idempotency_key: str | None
    ) -> Job:
        raise _none(workspace, name)

    async def pause(self, actor: Actor, workspace: Workspace, project: str, name: str) -> Runnable:
        raise _none(workspace, name)

    async def resume(self, actor: Actor, workspace: Workspace, project: str, name: str) -> Runnable:
        raise _none(workspace, name)


def _none(workspace: Workspace, name: str) -> NotFoundError:
    return NotFoundError(f"There is no {name!r} in workspace {workspace.name!r}.")
