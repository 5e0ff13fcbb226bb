"""
The step that runs a command in a copy of a Meltano project.

    project     copied fresh into the job's root, with the plugins that the plan adds
    programs    Meltano and the plugins that the command names, in environments that all jobs share
    state       laid out as files before, written back after, however the command ended
    catalogs    those that Meltano discovered in the last completed run of the same definition; kept again after this one
    command     Bash or Meltano, in a process group of its own; its exit code stands in the step's output
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from headrace.core.errors import EnvironmentBuildError, FencedError, RetriableError
from headrace.core.meltano import MeltanoProject, Plugin, singular
from headrace.core.outcome import Blame, Cause, Failed, Succeeded
from headrace.core.plan import Checkout, Command, Limits
from headrace.engine.checkout_step import checkout
from headrace.engine.command_desk import Desk as Desk
from headrace.runners.environments import Environments
from headrace.runners.git import GitRules
from headrace.runners.meltano import ProjectFolder, StateFiles, empty, requirements_of
from headrace.runners.meltano_catalogs import Catalog, CatalogFiles
from headrace.runners.meltano_metrics import RecordCount
from headrace.runners.meltano_streams import list_command, read_streams
from headrace.runners.process import Exit
from headrace.runners.redaction import Redactor, secrets_of
from headrace.runners.stage import Stage, StepEnd
from headrace.services.attempts import Work
from headrace.services.stored_projects import StoredProjects
from headrace.store.files import FileStore

T = TypeVar("T")

INSTALL_SECONDS = 900.0
"""Longest time for one plugin that Meltano itself has to install."""

_SIGNAL_BASE = 128  # a shell's way to say as an exit code which signal ended a program
_WRITE_AGAIN_SECONDS = 1.0


class States(Protocol):
    """Where Meltano's state is kept."""

    async def load(self, work: Work, scope: str) -> dict[str, dict[str, Any]]: ...
    async def save(self, work: Work, scope: str, states: Mapping[str, Mapping[str, Any]]) -> None: ...


class Catalogs(Protocol):
    """Where the catalogs are kept that Meltano discovered."""

    async def load(self, work: Work, scope: str, digest: str) -> dict[str, Catalog]: ...
    async def save(self, work: Work, scope: str, digest: str, catalogs: Mapping[str, Catalog]) -> None: ...


