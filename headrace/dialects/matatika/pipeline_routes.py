"""
The paths of pipelines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.core.actor import Scope
from headrace.core.errors import NotFoundError
from headrace.core.pipelines import Pipeline
from headrace.dialects.matatika.desk import Desk
from headrace.dialects.matatika.doors import id_of
from headrace.dialects.matatika.hal import hal_reply, links_of, page, paging_of, timestamp
from headrace.dialects.matatika.variables import settings_of
from headrace.dialects.matatika.views import pipeline_view, shown_properties
from headrace.dialects.matatika.wire import MASK, object_of, pipeline_in
from headrace.services.components import is_secret
from headrace.services.field_problems import refuse
from headrace.services.pipeline_checks import problems_of
from headrace.services.project_definitions import as_documents

_METRICS_MOST = 1000


class PipelineRoutes:
    """
    One method a path.

    Args:
        new_id: makes a version 4 UUID.
    """

    def __init__(self, desk: Desk, *, new_id: Callable[[], UUID]) -> None:
        self._desk = desk
        self._new_id = new_id

    def routes(self) -> list[Route]:
        here = "/workspaces/{workspace_id}/pipelines"
        return [
            Route(here, self.list, methods=["GET"]),
            Route(here, self.initialise, methods=["POST"]),
            Route(f"{here}/validation", self.validate, methods=["POST"]),
            Route(f"{here}/validate", self.validate, methods=["POST"]),  # the spelling of 2021
            Route(f"{here}/{{pipeline_id}}", self.put, methods=["PUT"]),
            Route(f"{here}/{{pipeline_id}}/draft", self.put_draft, methods=["PUT"]),
            Route("/workspaces/{workspace_id}/project-files", self.files, methods=["GET"]),  # ours
            Route("/pipelines/{pipeline_id}", self.view, methods=["GET"]),
            Route("/pipelines/{pipeline_id}", self.delete, methods=["DELETE"]),
            Route("/pipelines/{pipeline_id}/environment", self.environment, methods=["GET"]),
            Route("/pipelines/{pipeline_id}/metrics", self.metrics, methods=["GET"]),
        ]

    async def list(self, request: Request) -> Response:
        actor, workspace = await self._desk.entered(request, Scope.READ)
        paging, links = paging_of(request), links_of(request)
        found, total = await self._desk.pipelines.page(
            workspace.id, offset=paging.offset, limit=paging.size, sort=paging.sort
        )
        around = await self._desk.pipelines.around(workspace)
        statuses = await self._desk.runs.statuses(found)
        secrets = actor.may(Scope.SECRETS)
        shown = [
            pipeline_view(each, statuses[each.id], links, shown_properties(around, each, secrets=secrets))
            for each in found
        ]
        here = links.to("workspaces", workspace.id, "pipelines")
        return hal_reply(
            request, page("pipelines", shown, total, paging, here, {"new pipeline": {**here, "type": "POST"}})
        )

    async def view(self, request: Request) -> Response:
        actor, pipeline, around = await self._desk.pipeline_around(request, Scope.READ)
        status = (await self._desk.runs.statuses([pipeline]))[pipeline.id]
        shown = shown_properties(around, pipeline, secrets=actor.may(Scope.SECRETS))
        links = links_of(request)
        body = pipeline_view(pipeline, status, links, shown)
        latest, _ = await self._desk.jobs.page(pipeline.workspace_id, pipeline.id, offset=0, limit=1)
        if latest:
            body["_links"]["latest job"] = links.to("jobs", latest[0].id)
        return hal_reply(request, body)

    async def initialise(self, request: Request) -> Response:
        _, workspace = await self._desk.entered(request, Scope.DEFINE)
        fresh = Pipeline(id=self._new_id(), workspace_id=workspace.id, name="", label="", draft=True)
        return hal_reply(request, pipeline_view(fresh, "DRAFT", links_of(request), {}, new=True))

    async def put(self, request: Request) -> Response:
        return await self._put(request, draft=False)

    async def put_draft(self, request: Request) -> Response:
        return await self._put(request, draft=True)

    async def validate(self, request: Request) -> Response:
        _, workspace = await self._desk.entered(request, Scope.DEFINE)
        around = await self._desk.pipelines.around(workspace)
        body = object_of(await request.body())
        sent = str(body.get("id", ""))
        known = next((each for each in around.pipelines.values() if str(each.id) == sent), None)
        pipeline = pipeline_in(body, id=known.id if known else self._new_id(), workspace_id=workspace.id, before=known)
        pipeline, made = self._desk.pipelines.adopt(around, pipeline)
        known_now = {**around.components, **{each.name: each for each in made}}
        refuse("pipeline", problems_of(replace(around, components=known_now), pipeline))
        return Response(status_code=HTTPStatus.OK)

    async def delete(self, request: Request) -> Response:
        actor, pipeline, _ = await self._desk.pipeline_around(request, Scope.DEFINE)
        active = await self._desk.jobs.active(pipeline.workspace_id, str(pipeline.id))
        await self._desk.pipelines.delete(pipeline.id)
        await self._desk.unschedule(pipeline)
        await self._desk.notices.forget_target(pipeline.workspace_id, pipeline.id)
        if active is not None:
            await self._desk.jobs.delete(active, by=actor.name)
        await self._desk.jobs.forget_state(pipeline.workspace_id, str(pipeline.id))
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def environment(self, request: Request) -> Response:
        actor, pipeline, around = await self._desk.pipeline_around(request, Scope.READ)
        variables, sensitive = settings_of(around, pipeline)
        may = actor.may(Scope.SECRETS)
        hidden = {name: name in sensitive or is_secret(name, (), value) for name, value in variables.items()}
        return hal_reply(
            request,
            {
                name: {"value": MASK if hidden[name] and not may else value, "sensitive": hidden[name]}
                for name, value in variables.items()
            },
        )

    async def metrics(self, request: Request) -> Response:
        pipeline = await self._desk.pipeline(request, Scope.READ)
        jobs, _ = await self._desk.jobs.page(pipeline.workspace_id, pipeline.id, offset=0, limit=_METRICS_MOST)
        rows = [
            {
                "metrics.job-created": timestamp(job.created_at),
                "metrics.value": sum(int(step.output.get("records", 0)) for step in job.steps),
            }
            for job in jobs
            if job.details.get("type") == "PIPELINE_RUN"
        ]
        return hal_reply(request, rows)

    async def files(self, request: Request) -> Response:
        """
        Give the files that would define what the workspace has: path to text, without secret properties.
        """
        _, workspace = await self._desk.entered(request, Scope.DEFINE)
        around = await self._desk.pipelines.around(workspace)
        secret = {
            each.id: frozenset(
                key
                for key, value in shown_properties(around, each, secrets=False).items()
                if value == MASK and each.properties[key] != MASK
            )
            for each in around.pipelines.values()
        } | {
            each.id: frozenset(
                name for name, value in each.properties.items() if is_secret(name, around.settings_of(each), value)
            )
            for each in around.components.values()
        }
        stores = [each for each in around.components.values() if each.created_at is not None]
        return hal_reply(request, as_documents(around.pipelines.values(), stores, secret=secret))

    async def _put(self, request: Request, *, draft: bool) -> Response:
        actor, workspace = await self._desk.entered(request, Scope.DEFINE)
        pipeline_id = id_of(request, "pipeline_id")
        try:
            before = await self._desk.pipelines.get(pipeline_id)
        except NotFoundError:
            before = None
        mine = before if before and before.workspace_id == workspace.id else None
        sent = pipeline_in(
            object_of(await request.body()), id=pipeline_id, workspace_id=workspace.id, draft=draft, before=mine
        )
        pipeline, new = await self._desk.pipelines.put(await self._desk.pipelines.around(workspace), sent)
        around = await self._desk.pipelines.around(workspace)
        status = (await self._desk.runs.statuses([pipeline]))[pipeline.id]
        if not draft and (mine is None or mine.draft or status == "FAILED"):
            pipeline = await self._desk.runs.configure(around, pipeline, by=actor)
            status = (await self._desk.runs.statuses([pipeline]))[pipeline.id]
        await self._desk.schedule(pipeline)
        shown = shown_properties(around, pipeline, secrets=actor.may(Scope.SECRETS))
        body = pipeline_view(pipeline, status, links_of(request), shown)
        return hal_reply(request, body, HTTPStatus.CREATED if new else HTTPStatus.OK)
