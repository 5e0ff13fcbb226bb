"""
What functions in TypeScript and JavaScript need: the machine's Node, the packages of the project, and what makes one module of its files.

Packages are installed once per package.json and lock file, by npm, into a folder of their own; calls share it and write nothing there.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from headrace.core.errors import DefinitionError, EnvironmentBuildError
from headrace.runners.automation_project import runtime_folder
from headrace.runners.environment_build import MARKER
from headrace.runners.environment_lock import open_lock, try_shared, wait_exclusive
from headrace.runners.environment_prune import LAST_USED
from headrace.runners.item_call import ItemCall

SUFFIXES: Final = (".ts", ".mts", ".js", ".mjs")
ESBUILD: Final = {"esbuild": ">=0.25 <1"}
_FOLDERS: Final = {"api": "api", "create": "auth-sessions", "check": "auth-sessions"}
_OURS: Final = ("@intuned/runtime", "@intuned/sdk", "headrace-automation")  # ours takes their place
_PASSED_ON: Final = ("PATH", "HOME", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")


@dataclass(frozen=True, slots=True)
class NodeCommand:
    """
    How a call is started.

    Attributes:
        modules: folder of the project's packages; None for a project without any.
    """

    argv: list[str]
    variables: dict[str, str]
    modules: Path | None


def is_for_node(call: ItemCall) -> bool:
    """
    Tell whether the function of a call is TypeScript or JavaScript; where there is a Python file of the name, it is Python.
    """
    name = call.name.removeprefix("api/") if call.kind == "api" else call.kind
    base = call.folder / _FOLDERS[call.kind] / name
    if ".." in base.parts or "\0" in name or base.with_name(f"{base.name}.py").is_file():
        return False
    return any(base.with_name(f"{base.name}{suffix}").is_file() for suffix in SUFFIXES)


class NodeAutomations:
    """
    Args:
        root: where packages are kept; made when missing.
        environ: variables of the machine, for npm's own settings and proxies.
        install_seconds: an installation that takes longer is ended and fails.
    """

    def __init__(self, root: Path, *, environ: Mapping[str, str], install_seconds: float = 600.0) -> None:
        self._root = root
        self._environ = {
            name: value
            for name, value in environ.items()
            if name in _PASSED_ON or name.lower().startswith("npm_config_") or name.lower().endswith("_proxy")
        }
        self._install_seconds = install_seconds

    async def command(self, call: ItemCall, on_line: Callable[[str], None]) -> NodeCommand:
        """
        Say how the function of *call* is started; installs what it needs first.

        Raises:
            DefinitionError: this machine has no Node, or package.json cannot be read.
            EnvironmentBuildError: the packages could not be installed.
        """
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            raise DefinitionError(
                f"{call.name} is TypeScript or JavaScript, and this machine has no Node.",
                "Install Node 20 or newer with npm where the worker runs, or write the function in Python.",
            )
        package, lock = await asyncio.to_thread(_package_of, call.folder)
        tools = await self._ensure(npm, {"dependencies": ESBUILD}, None, on_line)
        modules = await self._ensure(npm, package, lock, on_line) if package["dependencies"] else None
        runner = runtime_folder() / "headrace_automation" / "node" / "runner.mjs"
        return NodeCommand(
            [node, "--enable-source-maps", str(runner)], {"HEADRACE_ESBUILD": str(tools / "esbuild")}, modules
        )

    async def _ensure(
        self, npm: str, package: dict[str, Any], lock: bytes | None, on_line: Callable[[str], None]
    ) -> Path:
        content = json.dumps({"private": True, **package}, sort_keys=True).encode()
        folder = self._root / hashlib.sha256(content + b"\0" + (lock or b"")).hexdigest()[:32]
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open_lock(folder) as held:
            if try_shared(held) and _installed(folder):
                return folder / "node_modules"
        with open_lock(folder) as held:
            await wait_exclusive(held, lambda: on_line("Waiting for another call that installs the same packages."))
            if not _installed(folder):
                await self._install(npm, folder, content, lock, on_line)
        return folder / "node_modules"

    async def _install(
        self, npm: str, folder: Path, content: bytes, lock: bytes | None, on_line: Callable[[str], None]
    ) -> None:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        (folder / "package.json").write_bytes(content)
        if lock is not None:
            (folder / "package-lock.json").write_bytes(lock)
        argv = [
            npm,
            "ci" if lock is not None else "install",
            "--omit=dev",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ]
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=folder,
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._install_seconds):
                said, _ = await process.communicate()
        except TimeoutError:
            raise EnvironmentBuildError(
                f"npm did not end within {self._install_seconds:g} s.", "Look at its network and at the packages."
            ) from None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        lines = said.decode(errors="replace").splitlines()
        for line in lines:
            on_line(line)
        if process.returncode:
            reason = next((line for line in lines if line.strip()), "it said nothing")
            raise EnvironmentBuildError(f"npm could not install the packages: {reason}", "Correct package.json.")
        (folder / LAST_USED).touch()
        (folder / MARKER).touch()


def _installed(folder: Path) -> bool:
    """
    Whether an installation ended here; marks it as used. Call with the folder's lock held, so that nobody removes it in between.
    """
    if not (folder / MARKER).exists():
        return False
    (folder / LAST_USED).touch()
    return True


def _package_of(project: Path) -> tuple[dict[str, Any], bytes | None]:
    """
    Read a project's dependencies, and its lock file where that fits them.

    Raises:
        DefinitionError: package.json is no JSON object.
    """
    file, locked = project / "package.json", project / "package-lock.json"
    try:
        found = json.loads(file.read_bytes()) if file.is_file() else {}
    except ValueError as error:
        raise DefinitionError(f"package.json of the project cannot be read: {error}.", "Correct it.") from error
    named = found.get("dependencies") if isinstance(found, dict) else None
    wanted = {str(name): version for name, version in named.items()} if isinstance(named, dict) else {}
    kept = {name: version for name, version in wanted.items() if name not in _OURS}
    if kept == wanted and locked.is_file() and wanted:
        return found, locked.read_bytes()
    return {"dependencies": kept}, None
