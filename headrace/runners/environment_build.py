"""
How an environment is built: the recipe that names it, the steps, and what is said when one of them fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import sysconfig
from asyncio.subprocess import DEVNULL
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from headrace.core.errors import EnvironmentBuildError
from headrace.runners.uv import Uv, UvResult, without_secrets

FORMAT = 1
"""Raised whenever the way of building changes, so that environments built before are left to the pruner."""

MARKER = "headrace-environment.json"

_OLD_SETUPTOOLS = "setuptools<81"  # 82 dropped pkg_resources, 81 warns at each import
_CHECK_SECONDS = 60.0
_SHOWN_LINES = 20

# Unindented, so at import and not inside a `try`: only then does a package surely need it.
_IMPORTS_PKG_RESOURCES = re.compile(rb"(?m)^(?:import pkg_resources|from pkg_resources|__import__\(['\"]pkg_resources)")


@dataclass(frozen=True, slots=True)
class Recipe:
    """
    Everything that decides what is in an environment.

    Attributes:
        install: requirement lines, comments allowed.
        python: version or path as uv takes it; None for the server's own interpreter.
        compat: switches for old packages, out of `pkg_resources` and `py39`.
    """

    install: tuple[str, ...]
    python: str | None = None
    compat: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """
        Name of the environment's folder.
        """
        content = {
            "format": FORMAT,
            "install": [line.strip() for line in self.install if line.strip()],
            "python": self.python
            or f"{sys.base_prefix} {platform.python_implementation()} {platform.python_version()}",
            "compat": sorted(set(self.compat)),
            "platform": [sysconfig.get_platform(), *platform.libc_ver()],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def is_empty(self) -> bool:
        return all(not line.strip() or line.lstrip().startswith("#") for line in self.install)


@dataclass(frozen=True, slots=True)
class Build:
    """
    One build, in a folder that is empty and whose lock *held_fd* is ours.
    """

    uv: Uv
    recipe: Recipe
    path: Path
    on_line: Callable[[str], None]
    held_fd: int

    async def run(self) -> None:
        """
        Build the environment; the marker is the last thing that is written.

        Raises:
            EnvironmentBuildError: a step failed; what is in the folder is of no use.
        """
        await self._uv("venv", "--no-project", "--python", self.recipe.python or sys.executable, str(self.path))
        added: tuple[str, ...] = (_OLD_SETUPTOOLS,) if "pkg_resources" in self.recipe.compat else ()
        await self._install(*added)
        if not added and await asyncio.to_thread(_lacks_pkg_resources, self.path):
            added = await self._try_old_setuptools()
        if "py39" in self.recipe.compat:
            _copy_compat_module(self.path)
        if not await starts(self.path / "bin" / "python"):
            raise self._failure(UvResult(1, (), ("the interpreter of the new environment does not start",)))
        self._write_marker(added)

    async def _install(self, *added: str) -> None:
        if self.recipe.is_empty and not added:
            return
        # By standard input: the lines may hold a token, and nothing needs them on the disk.
        lines = "\n".join((*self.recipe.install, *added)).encode()
        python = str(self.path / "bin" / "python")
        await self._uv("pip", "install", "--python", python, "--compile-bytecode", "--requirements", "-", stdin=lines)

    async def _try_old_setuptools(self) -> tuple[str, ...]:
        self.on_line(f"A package imports pkg_resources, which no package brings: adding {_OLD_SETUPTOOLS}")
        try:
            await self._install(_OLD_SETUPTOOLS)
        except EnvironmentBuildError as error:
            self.on_line(f"Left without it: {error.reason}")
            return ()
        return (_OLD_SETUPTOOLS,)

    async def _uv(self, *arguments: str, stdin: bytes = b"") -> None:
        result = await self.uv.run(
            arguments, cwd=self.path.parent, on_line=self.on_line, stdin=stdin, held_fd=self.held_fd
        )
        if result.exit_code:
            raise self._failure(result)

    def _failure(self, result: UvResult) -> EnvironmentBuildError:
        said = ": ".join(result.causes[:2]) or f"uv ended with exit code {result.exit_code}"
        return EnvironmentBuildError(
            f"The environment could not be built: {said}.",
            _next_move("\n".join(result.causes)),
            install=[without_secrets(line) for line in self.recipe.install],
            exit_code=result.exit_code,
            output=list(result.lines[-_SHOWN_LINES:]),
        )

    def _write_marker(self, added: tuple[str, ...]) -> None:
        content = {
            "format": FORMAT,
            "path": str(self.path),
            "install": [without_secrets(line) for line in self.recipe.install],
            "added": added,
            "python": self.recipe.python,
            "compat": self.recipe.compat,
        }
        partial = self.path / f"{MARKER}.partial"
        with partial.open("w") as file:
            json.dump(content, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path / MARKER)


def has_marker(path: Path) -> bool:
    """
    Whether a build of this folder ended, and the folder has not been moved since: its scripts name it by its full path.
    """
    try:
        content = json.loads((path / MARKER).read_bytes())
    except (OSError, ValueError):
        return False
    return bool(content.get("path") == str(path) and content.get("format") == FORMAT)


async def starts(python: Path) -> bool:
    """
    Whether an interpreter starts, site-packages included, and ends well.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            python,
            "-I",
            "-c",
            "import encodings",
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            return await process.wait() == 0
    except TimeoutError:
        return False
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def remove_tree(path: Path) -> None:
    """
    Remove a folder, the marker first, so that what is left of it after a crash counts as nothing.
    """
    (path / MARKER).unlink(missing_ok=True)
    if path.exists():
        shutil.rmtree(path)


def _site_packages(path: Path) -> Path:
    return next((path / "lib").glob("python*/site-packages"))


def _lacks_pkg_resources(path: Path) -> bool:
    """
    Whether some module imports `pkg_resources` at its top level while no installed package has it.
    """
    folder = _site_packages(path)
    if (folder / "pkg_resources").is_dir() or (folder / "pkg_resources.py").is_file():
        return False
    return any(_IMPORTS_PKG_RESOURCES.search(file.read_bytes()) for file in folder.rglob("*.py") if file.is_file())


def _copy_compat_module(path: Path) -> None:
    # A module of a name of its own behind a .pth line, so that a sitecustomize of the user's keeps its place.
    source = resources.files("headrace.runners") / "compat" / "py39.py"
    folder = _site_packages(path)
    (folder / "headrace_compat_py39.py").write_bytes(source.read_bytes())
    (folder / "headrace_compat_py39.pth").write_text("import headrace_compat_py39\n")


def _next_move(said: str) -> str:
    said = said.lower()
    if any(
        word in said
        for word in (
            "failed to fetch",
            "error sending request",
            "dns error",
            "network",
            "unable to access",
            "git operation",
        )
    ):
        return "Check this machine's network, proxy and package index (UV_DEFAULT_INDEX or PIP_INDEX_URL), then run the job again."
    if "no interpreter found" in said:
        return "Install that Python on this machine, or leave out `python` to use the server's own."
    if "parse" in said:
        return "Correct the requirement line in `install` (requirements.txt for a script)."
    if "build" in said:
        return "Ask for a release with a wheel for this Python, set `python` to an older one, or install the compiler and headers it needs."
    if "no solution found" in said:
        return "Correct the names and versions in `install` (requirements.txt for a script)."
    if "no space left" in said:
        return "Free disk space, then run the job again."
    return "Read the installer's last lines, mend `install` (requirements.txt for a script), and run the job again."
