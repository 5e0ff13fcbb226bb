"""
Read the folder of a Meltano project: what it defines, the files a job gets a copy of, and the definitions beside it.

Left out of the copy: what begins with a dot (Meltano's own folder, version control, `.env`), compiled bytecode, and the folders that hold
Headrace's own definitions. `.env` is read for its variables, which jobs get sealed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from headrace.core.errors import DefinitionError
from headrace.core.meltano import FILE, MeltanoProject, read_project
from headrace.store.dot_env import read_dot_env
from headrace.store.project_yaml import Document, read_document

LIMIT_FILES = 5_000
LIMIT_BYTES = 64 * 2**20

_NOT_COPIED = frozenset({"flows", "automations", "headrace.yml", "__pycache__", "node_modules", "venv"})
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeltanoFolder:
    """
    Attributes:
        commit: of the git checkout that the folder is; empty for none.
        variables: of the file `.env`; may be secrets.
        pipelines: by name, the documents of `pipelines/*.yml`.
        stores: by name, the documents of `datastores/*.yml`.
        workspace: the documents `workspace.yml` and `workspace-{environment}.yml`, laid over each other.
        problems: files that are left out because they are wrong.
    """

    project: MeltanoProject
    commit: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    pipelines: Mapping[str, Document] = field(default_factory=dict)
    stores: Mapping[str, Document] = field(default_factory=dict)
    workspace: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[DefinitionError, ...] = ()


def fingerprint(folder: Path) -> str:
    """
    A text that changes whenever a file that counts does, from names, sizes and times of change alone.
    """
    digest = hashlib.blake2b(digest_size=16)
    for file in [*_walk(folder, folder), folder / ".env", folder / ".git" / "HEAD"]:
        try:
            found = file.stat()
        except OSError:
            continue
        digest.update(f"{file.relative_to(folder)}\0{found.st_size}\0{found.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def read_folder(folder: Path) -> MeltanoFolder:
    """
    Read what a folder defines; a wrong file is a problem and costs what it defines.
    """
    problems: list[DefinitionError] = []
    home = folder.resolve()

    def document(name: str) -> Document | None:
        try:
            return read_document(folder, name)
        except DefinitionError as problem:
            problems.append(problem)
            return None

    def documents(below: str) -> dict[str, Document]:
        files = [file for file in sorted((folder / below).glob("*.y*ml")) if _is_own(file, home)]
        found = {file.stem: document(f"{below}/{file.name}") for file in files}
        return {name: each for name, each in found.items() if each is not None}

    project = MeltanoProject()
    main = document(FILE) if (folder / FILE).is_file() else None
    if main is not None:
        try:
            project = read_project(main.value, _locks(folder))
        except DefinitionError as problem:
            problem.facts["line"] = main.lines.get(tuple(str(problem.facts.get("at")).split(".")), 1)
            problems.append(problem)
    workspace: dict[str, Any] = {}
    for name in ("workspace.yml", f"workspace-{project.default_environment}.yml"):
        found = document(name) if (folder / name).is_file() else None
        workspace |= found.value if found is not None and isinstance(found.value, dict) else {}
    return MeltanoFolder(
        project=project,
        commit=commit_of(folder),
        variables=read_dot_env(folder / ".env"),
        pipelines=documents("pipelines"),
        stores=documents("datastores"),
        workspace=workspace,
        problems=tuple(problems),
    )


def files_of(folder: Path) -> dict[str, bytes]:
    """
    Read everything that a job gets a copy of, by path; a link counts as what it points to inside the folder.

    Raises:
        DefinitionError: the folder is too large.
    """
    found: dict[str, bytes] = {}
    total_bytes = 0
    home = folder.resolve()
    for file in _walk(folder, folder):
        if not _is_own(file, home):
            continue
        try:
            with file.open("rb") as readable:
                content = readable.read(LIMIT_BYTES - total_bytes + 1)
        except OSError:  # gone meanwhile, or not ours to read
            continue
        total_bytes += len(content)
        if len(found) >= LIMIT_FILES or total_bytes > LIMIT_BYTES:
            raise DefinitionError(
                f"The Meltano project is too large to be copied to each job: over {LIMIT_FILES} files or "
                f"{LIMIT_BYTES >> 20} MiB at {file.name}.",
                "Move data out of the project's folder.",
                file=str(file.relative_to(folder)),
            )
        found[file.relative_to(folder).as_posix()] = content
    return found


def programs_of(folder: Path, names: Iterable[str]) -> list[str]:
    """
    List those of the files that may be executed, sorted.
    """
    return sorted(name for name in names if os.access(folder / name, os.X_OK))


def _walk(folder: Path, top: Path) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name.endswith(".pyc") or entry.name == "__pycache__":
            continue
        if folder == top and entry.name in _NOT_COPIED:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), top)
        elif entry.is_file() or entry.is_symlink():
            yield Path(entry.path)


def _is_own(file: Path, home: Path) -> bool:
    """
    Whether a file is one, and stands in the project: a link may lead out of it.
    """
    return file.is_file() and file.resolve().is_relative_to(home)


def _locks(folder: Path) -> list[dict[str, Any]]:
    locks = []
    for file in sorted(folder.glob("plugins/*/*.lock")):
        try:
            found = msgspec.json.decode(file.read_bytes())
        except (OSError, ValueError):
            continue  # Meltano itself says what is wrong with it when the plugin is used
        if isinstance(found, dict):
            locks.append({**found, "plugin_type": file.parent.name})
    return locks


def commit_of(folder: Path) -> str:
    """
    Give the commit that a folder's git checkout stands at, as far as its files tell without git.
    """
    for parent in (folder, *folder.parents):
        git = parent / ".git"
        if not git.is_dir():
            continue
        try:
            head = (git / "HEAD").read_text().strip()
            if head.startswith("ref: "):
                head = _commit_of_ref(git, head.removeprefix("ref: "))
        except OSError:
            return ""
        return head if _COMMIT.fullmatch(head) else ""
    return ""


def _commit_of_ref(git: Path, ref: str) -> str:
    if (git / ref).is_file():
        return (git / ref).read_text().strip()
    packed = (git / "packed-refs").read_text().splitlines()
    return next((line.split()[0] for line in packed if line.endswith(f" {ref}")), "")
