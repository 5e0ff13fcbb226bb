"""
The files of a project folder: has any of them changed, and which belong to a script.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from headrace.core.definitions import ScriptDef
from headrace.core.errors import DefinitionError

LIMIT_FILES = 2_000
LIMIT_BYTES = 32 * 2**20

_WATCHED = ("headrace.yml", "flows", "pipelines", "meltano.yml", "automations")
_DEFINITIONS = ("flow.yml", "tenants")  # hold what a script must not see: other tenants' settings


def fingerprint(folder: Path) -> str:
    """
    A text that changes whenever a definition or script of the project does, from names, sizes and times of change alone.

    Cheap enough to ask each second. Data that jobs write elsewhere in the project folder does not change it.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in _WATCHED:
        path = folder / name
        with contextlib.suppress(OSError):  # somebody is at work there: the next look tells more
            for file in _walk(path) if path.is_dir() else [path]:
                found = file.lstat()
                digest.update(
                    f"{file.relative_to(folder)}\0{found.st_size}\0{found.st_mtime_ns}\0".encode(
                        errors="surrogateescape"
                    )
                )
    return digest.hexdigest()


_NOT_FOR_FUNCTIONS = ("auth-sessions-instances/", "intuned-resources/", "node_modules/")


def files_of_script(script: ScriptDef) -> dict[str, bytes]:
    """
    Everything that is copied to a job for its script: paths inside the flow's folder, sorted, and what the files hold.

    Left out: flow.yml and the tenants' files, compiled bytecode, and names that start with a dot. A link counts as what it
    points to, as long as that is inside the folder.

    Raises:
        DefinitionError: the folder is too large (32 MiB, 2,000 files), a link leads out of it, or a file cannot be read or named.
    """
    return _files_of(Path(script.folder), lambda name: not is_definition(name))


def files_of_automations(folder: Path) -> dict[str, bytes]:
    """
    Everything that is copied to a job for the functions of an automation project; see `files_of_script` for what is left out besides.

    Not copied: packages that were installed for Node on this machine, logins of this machine in plain bytes, and what no function reads.

    Raises:
        DefinitionError: as `files_of_script`.
    """
    return _files_of(folder, lambda name: not name.startswith(_NOT_FOR_FUNCTIONS))


def _files_of(folder: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    total_bytes = 0
    for file in _walk(folder):
        name = file.relative_to(folder).as_posix()
        if not wanted(name):
            continue
        _refuse_way_out(folder, file)
        content = _read(folder, file, LIMIT_BYTES - total_bytes + 1)
        total_bytes += len(content)
        if len(found) >= LIMIT_FILES or total_bytes > LIMIT_BYTES:
            raise _too_large(folder, file)
        found[name] = content
    return found


def is_definition(path: str) -> bool:
    """
    Tell whether a file of a flow's folder defines the flow, and is not for its script.
    """
    return path.split("/")[0] in _DEFINITIONS


def all_files(folder: Path) -> dict[str, bytes]:
    """
    Everything in a flow's folder that is deployed: what `files_of_script` gives, and the definitions.

    Raises:
        DefinitionError: as `files_of_script`.
    """
    return _files_of(folder, lambda _name: True)


def digest_of_files(files: Mapping[str, bytes]) -> str:
    """
    The SHA-256 that names a script's files: the same for the same paths and contents, whatever machine they stand on.
    """
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{len(name)}:{name}\0{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def _walk(folder: Path) -> Iterator[Path]:
    """
    Files below a folder in the order of their names, without following links to folders.
    """
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith(".") or entry.name == "__pycache__" or entry.name.endswith(".pyc"):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        elif entry.is_file() or entry.is_symlink():
            yield Path(entry.path)


def _read(folder: Path, file: Path, most_bytes: int) -> bytes:
    try:
        str(file).encode()
        with file.open("rb") as readable:
            return readable.read(most_bytes)
    except (OSError, UnicodeEncodeError) as error:
        raise DefinitionError(
            f"A file of {folder.name} cannot be copied to a job: {file.name!a}.",
            "Give it a readable name and content, or move it out of the flow's folder.",
            file=ascii(str(file)),
        ) from error


def _refuse_way_out(folder: Path, file: Path) -> None:
    if not file.is_symlink():
        return
    target = file.resolve()
    if not target.is_relative_to(folder.resolve()) or not target.is_file():
        raise DefinitionError(
            f"{file.name} in {folder.name} is a link that leads out of the folder, to another folder or nowhere.",
            "Copy the file into the flow's folder.",
            file=str(file),
        )


def _too_large(folder: Path, file: Path) -> DefinitionError:
    return DefinitionError(
        f"The folder of {folder.name} is too large to be copied to each job: over {LIMIT_FILES} files or {LIMIT_BYTES >> 20} MiB at {file.name}.",
        "Move out of it what no job needs: data comes to a job by its sync, its snapshots or its parameters.",
        file=str(file),
    )
