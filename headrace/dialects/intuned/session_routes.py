"""
Intuned's paths for auth sessions.

Not symmetrical: the starts of create and update have no `/start` at their end, that of validate has (published clients, 2025 and 2026).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Scope
from headrace.core.auth_session import AuthSession
from headrace.core.errors import InvalidError, NotFoundError
from headrace.core.fan_out import Item
from headrace.core.job import Job
from headrace.dialects.intuned.checks import check_session_id
from headrace.dialects.intuned.places import IntunedServices, Places
from headrace.dialects.intuned.project_runs import run_result, run_status
from headrace.dialects.intuned.run import Place
from headrace.dialects.intuned.session_wire import check_state, decode_session, decode_validate
from headrace.dialects.intuned.values import parse_uuid, when
from headrace.http.reply import json_reply

_STATUS: Final = {
    "pending": "pending",
    "started": "in_progress",
    "completed": "done",
    "canceled": "canceled",
    "failed": "failed",
}


class SessionRoutes:
    """
    One method a path.
    """

    def __init__(self, services: IntunedServices) -> None:
        self._services = services
        self._places = Places(services)

    def routes(self) -> list[Route]:
        sessions = "/{workspace}/projects/{project}/auth-sessions"
        session = sessions + "/{session}"
        return [
            Route(sessions, self.all, methods=["GET"]),
            Route(sessions + "/create", self.create, methods=["POST"]),
            Route(sessions + "/create/{operation}/result", self.create_result, methods=["GET"]),
            Route(sessions + "/create/{operation}/resume", self.resume, methods=["POST"]),
            Route(session, self.one, methods=["GET"]),
            Route(session, self.delete, methods=["DELETE"]),
            Route(session + "/state", self.record, methods=["PUT"]),
            Route(session + "/update", self.update, methods=["POST"]),
            Route(session + "/update/{operation}/result", self.update_result, methods=["GET"]),
            Route(session + "/update/{operation}/resume", self.resume, methods=["POST"]),
            Route(session + "/validate/start", self.validate, methods=["POST"]),
            Route(session + "/validate/{operation}/result", self.validate_result, methods=["GET"]),
        ]

    async def all(self, request: Request) -> Response:
        place = await self._places.project(request, Scope.READ)
        found = await self._services.sessions.of_project(place.workspace.id, place.project.name)
        return json_reply([shown_session(session) for session in found])

    async def one(self, request: Request) -> Response:
        _, session = await self._session(request, Scope.READ)
        return json_reply(shown_session(session))

    async def create(self, request: Request) -> Response:
        place = await self._places.project(request, Scope.LINK)
        body = decode_session(await request.body(), with_id=True)
        operation = await self._services.start.make_session(place, None, body)
        return json_reply({"status": "started", "operationId": operation}, HTTPStatus.CREATED)

    async def update(self, request: Request) -> Response:
        place, session = await self._session(request, Scope.LINK)
        body = decode_session(await request.body(), with_id=False)
        operation = await self._services.start.make_session(place, session, body)
        return json_reply({"status": "started", "operationId": operation}, HTTPStatus.CREATED)

    async def record(self, request: Request) -> Response:
        """
        Keep a session that a person has recorded in a browser of theirs; ours.
        """
        place = await self._places.project(request, Scope.LINK)
        check_session_id(name := request.path_params["session"], "id")
        operation = await self._services.start.record_session(place, name, check_state(await request.body()))
        return json_reply({"status": "pending", "operationId": operation}, HTTPStatus.CREATED)

    async def validate(self, request: Request) -> Response:
        place, session = await self._session(request, Scope.RUN)
        operation = await self._services.start.validate_session(place, session, decode_validate(await request.body()))
        return json_reply({"status": "pending", "operationId": operation}, HTTPStatus.CREATED)

    async def create_result(self, request: Request) -> Response:
        return await self._result(request, "create")

    async def update_result(self, request: Request) -> Response:
        return await self._result(request, "update")

    async def validate_result(self, request: Request) -> Response:
        return await self._result(request, "validate")

    async def resume(self, request: Request) -> Response:
        """
        Refuse what the 2024 API had for logins that ask for a code in the middle: an operation here never asks for anything.
        """
        await self._operation(request, "update" if "session" in request.path_params else "create", Scope.LINK)
        raise InvalidError(
            "The operation asks for nothing.",
            "Give `parameters` all that `create` needs, such as the secret of its codes.",
        )

    async def delete(self, request: Request) -> Response:
        place, session = await self._session(request, Scope.LINK)
        await self._services.sessions.delete(session, by=place.actor.name)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _session(self, request: Request, scope: Scope) -> tuple[Place, AuthSession]:
        place = await self._places.project(request, scope)
        name = request.path_params["session"]
        return place, await self._services.sessions.get(place.workspace.id, place.project.name, name)

    async def _operation(self, request: Request, kind: str, scope: Scope) -> tuple[Job, Item]:
        place = await self._places.project(request, scope)
        operation = parse_uuid(request.path_params["operation"])
        if operation is None:
            raise NotFoundError(f"There is no operation {request.path_params['operation']!r}.", "Check the id.")
        name = request.path_params.get("session")
        return await self._services.sessions.operation(
            place.workspace.id, place.project.name, kind, operation, name=name
        )

    async def _result(self, request: Request, kind: str) -> Response:
        return json_reply(operation_result(*await self._operation(request, kind, Scope.READ)))


def shown_session(session: AuthSession) -> dict[str, Any]:
    """
    Show a session; what it is made with and its state are never shown. The times are ours.
    """
    return {
        "id": session.name,
        "type": session.kind.upper(),
        "status": session.status.upper(),
        "created_at": when(session.created_at),
        "updated_at": when(session.updated_at),
    }


def operation_result(job: Job, item: Item) -> dict[str, Any]:
    """
    Show how far an operation is.
    """
    status, shown = _STATUS[run_status(item)], run_result(job, item)
    match status:
        case "done":
            return {"status": status, "authSessionId": job.details["auth_session"]}
        case "in_progress":
            return {"status": status, "runId": item.id}
        case "canceled":
            return {"status": status, "message": shown.get("message", ""), "reason": shown["reason"]}
        case "failed":
            return {"status": status, "message": shown.get("message", ""), "error": shown["error"]}
    return {"status": status}
