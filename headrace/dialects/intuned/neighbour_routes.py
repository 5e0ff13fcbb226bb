"""
Calls of Intuned's own tools that this server answers with what to do instead: a project is a folder here, and is not uploaded.

Source: the vendor's command line (Python, 1.3.12), which saves a project and deploys it by these calls, and its newer Python client.
"""

from __future__ import annotations

from typing import NoReturn

from starlette.requests import Request
from starlette.routing import Route

from headrace.core.actor import Scope
from headrace.core.errors import InvalidError
from headrace.dialects.intuned.places import IntunedServices, Places


class NeighbourRoutes:
    """
    One method a kind of refusal; who asks is known before it is told.
    """

    def __init__(self, services: IntunedServices) -> None:
        self._places = Places(services)

    def routes(self) -> list[Route]:
        project = "/{workspace}/projects/{project}"
        return [
            Route(project, self.upload, methods=["PUT"]),
            Route(project + "/deploy", self.upload, methods=["POST"]),
            Route(project + "/deploy/result", self.upload, methods=["GET"]),
            Route("/{workspace}/web-tasks/start", self.web_task, methods=["POST"]),
            Route("/{workspace}/web-tasks/{task}/result", self.web_task, methods=["GET"]),
        ]

    async def upload(self, request: Request) -> NoReturn:
        await self._places.workspace(request, Scope.READ)
        name = request.path_params["project"]
        raise InvalidError(
            "This server takes projects from its project folder, not by upload.",
            f"Put the project into automations/{name} there: it comes into force within a second.",
        )

    async def web_task(self, request: Request) -> NoReturn:
        await self._places.workspace(request, Scope.READ)
        raise InvalidError("Web tasks are a service of Intuned's own.", "Write an automation, and start a run of it.")
