"""
The programs a job needs: environments made ready while earlier steps run.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from headrace.core.plan import AccessToken, AnyStep, ConnectorSpec, Discover, Export, Pipe, Script, Sync
from headrace.runners.environments import Environment, Environments
from headrace.runners.logs import JobLog
from headrace.runners.node import is_for_node
from headrace.runners.node_packages import NodePackages


@dataclass(frozen=True, slots=True)
class Tool:
    """What one step needs an environment for; a connector, or a script's requirements."""

    install: tuple[str, ...]
    python: str | None
    compat: tuple[str, ...] = ()
    connector: ConnectorSpec | None = None

    @staticmethod
    def of(step: AnyStep) -> list[Tool]:
        """
        List the environments of a step.
        """
        match step:
            case Discover(connector=spec) | AccessToken(connector=spec) | Sync(connector=spec):
                return [_of_connector(spec)]
            case Export(targets=targets):
                return [_of_connector(target.connector) for target in targets]
            case Pipe(tap=tap, target=target):
                return [_of_connector(tap), _of_connector(target)]
            case Script(source=str(), entry=entry, requirements=requirements, python=python) if not is_for_node(entry):
                return [Tool(requirements, python)]
            case _:
                return []


def _of_connector(spec: ConnectorSpec) -> Tool:
    return Tool(spec.install, spec.python, spec.compat, spec)


class Toolbox:
    """
    Args:
        environments: of this machine.
        project: folder in which commands of the project itself are looked up.
    """

    def __init__(self, environments: Environments) -> None:
        self._environments = environments
        self.node_packages = NodePackages(environments.root)

    @asynccontextmanager
    async def prefetch(self, steps: Iterable[AnyStep], book: JobLog) -> AsyncIterator[None]:
        """
        Make every environment of *steps* ready, beside whatever else goes on; a failure is told when a step needs it.
        """
        builds = [
            asyncio.create_task(self._build(tool, _line_writer(book, step.name)))
            for step in steps
            for tool in Tool.of(step)
            if not (tool.connector and tool.connector.command)
        ]
        try:
            yield
        finally:
            for build in builds:
                build.cancel()
            await asyncio.gather(*builds, return_exceptions=True)

    async def command(self, spec: ConnectorSpec) -> Sequence[str]:
        """
        Give the program of a connector and its fixed arguments.

        Raises:
            EnvironmentBuildError: its environment could not be built.
            NotFoundError: the environment has no such program.
        """
        if spec.command:
            first, *rest = spec.command
            return [sys.executable if first == "python" else first, *rest]
        environment = await self._build(_of_connector(spec), lambda _line: None)
        return [str(environment.executable_of(spec))]

    async def interpreter(self, requirements: Sequence[str], python: str | None) -> Path:
        """
        Give the interpreter of a script's environment.

        Raises:
            EnvironmentBuildError: it could not be built.
        """
        environment = await self._build(Tool(tuple(requirements), python), lambda _line: None)
        return environment.python

    async def _build(self, tool: Tool, on_line: Callable[[str], None]) -> Environment:
        return await self._environments.ensure(tool.install, python=tool.python, compat=tool.compat, on_line=on_line)


def _line_writer(book: JobLog, stage: str) -> Callable[[str], None]:
    return lambda line: book.write(line, stage=stage, stream="install")
