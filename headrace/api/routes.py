"""
The core API as one application.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from headrace import __version__
from headrace.api import administration, definitions, deployments, items, job_files, jobs, runnables, states
from headrace.api.errors import MEDIA_TYPE, from_validation, problem_reply
from headrace.api.views import ProblemDetails
from headrace.http.errors import as_ours
from headrace.http.server import Wire
from headrace.http.services_bundle import Services

_REFUSALS = {
    400: "A value is malformed, or of the wrong type.",
    401: "No key, or one that is not known.",
    403: "The key may not do this.",
    404: "It does not exist, or not for this key.",
    409: "It clashes with what is there.",
    413: "The body is too large.",
    415: "The body is encoded.",
    503: "The database does not answer; try again after the seconds of Retry-After.",
}


def api_wire(services: Services) -> Wire:
    """
    Make the wire, to be mounted under `/api/v1`; console and command line use nothing else.
    """
    return Wire(name="api", prefix="/api/v1", app=_application(services), reply=problem_reply)


def _application(services: Services) -> FastAPI:
    schema = ProblemDetails.model_json_schema()
    app = FastAPI(
        title="Headrace",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            HTTPException: _refused,
            RequestValidationError: _refused,
            Exception: _refused,
        },
        responses={
            status: {"description": told, "content": {MEDIA_TYPE: {"schema": schema}}}
            for status, told in _REFUSALS.items()
        },
    )
    app.state.services = services
    for room in (jobs, items, job_files, definitions, runnables, deployments, states, administration):
        app.include_router(room.router)
    _describe(app)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, RequestValidationError):
        return problem_reply(from_validation(error))
    return problem_reply(as_ours(error, request.scope))


def _describe(app: FastAPI) -> None:
    """
    Take the framework's own 422 out of the document: ours is a 400 with problem details.
    """
    made = app.openapi

    def document() -> dict[str, Any]:
        found = made()
        for path in found["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        return found

    app.openapi = document  # type: ignore[method-assign]  # the framework's documented way to change its document
