"""
What Intuned's paths name: a workspace, a project in it, a job in that; and who asks.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from headrace.core.actor import Scope
from headrace.core.batch import AutomationProject, Batch
from headrace.core.errors import NotFoundError
from headrace.dialects.intuned.ids import project_id
from headrace.dialects.intuned.run import Place, StartAutomations
from headrace.dialects.intuned.schedules import SubmitScheduledJob
from headrace.dialects.intuned.values import parse_uuid
from headrace.http.auth import actor_of
from headrace.services.access import Access
from headrace.services.auth_sessions import AuthSessions
from headrace.services.automations import Automations, Workspace
from headrace.services.batch_schedules import BatchSchedules
from headrace.services.batches import Batches
from headrace.services.fan_outs import FanOuts
from headrace.services.job_files import JobFiles
from headrace.services.jobs import Jobs
from headrace.services.result_links import ResultLinks


@dataclass(frozen=True, slots=True, kw_only=True)
class IntunedServices:
    """What this wire asks."""

    access: Access
    automations: Automations
    batches: Batches
    fan_outs: FanOuts
    files: JobFiles
    jobs: Jobs
    links: ResultLinks
    schedules: BatchSchedules
    sessions: AuthSessions
    start: StartAutomations
    submit_scheduled: SubmitScheduledJob


class Places:
    """
    Finds what a path names. Whoever asks is known before anything else of the request is looked at.
    """

    def __init__(self, services: IntunedServices) -> None:
        self._services = services

    async def workspace(self, request: Request, scope: Scope) -> Workspace:
        """
        Raises:
            UnauthenticatedError: no key, or one that is not known.
            NotFoundError: there is no such workspace, or not for this actor.
            ForbiddenError: the key lacks *scope*.
        """
        actor = await actor_of(request, self._services.access)
        return await self._services.access.workspace(actor, request.path_params["workspace"], scope)

    async def project(self, request: Request, scope: Scope) -> Place:
        """
        Raises:
            NotFoundError: there is no such project either.
        """
        actor = await actor_of(request, self._services.access)
        workspace = await self._services.access.workspace(actor, request.path_params["workspace"], scope)
        return Place(actor=actor, workspace=workspace, project=self._project(workspace, request.path_params["project"]))

    async def batch(self, request: Request, scope: Scope) -> tuple[Place, Batch]:
        """
        Raises:
            NotFoundError: there is no such job in the project either.
        """
        place = await self.project(request, scope)
        found = await self._services.batches.get(place.workspace.id, place.project.name, request.path_params["job"])
        return place, found

    def _project(self, workspace: Workspace, name_or_id: str) -> AutomationProject:
        # No project's name is a UUID, so a UUID is an id.
        wanted = parse_uuid(name_or_id)
        if wanted is None:
            return self._services.automations.get(workspace, name_or_id)
        for project in self._services.automations.of_workspace(workspace):
            if project_id(workspace.id, project.name) == wanted:
                return project
        raise NotFoundError(f"There is no project {name_or_id!r}.", "List the projects of the workspace.")