class CommandSteps:
    """
    Runs command steps for an executor.

    Args:
        catalogs: None lets every job discover its own.
    """

    def __init__(
        self,
        files: FileStore,
        environments: Environments,
        states: States,
        *,
        catalogs: Catalogs | None = None,
        git: GitRules | None = None,
    ) -> None:
        self._projects = StoredProjects(files)
        self._git = git or GitRules()
        self._environments = environments
        self._states = states
        self._catalogs = catalogs

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
        project = ProjectFolder(desk.root.folder / "project")
        try:
            return StepEnd(outcome=await self._run(step, project, desk))
        finally:
            project.forget_system_folder()

    async def _run(self, step: Command, project: ProjectFolder, desk: Desk) -> Succeeded | Failed:
        await self._bring(step, project)
        known = await asyncio.to_thread(project.read) if step.meltano else MeltanoProject()
        desk.book.learn(Redactor(desk.secrets | _secrets_in(known)))
        path = await self._install(step, known, project, desk)
        if not step.script and not step.argv:
            desk.book.write("Nothing to run.", stage=step.name)
            return Succeeded({"exit_code": 0})
        extractors = [plugin.name for plugin in known.plugins.values() if plugin.type == "extractors"]
        before = await self._lay_out_catalogs(step, project, desk)
        records = RecordCount(extractors)
        with desk.book.heard_by(records.hear):
            outcome = await self._command(step, project, path, desk)
        if isinstance(outcome, Succeeded):
            await self._keep_catalogs(step, project, desk, extractors, before)
        told = {"records": records.total, "streams": records.streams} if records.streams else {}
        return replace(outcome, output={**outcome.output, **told})

    @staticmethod
    def _say_which_try(step: Command, desk: Desk) -> None:
        if desk.work.job.failures:
            tries = f"{desk.work.job.failures + 1} of {desk.work.plan.max_attempts}"
            desk.book.write(f"--- Attempt {tries} ---", stage=step.name)

    async def _bring(self, step: Command, project: ProjectFolder) -> None:
        await asyncio.to_thread(empty, project.folder)
        if step.project is not None:
            await self._projects.lay_out(step.project, project.folder)
        if step.plugins:
            await asyncio.to_thread(project.add_plugins, step.plugins)

    async def _install(
        self, step: Command, known: MeltanoProject, project: ProjectFolder, desk: Desk
    ) -> Mapping[str, str]:
        """
        Make Meltano and the plugins ready; gives the variables by which the command finds them.
        """
        if not step.meltano:
            return {}
        meltano = await self._environment(step.meltano, desk)
        variables = _meltano_variables(meltano, desk)
        for plugin in known.needed(step.words):
            await self._install_plugin(plugin, known, project, variables, desk)
        return variables

    async def _install_plugin(
        self,
        plugin: Plugin,
        known: MeltanoProject,
        project: ProjectFolder,
        variables: Mapping[str, str],
        desk: Desk,
    ) -> None:
        source = known.ancestor(plugin.name)
        if source is None and plugin.executable:  # a program of the project itself
            return
        if source is None:  # a file bundle, or one that the hub alone knows: Meltano decides
            await self._by_meltano(plugin, project, variables, desk)
            return
        requirements = requirements_of(source)
        if requirements is None:
            await self._by_meltano(source, project, variables, desk)
            return
        environment = await self._environment(requirements, desk)
        for each in {plugin.name: plugin, source.name: source}.values():
            await asyncio.to_thread(project.link, each, environment.parent)

    async def _by_meltano(
        self, plugin: Plugin, project: ProjectFolder, variables: Mapping[str, str], desk: Desk
    ) -> None:
        argv = ["meltano", "install", "--plugin-type", singular(plugin.type), plugin.name]
        async with desk.stage("install", Limits(wall_seconds=INSTALL_SECONDS)) as stage:
            child = await stage.start("meltano", argv, cwd=project.folder, variables=variables)
            ended = await child.wait()
            if not ended.succeeded:
                failed = await stage.diagnose([ended])
                raise EnvironmentBuildError(
                    f"Meltano could not install {plugin.name}: {failed.cause.sentence}",
                    "Look at the job's log, and correct the plugin's `pip_url`.",
                    **failed.cause.evidence,
                )

    async def _environment(self, requirements: tuple[str, ...], desk: Desk) -> Path:
        """
        Give the folder of an environment's programs.
        """
        environment = await self._environments.ensure(
            requirements, on_line=lambda line: desk.book.write(line, stage="install", stream="install")
        )
        return environment.bin

    async def _command(
        self, step: Command, project: ProjectFolder, path: Mapping[str, str], desk: Desk
    ) -> Succeeded | Failed:
        argv = list(step.argv)
        if step.script:
            script = desk.root.work / "script.sh"
            await asyncio.to_thread(script.write_text, step.script, "utf-8")
            argv = ["bash", str(script)]
        async with self._state(step, desk, keep=bool(step.meltano)), desk.stage(step.name, step.limits) as stage:
            child = await stage.start("command", argv, cwd=project.folder, variables=path)
            try:
                ended = await child.wait()
            except asyncio.CancelledError:
                await stage.children.stop(step.limits.grace_seconds)
                if child.exit is not None:
                    desk.progress({"exit_code": exit_code(child.exit)})
                raise
            await stage.heard()
            outcome = await _outcome(stage, ended)
            if step.streams_of and isinstance(outcome, Succeeded):
                outcome = replace(outcome, output={**outcome.output, **await _selection(step, stage, project, path)})
            return outcome

    async def _lay_out_catalogs(self, step: Command, project: ProjectFolder, desk: Desk) -> Mapping[str, Catalog]:
        if self._catalogs is None or not step.meltano:
            return {}
        kept: Mapping[str, Catalog] = {}
        with contextlib.suppress(RetriableError):  # without them the run takes longer, no more
            kept = await self._catalogs.load(desk.work, step.state_scope, _digest(step))
        await asyncio.to_thread(CatalogFiles(project.folder).lay_out, kept)
        return kept

    async def _keep_catalogs(
        self,
        step: Command,
        project: ProjectFolder,
        desk: Desk,
        extractors: Iterable[str],
        before: Mapping[str, Catalog],
    ) -> None:
        if self._catalogs is None or not step.meltano:
            return
        found = await asyncio.to_thread(CatalogFiles(project.folder).found, extractors)
        changed = {name: catalog for name, catalog in found.items() if catalog != before.get(name)}
        # A fenced attempt is told so when its job is finished, and nothing of it is kept.
        with contextlib.suppress(RetriableError, FencedError):
            await self._catalogs.save(desk.work, step.state_scope, _digest(step), changed)

    @contextlib.asynccontextmanager
    async def _state(self, step: Command, desk: Desk, *, keep: bool) -> AsyncIterator[None]:
        """
        Lay the state out, and write back what the block has changed.
        """
        if not keep:
            yield
            return
        before = await _lasting(lambda: self._states.load(desk.work, step.state_scope))
        files = StateFiles(desk.root.work / "state")
        await files.lay_out(before)
        try:
            yield
        except asyncio.CancelledError:
            # One try: whoever ends us waits. What is not written stays in the job's folder.
            with contextlib.suppress(RetriableError, FencedError):
                await self._states.save(desk.work, step.state_scope, await files.changed(before))
            raise
        changed = await files.changed(before)
        await _lasting(lambda: self._states.save(desk.work, step.state_scope, changed))


