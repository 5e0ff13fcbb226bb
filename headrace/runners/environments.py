"""
One Python environment per connector or script: built once, shared by all jobs, checked before each use.

An environment is a folder named by a hash of all that decides its content. It is built in place, because the scripts in it name their
interpreter by its full path, and under an exclusive lock that the installer inherits: whoever wants the same environment waits, and when
a builder is killed the lock stays taken until its installer has ended too. The marker is written last; a folder without it is a build
that never ended, and is built again. A failed build leaves no folder behind, and is not tried again until somebody asks.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from pathlib import Path

from headrace.core.errors import EnvironmentBuildError, InvalidError, NotFoundError
from headrace.core.plan import ConnectorSpec
from headrace.runners.environment_build import Build, Recipe, has_marker, remove_tree, starts
from headrace.runners.environment_lock import open_lock, try_shared, wait_exclusive
from headrace.runners.environment_prune import LAST_USED, prune
from headrace.runners.requirement import name_of_requirement
from headrace.runners.uv import Uv

COMPAT = ("pkg_resources", "py39")
"""Switches for old packages: a setuptools that has `pkg_resources`; the names that left the standard library after Python 3.9."""

_NOT_SCRIPTS = ("python", "activate", "deactivate", "Activate", "pydoc")


@dataclass(frozen=True, slots=True)
class Environment:
    """
    A built environment.

    Attributes:
        path: its folder; the folder's name is the environment's key.
        bin: the folder of its scripts and its interpreter.
    """

    path: Path
    bin: Path

    @property
    def python(self) -> Path:
        return self.bin / "python"

    def scripts(self) -> list[str]:
        """
        Names of the programs that its packages brought, sorted.
        """
        return sorted(entry.name for entry in self.bin.iterdir() if not entry.name.startswith(_NOT_SCRIPTS))

    def executable(self, name: str) -> Path:
        """
        The full path of one of its programs.

        Raises:
            NotFoundError: no package brought it; the facts list those that exist.
        """
        path = self.bin / name
        if name and "/" not in name and path.is_file() and os.access(path, os.X_OK):
            return path
        scripts = self.scripts()
        close = get_close_matches(name, scripts, n=1)
        raise NotFoundError(
            f"The environment has no program named {name or '(empty)'}{f'; did you mean {close[0]}?' if close else '.'}",
            f"Set `executable` of the connector to one that exists: {', '.join(scripts) or 'its packages bring none'}.",
            executable=name,
            scripts=scripts,
        )

    def executable_of(self, connector: ConnectorSpec) -> Path:
        """
        The program of a connector: its `executable`, or the name of its first requirement.

        Many packages carry a vendor's prefix that their program does not (`meltanolabs-target-csv` brings `target-csv`): where that
        name does not exist and exactly one program starts with `tap-` (or `target-`), it is that one.
        """
        if connector.executable:
            return self.executable(connector.executable)
        name = name_of_requirement(connector.install[0]) if connector.install else ""
        scripts = self.scripts()
        likely = [script for script in scripts if script.startswith(f"{connector.kind}-")]
        return self.executable(likely[0] if name not in scripts and len(likely) == 1 else name)


class Environments:
    """
    The environments of one machine, in one folder.

    Args:
        root: where they stand; made when missing, closed to other users. Packages for Node, of automations, stand beside it.
        uv: the installer; None for the one that our own wheel brought.
        environ: variables of the machine, for the installer's index, proxy and cache settings; None for this process's own.
        build_seconds: a build that takes longer is ended and fails.
    """

    def __init__(
        self,
        root: Path,
        uv: Path | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        build_seconds: float = 900.0,
    ) -> None:
        self.root = root.absolute()
        self.node_packages = self.root.parent / "node-packages"
        self._uv = Uv(uv, os.environ if environ is None else environ)
        self._build_seconds = build_seconds
        self._checked: set[Path] = set()

    async def ensure(
        self,
        install: Sequence[str],
        *,
        python: str | None = None,
        compat: Sequence[str] = (),
        on_line: Callable[[str], None] = lambda _line: None,
    ) -> Environment:
        """
        Hand out the environment of these requirement lines; build it first where that has not been done.

        *install* may be the lines of a requirements file, comments included; no lines make an environment with nothing in it. *python* is
        a version or a path as uv takes it; None for the server's own interpreter. *on_line* receives what the installer prints, without
        secrets.

        Raises:
            EnvironmentBuildError: it could not be built; nothing of it is left, and the caller decides whether to ask again.
        """
        _refuse_unknown(compat)
        recipe = Recipe(tuple(install), python, tuple(compat))
        path = self.root / recipe.key
        environment = Environment(path, path / "bin")
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open_lock(path) as lock:
            if try_shared(lock) and await self._usable(environment):
                return environment
        with open_lock(path) as lock:
            await self._wait(lock, on_line)
            if not await self._usable(environment):
                await self._build(recipe, environment, on_line, lock)
        return environment

    async def prune(
        self, *, now: datetime, unused_for: timedelta | None = None, keep_bytes: int | None = None
    ) -> list[str]:
        """
        Remove environments that nobody has used for *unused_for*, then the longest unused until the rest fits *keep_bytes*.

        Never removed: one that was handed out in the last ten minutes, that a process runs from, or that is being built. Packages for Node
        go by their age alone. Returns the keys of those removed.
        """
        removed = await asyncio.to_thread(prune, self.root, now=now, unused_for=unused_for, keep_bytes=keep_bytes)
        if unused_for is not None:
            removed += await asyncio.to_thread(
                prune, self.node_packages, now=now, unused_for=unused_for, keep_bytes=None
            )
        self._checked.difference_update(removed)
        return [path.name for path in removed]

    async def _wait(self, lock: int, on_line: Callable[[str], None]) -> None:
        """
        Wait for the others who use the lock, no longer than a build may take: one that was left alone may hang for ever.
        """
        try:
            async with asyncio.timeout(self._build_seconds):
                await wait_exclusive(lock, lambda: on_line("Waiting for another job that builds the same environment."))
        except TimeoutError as error:
            raise _too_slow(self._build_seconds) from error

    async def _usable(self, environment: Environment) -> bool:
        """
        Whether its build ended and its interpreter is there; marks it as used.

        The interpreter is started once per environment in the life of this process; later a look at the files is enough.
        """
        if not has_marker(environment.path) or not os.access(environment.python, os.X_OK):
            self._checked.discard(environment.path)
            return False
        if environment.path not in self._checked:
            if not await starts(environment.python):
                return False
            self._checked.add(environment.path)
        (environment.path / LAST_USED).touch()
        return True

    async def _build(self, recipe: Recipe, environment: Environment, on_line: Callable[[str], None], lock: int) -> None:
        path = environment.path
        await asyncio.to_thread(remove_tree, path)
        path.mkdir(mode=0o700)
        try:
            async with asyncio.timeout(self._build_seconds):
                await Build(self._uv, recipe, path, on_line, lock).run()
            (path / LAST_USED).touch()
        except TimeoutError as error:
            await asyncio.to_thread(remove_tree, path)
            raise _too_slow(self._build_seconds) from error
        except BaseException:
            # Cancelled, too: half an environment is worth nothing.
            await asyncio.shield(asyncio.to_thread(remove_tree, path))
            raise
        self._checked.add(path)


def _refuse_unknown(compat: Sequence[str]) -> None:
    for switch in compat:
        if switch not in COMPAT:
            raise InvalidError(
                f"{switch} is no compatibility switch.", f"Use one of: {', '.join(COMPAT)}.", compat=switch
            )


def _too_slow(build_seconds: float) -> EnvironmentBuildError:
    return EnvironmentBuildError(
        f"The environment was not built within {build_seconds:g} s.",
        "Run the job again: what was downloaded is kept. If it happens again, ask for releases that have wheels, or raise the limit.",
        build_seconds=build_seconds,
    )
