"""
What an automation project brings to a call: the requirement lines of its environment, and a working folder in which its files can be read.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import headrace
from headrace.core.errors import DefinitionError
from headrace.runners.requirement import name_of_requirement

_WORK, _TMP = "project", "tmp"
_TMP_BYTES = 48
# Ours takes their place; see automation/headrace_automation/alias.py.
_NOT_INSTALLED = frozenset({"intuned-runtime", "runtime-helpers", "headrace-automation"})


@dataclass(frozen=True, slots=True)
class Requirements:
    """
    What a project's environment is made of.

    Attributes:
        lines: requirement lines.
        python: version range of the interpreter; None for the server's own.
    """

    lines: tuple[str, ...]
    python: str | None = None


def runtime_folder() -> Path:
    """
    Give the folder of our own copy of the runtime: in the installed package, or beside it in a checkout.
    """
    package = Path(headrace.__file__).parent
    shipped = package / "automation_runtime"
    return shipped if shipped.is_dir() else package.parent / "automation"


def requirements_of(project: Path) -> Requirements:
    """
    Read requirements.txt, or the dependencies of pyproject.toml where there is none.

    Raises:
        DefinitionError: the file cannot be read.
    """
    listed, described = project / "requirements.txt", project / "pyproject.toml"
    table = _project_table(described) if described.is_file() else {}
    if listed.is_file():
        lines = listed.read_text("utf-8-sig", errors="replace").splitlines()
    else:
        lines = [line for line in table.get("dependencies", []) if isinstance(line, str)]
    kept = tuple(line.strip() for line in lines if line.strip() and not _replaced(line))
    python = table.get("requires-python")
    return Requirements(kept, python if isinstance(python, str) else None)


def lend(project: Path, root: Path, modules: Path | None = None) -> Path:
    """
    Make a folder in *root* that shows the project's files, and give it; beside it a folder for temporary files.

    The function runs in it: it reads the project's files by relative paths, and what it writes there is its own. *modules* stands for the
    project's `node_modules`.
    """
    folder = root / _WORK
    take_back(root)
    (root / _TMP).mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    for entry in project.iterdir():
        if modules is None or entry.name != modules.name:
            (folder / entry.name).symlink_to(entry.absolute())
    if modules is not None:
        (folder / modules.name).symlink_to(modules.absolute())
    return folder


def take_back(root: Path) -> None:
    """
    Remove the links that `lend` made, and temporary files such as a browser's profile; what the function wrote stays.
    """
    for left in _entries(root / _TMP):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)  # a daemon that the function left may still write there
        else:
            left.unlink(missing_ok=True)
    folder = root / _WORK
    for entry in _entries(folder):
        if entry.is_symlink():
            entry.unlink()
    with contextlib.suppress(OSError):  # the function has written there, or there is none
        folder.rmdir()


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # there is none, or what the function has put in its place
        return []


SHORT_NAMES_FOLDER, SHORT_NAMES = Path(tempfile.gettempdir()), "headrace-"
"""Where links to items' folders are, and how their names begin. Those that a worker which died has left are found by that."""


@contextlib.contextmanager
def short_name(folder: Path) -> Iterator[Path]:
    """
    Lend a short path of *folder*.

    Chromium puts a socket of a long name into its temporary folder, and a socket's path has 107 bytes; an item's folder has most of them.
    """
    if len(os.fsencode(folder)) <= _TMP_BYTES:
        yield folder
        return
    link = SHORT_NAMES_FOLDER / f"{SHORT_NAMES}{secrets.token_hex(6)}"
    link.symlink_to(folder.absolute())
    try:
        yield link
    finally:
        link.unlink(missing_ok=True)


def _project_table(file: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(file.read_text("utf-8")).get("project", {})
    except (OSError, ValueError) as error:
        raise DefinitionError(
            f"pyproject.toml of the project cannot be read: {error}.", "Correct it.", file=file.name
        ) from error
    return found if isinstance(found, dict) else {}


def _replaced(line: str) -> bool:
    return re.sub(r"[-_.]+", "-", name_of_requirement(line)).lower() in _NOT_INSTALLED