def _digest(step: Command) -> str:
    """
    Stand for all that a catalog depends on and Meltano's own key of it does not: the project's files, definitions and packages.
    """
    return hashlib.sha256(msgspec.json.encode([step.project, step.plugins, step.meltano], order="sorted")).hexdigest()


def exit_code(ended: Exit) -> int:
    """
    Give the exit code as a shell would: of one that a signal ended, 128 and the signal's number.
    """
    return ended.code if ended.code is not None else _SIGNAL_BASE + (ended.signal or 0)


async def _selection(step: Command, stage: Stage, project: ProjectFolder, path: Mapping[str, str]) -> dict[str, Any]:
    """
    Ask Meltano for an extractor's streams; what it cannot tell fails nothing.
    """
    listed = stage.root.work / "streams.json"
    with listed.open("wb") as stdout:
        argv = list_command(step.streams_of)
        child = await stage.start("streams", argv, cwd=project.folder, variables=path, stdout=stdout.fileno())
        ended = await child.wait()
    streams = await asyncio.to_thread(read_streams, listed) if ended.succeeded else []
    if not streams:
        stage.book.write(f"The streams of {step.streams_of} could not be listed.", stage=step.name)
        return {}
    return {"extractor": step.streams_of, "selection": streams}


async def _outcome(stage: Stage, ended: Exit) -> Succeeded | Failed:
    usage = stage.children.usage
    output: dict[str, Any] = {
        "exit_code": exit_code(ended),
        "usage": {
            "memory_peak_bytes": usage.peak_memory_bytes,
            "memory_avg_bytes": usage.average_memory_bytes,
            "cpu_seconds": round(usage.cpu_seconds, 3),
        },
    }
    exceeded = stage.children.exceeded
    if ended.succeeded and exceeded is None:
        return Succeeded(output)
    failed = await stage.diagnose([ended])
    if exceeded is not None and exceeded.kind == "wall":
        cause = Cause(
            stage=stage.name,
            sentence=f"The run was stopped at its timeout of {exceeded.limit:g} s.",
            who=Blame.DEVELOPER,
            instruction="Raise the pipeline's timeout, or make the run shorter.",
            evidence=failed.cause.evidence,
        )
        return Failed(cause, fatal=True, output={**output, "timed_out": True})
    return replace(failed, output=output)


def _meltano_variables(programs: Path, desk: Desk) -> dict[str, str]:
    return {
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "MELTANO_PROJECT_ROOT": str(desk.root.folder / "project"),
        "MELTANO_STATE_BACKEND_URI": (desk.root.work / "state").as_uri(),
        "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "0",
        "MELTANO_AUTO_INSTALL": "0",
        "MELTANO_CLI_LOG_FORMAT": "uncolored",
        "NO_COLOR": "1",
    }


def _secrets_in(project: MeltanoProject) -> frozenset[str]:
    """
    Collect the secrets that a project's own files give to its plugins.
    """
    found: set[str] = set()
    for plugin in project.plugins.values():
        sensitive = [setting.name for setting in project.settings(plugin.name) if setting.sensitive]
        found |= secrets_of(plugin.config, sensitive)
    return frozenset(found)


async def _lasting(act: Callable[[], Awaitable[T]]) -> T:
    """
    Act again and again while the database is away; the worker's watchdog bounds it.
    """
    while True:
        try:
            return await act()
        except RetriableError:
            await asyncio.sleep(_WRITE_AGAIN_SECONDS)
