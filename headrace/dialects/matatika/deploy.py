"""
Deployments: what the files of a workspace's project define becomes what the workspace has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import structlog

from headrace.core.actor import Actor
from headrace.core.errors import ActiveJobError, CallerError, DefinitionError
from headrace.core.job import Job
from headrace.core.meltano import FILE
from headrace.core.pipelines import Component, Pipeline
from headrace.dialects.matatika.desk import Desk
from headrace.dialects.matatika.workspace_wire import fields_of
from headrace.services.meltano_projects import MeltanoProjects
from headrace.services.project_definitions import Definitions, definitions_of
from headrace.services.surroundings import Workspace

log = structlog.get_logger(__name__)


class Deployments:
    """
    Applies projects; a duty too: `tick` applies those whose files have changed.
    """

    def __init__(self, desk: Desk, projects: MeltanoProjects) -> None:
        self._desk = desk
        self._projects = projects
        self._applied: dict[UUID, str | None] = {}
        self._problems: dict[UUID, tuple[DefinitionError, ...]] = {}

    def problems(self) -> list[DefinitionError]:
        """
        List the mistakes in the projects of all workspaces, as this process has found them; each names its workspace.
        """
        return [problem for problems in self._problems.values() for problem in problems]

    async def tick(self) -> int:
        """
        Apply every project whose files have changed; gives their number.
        """
        changed = 0
        workspaces = await self._desk.doors.all()
        self._problems = {each.id: self._problems[each.id] for each in workspaces if each.id in self._problems}
        for workspace in workspaces:
            try:
                if self._projects.folder_of(workspace) is None:
                    await self._check_once(workspace)
                    continue
                snapshot = await self._projects.of(workspace)
                if self._applied.get(workspace.id) != snapshot.digest:
                    await self.apply(workspace)
                    changed += 1
            except DefinitionError as problem:
                if self._applied.get(workspace.id) != problem.reason:
                    log.error("project refused", workspace=workspace.name, reason=problem.reason)
                self._applied[workspace.id] = problem.reason
                self._problems[workspace.id] = _told([problem], workspace)
        return changed

    async def _check_once(self, workspace: Workspace) -> None:
        """
        Find the mistakes of a project out of a repository; it is applied when a deployment has brought it, not here.
        """
        if workspace.id not in self._applied:
            snapshot = await self._projects.of(workspace)
            self._problems[workspace.id] = _told(definitions_of(snapshot, workspace.id).problems, workspace)
            self._applied[workspace.id] = snapshot.digest

    async def deploy(self, workspace: Workspace, *, by: Actor | None = None, trigger: str = "api") -> Job:
        """
        Apply a workspace's folder as it is now, and submit the job that tells of it; or the one that clones its repository.

        Raises:
            ActiveJobError: a deployment has not ended.
            DefinitionError: the project is too large.
            InvalidError: the repository's scheme may not be cloned any more.
        """
        fields = fields_of(await self._desk.shelf.find("workspace", workspace.id))
        if fields.repository and self._projects.folder_of(workspace) is None:
            source = fields.source(self._desk.git_schemes)
            around = await self._desk.pipelines.around(workspace)
            return await self._desk.runs.deploy(around, source=source, by=by, trigger=trigger)
        await self.apply(workspace)
        return await self._desk.runs.deploy(await self._desk.pipelines.around(workspace), by=by, trigger=trigger)

    async def initialise(self, workspace: Workspace, *, by: Actor | None = None) -> None:
        """
        Start the job that makes a workspace's project, unless it has one or the job is at work already.

        Raises:
            InvalidError: the repository's scheme may not be cloned any more.
        """
        if self._projects.folder_of(workspace) is not None or (await self._projects.of(workspace)).digest is not None:
            return
        fields = fields_of(await self._desk.shelf.find("workspace", workspace.id))
        around = await self._desk.pipelines.around(workspace)
        with contextlib.suppress(ActiveJobError):
            job = await self._desk.runs.deploy(
                around, "WORKSPACE_INIT", source=fields.source(self._desk.git_schemes), by=by
            )
            await self._desk.workspaces.initialised_by(workspace.id, job)

    async def arrived(self, job: Job) -> None:
        """
        Put in force and apply what a job has brought out of a repository.
        """
        brought = next((step.output for step in job.steps if "digest" in step.output), None)
        if brought is None:
            return
        workspace = await self._desk.doors.open(job.workspace_id)
        await self._desk.workspaces.put_in_force(
            workspace.id, digest=str(brought["digest"]), commit=str(brought.get("commit", ""))
        )
        await self.apply(workspace)

    async def apply(self, workspace: Workspace) -> Definitions:
        """
        Let a workspace have what its project's files define; what is wrong in them is told in the log and changes nothing.
        """
        snapshot = await self._projects.of(workspace)
        definitions = definitions_of(snapshot, workspace.id)
        problems = list(definitions.problems)
        await self._components(workspace, definitions, problems)
        await self._pipelines(workspace, definitions, problems)
        for problem in problems:
            log.error("definition refused", workspace=workspace.name, reason=problem.reason, **problem.facts)
        self._applied[workspace.id] = snapshot.digest
        self._problems[workspace.id] = _told(problems, workspace)
        return replace(definitions, problems=tuple(problems))

    async def _components(
        self, workspace: Workspace, definitions: Definitions, problems: list[DefinitionError]
    ) -> None:
        around = await self._desk.pipelines.around(workspace)
        for component in definitions.components:
            known = around.components.get(component.name)
            if known is not None and known.created_at is not None and not _changed(known, component):
                continue
            put = component if known is None else replace(component, id=known.id)
            try:
                await self._desk.components.put(around, put)
            except CallerError as error:
                file = f"datastores/{component.name}.yml" if component.type == "loaders" else FILE
                problems.append(_refused(file, component.name, error))

    async def _pipelines(self, workspace: Workspace, definitions: Definitions, problems: list[DefinitionError]) -> None:
        around = await self._desk.pipelines.around(workspace)
        for pipeline in _in_order(definitions.pipelines):
            known = around.pipelines.get(pipeline.name)
            put = pipeline if known is None else replace(pipeline, id=known.id, config_job=known.config_job)
            try:
                kept, _ = await self._desk.pipelines.put(await self._desk.pipelines.around(workspace), put)
                await self._desk.schedule(kept)
            except CallerError as error:
                problems.append(_refused(_file_of(pipeline, definitions), pipeline.name, error))
        named = {each.name for each in definitions.pipelines} | definitions.lost
        for pipeline in around.pipelines.values():
            if pipeline.from_file and pipeline.name not in named:
                await self._desk.unschedule(pipeline)
                await self._desk.pipelines.delete(pipeline.id)


def _told(problems: Sequence[DefinitionError], workspace: Workspace) -> tuple[DefinitionError, ...]:
    """
    Let problems name their workspace, and their file once.
    """
    return tuple(
        DefinitionError(
            problem.reason.removeprefix(f"{problem.facts.get('file')}: "),
            problem.instruction,
            **{**problem.facts, "workspace": workspace.name},
        )
        for problem in problems
    )


def _refused(file: str, name: str, error: CallerError) -> DefinitionError:
    return DefinitionError(f"{file}: {name}: {error.reason}", error.instruction, file=file)


def _file_of(pipeline: Pipeline, definitions: Definitions) -> str:
    return definitions.files.get(pipeline.name, FILE)


def _changed(known: Component, new: Component) -> bool:
    return (known.plugin, known.jdbc_url) != (new.plugin, new.jdbc_url) or (
        bool(new.properties) and known.properties != new.properties
    )


def _in_order(pipelines: tuple[Pipeline, ...]) -> list[Pipeline]:
    """
    Put pipelines after those that trigger them, so that each finds what it names.
    """
    waiting, done = list(pipelines), list[Pipeline]()
    names = {each.name for each in pipelines}
    while waiting:
        known = {each.name for each in done}
        ready = [each for each in waiting if not (set(each.triggered_by) & names) - known - {each.name}]
        done += ready or waiting  # a circle: each is refused by its own check
        waiting = [each for each in waiting if each not in ready] if ready else []
    return done
