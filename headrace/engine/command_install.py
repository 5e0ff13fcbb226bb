"""
Meltano and the plugins that a command names: each in an environment that all jobs share, or installed by Meltano itself.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from headrace.core.errors import EnvironmentBuildError
from headrace.core.meltano import MeltanoProject, Plugin, singular
from headrace.core.plan import Command, Limits
from headrace.engine.command_desk import Desk
from headrace.runners.environments import Environments
from headrace.runners.meltano import ProjectFolder, requirements_of

INSTALL_SECONDS = 900.0
"""Longest time for one plugin that Meltano itself has to install."""


class CommandInstaller:
    """
    Makes ready what a command runs with.
    """

    def __init__(self, environments: Environments) -> None:
        self._environments = environments

    async def install(
        self, step: Command, known: MeltanoProject, project: ProjectFolder, desk: Desk
    ) -> Mapping[str, str]:
        """
        Make Meltano and the plugins ready; gives the variables by which the command finds them.

        Raises:
            EnvironmentBuildError: Meltano or a plugin could not be installed.
        """
        if not step.meltano:
            return {}
        meltano = await self._environment(step.meltano, desk)
        variables = _meltano_variables(meltano, project, desk)
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


def _meltano_variables(programs: Path, project: ProjectFolder, desk: Desk) -> dict[str, str]:
    return {
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "MELTANO_PROJECT_ROOT": str(project.folder),
        "MELTANO_STATE_BACKEND_URI": (desk.root.work / "state").as_uri(),
        "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "0",
        "MELTANO_AUTO_INSTALL": "0",
        "MELTANO_CLI_LOG_FORMAT": "uncolored",
        "NO_COLOR": "1",
    }
