"""
The step that runs a command in a copy of a Meltano project.

    project     copied fresh to the path that all jobs of a pipeline share, with the plugins that the plan adds; the job's own at its end
    programs    Meltano and the plugins that the command names, in environments that all jobs share (command_install.py)
    state       laid out as files before, written back after, however the command ended (command_memory.py)
    catalogs    those that Meltano discovered in the last completed run of the same definition; kept again after this one
    command     Bash or Meltano, in a process group of its own; its exit code stands in the step's output (command_outcome.py)
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from headrace.core.meltano import MeltanoProject
from headrace.core.outcome import Failed, Succeeded
from headrace.core.plan import Checkout, Command
from headrace.engine.checkout_step import checkout
from headrace.engine.command_desk import Desk as Desk
from headrace.engine.command_install import CommandInstaller
from headrace.engine.command_memory import Catalogs, CommandMemory, States
from headrace.engine.command_outcome import exit_code, outcome_of, selection
from headrace.runners.environments import Environments
from headrace.runners.git import GitRules
from headrace.runners.meltano import ProjectFolder
from headrace.runners.meltano_metrics import RecordCount
from headrace.runners.project_place import Owner, ProjectPlace
from headrace.runners.redaction import Redactor, secrets_of
from headrace.runners.stage import StepEnd
from headrace.services.stored_projects import StoredProjects
from headrace.store.files import FileStore


class CommandSteps:
    """
    Runs command steps for an executor.

    Args:
        places: folder where projects stand while their jobs run, the same path on every machine.
        catalogs: None lets every job discover its own.
    """

    def __init__(
        self,
        files: FileStore,
        environments: Environments,
        states: States,
        *,
        places: Path,
        catalogs: Catalogs | None = None,
        git: GitRules | None = None,
    ) -> None:
        self._projects = StoredProjects(files)
        self._places = places
        self._git = git or GitRules()
        self._installer = CommandInstaller(environments)
        self._memory = CommandMemory(states, catalogs)

    async def run(self, step: Command | Checkout, desk: Desk) -> StepEnd:
        """
        Run one command; when this returns or raises, no child is left and the state is written back.

        Raises:
            EnvironmentBuildError: Meltano or a plugin could not be installed.
            DefinitionError: the project is not as Meltano wants it.
            SpawnError: git is wanted, and there is none.
        """
        if isinstance(step, Checkout):
            return StepEnd(outcome=await checkout(step, desk, self._projects, self._git))
        self._say_which_try(step, desk)
        place = self._place(step, desk)
        try:
            project = ProjectFolder(await asyncio.to_thread(place.take))
            return StepEnd(outcome=await self._run(step, project, desk))
        finally:
            await self._leave(place, desk)

    async def _run(self, step: Command, project: ProjectFolder, desk: Desk) -> Succeeded | Failed:
        await self._bring(step, project, desk.work.job.workspace_id)
        known = await asyncio.to_thread(project.read) if step.meltano else MeltanoProject()
        desk.book.learn(Redactor(desk.secrets | _secrets_in(known)))
        path = await self._installer.install(step, known, project, desk)
        if not step.script and not step.argv:
            desk.book.write("Nothing to run.", stage=step.name)
            return Succeeded({"exit_code": 0})
        extractors = [plugin.name for plugin in known.plugins.values() if plugin.type == "extractors"]
        before = await self._memory.lay_out_catalogs(step, project, desk)
        records = RecordCount(extractors)
        with desk.book.heard_by(records.hear):
            outcome = await self._command(step, project, path, desk)
        if isinstance(outcome, Succeeded):
            await self._memory.keep_catalogs(step, project, desk, extractors, before)
        told = {"records": records.total, "streams": records.streams} if records.streams else {}
        return replace(outcome, output={**outcome.output, **told})

    @staticmethod
    def _say_which_try(step: Command, desk: Desk) -> None:
        if desk.work.job.failures:
            tries = f"{desk.work.job.failures + 1} of {desk.work.plan.max_attempts}"
            desk.book.write(f"--- Attempt {tries} ---", stage=step.name)

    def _place(self, step: Command, desk: Desk) -> ProjectPlace:
        job_id = desk.work.job.id
        folder = self._places / (step.state_scope or str(job_id))  # no pipeline's: the job's alone
        return ProjectPlace(folder, Owner(job_id, desk.work.claim.token))

    @staticmethod
    async def _leave(place: ProjectPlace, desk: Desk) -> None:
        try:
            await asyncio.shield(asyncio.to_thread(place.leave, desk.root.folder / "project"))
        except OSError as error:  # how the command ended is known, and holds without its files
            desk.book.write(
                f"The project's files are not kept with the job: {error.strerror or 'not all could be copied'}.",
                stage="project",
            )

    async def _bring(self, step: Command, project: ProjectFolder, workspace_id: UUID) -> None:
        if step.project is not None:
            await self._projects.lay_out(step.project, project.folder, workspace_id=workspace_id)
        if step.plugins:
            await asyncio.to_thread(project.add_plugins, step.plugins)

    async def _command(
        self, step: Command, project: ProjectFolder, path: Mapping[str, str], desk: Desk
    ) -> Succeeded | Failed:
        argv = list(step.argv)
        if step.script:
            script = desk.root.work / "script.sh"
            await asyncio.to_thread(script.write_text, step.script, "utf-8")
            argv = ["bash", str(script)]
        async with self._memory.state(step, desk), desk.stage(step.name, step.limits) as stage:
            child = await stage.start("command", argv, cwd=project.folder, variables=path)
            try:
                ended = await child.wait()
            except asyncio.CancelledError:
                await stage.children.stop(step.limits.grace_seconds)
                if child.exit is not None:
                    desk.progress({"exit_code": exit_code(child.exit)})
                raise
            await stage.heard()
            outcome = await outcome_of(stage, ended)
            if step.streams_of and isinstance(outcome, Succeeded):
                outcome = replace(outcome, output={**outcome.output, **await selection(step, stage, project, path)})
            return outcome


def _secrets_in(project: MeltanoProject) -> frozenset[str]:
    """
    Collect the secrets that a project's own files give to its plugins.
    """
    found: set[str] = set()
    for plugin in project.plugins.values():
        sensitive = [setting.name for setting in project.settings(plugin.name) if setting.sensitive]
        found |= secrets_of(plugin.config, sensitive)
    return frozenset(found)
