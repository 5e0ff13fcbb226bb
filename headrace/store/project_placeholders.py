"""
Fill in the placeholders of a project file: `${env:NAME}`, `${env:NAME:-default}`, `${project}`, `${home}`, `${flow}`, `${tenant}`.

They stand in values, never in keys; `$${` writes a plain `${`. What is filled in is not looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from headrace.core.errors import DefinitionError
from headrace.store.project_findings import meant
from headrace.store.project_yaml import Document, Location

_PLACEHOLDER = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_ENVIRONMENT = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_OF_FOLDERS = ("project", "home")  # always known where there is a project folder

NamesAt = Callable[[Location], Mapping[str, str]]
"""The names, and what they stand for, that may be used in the value at a location."""


def fill(document: Document, names_at: NamesAt, environ: Mapping[str, str]) -> tuple[Document, list[DefinitionError]]:
    """
    The document with every placeholder filled in, and what could not be; such a value is left as it was written.
    """
    problems: list[DefinitionError] = []

    def filled(value: Any, at: Location) -> Any:
        match value:
            case str():
                return _fill_text(value, document, at, names_at(at), environ, problems) if "${" in value else value
            case dict():
                return {key: filled(item, (*at, key)) for key, item in value.items()}
            case list():
                return [filled(item, (*at, index)) for index, item in enumerate(value)]
        return value

    return replace(document, value=filled(document.value, ())), problems


def _fill_text(
    text: str,
    document: Document,
    at: Location,
    names: Mapping[str, str],
    environ: Mapping[str, str],
    problems: list[DefinitionError],
) -> str:
    def value_of(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "${"
        if name in names:
            return names[name]
        variable = _ENVIRONMENT.fullmatch(name)
        found = _variable(variable[1], variable[2], environ) if variable else None
        if found is None:
            problems.append(document.problem(at, *_missing(name, variable, names)))
            return match[0]
        return found

    return _PLACEHOLDER.sub(value_of, text)


def _variable(name: str, default: str | None, environ: Mapping[str, str]) -> str | None:
    found = environ.get(name)
    return default if default is not None and not found else found  # as in a shell, `:-` counts an empty one as unset


def _missing(name: str, variable: re.Match[str] | None, names: Mapping[str, str]) -> tuple[str, str]:
    if variable:
        return (
            f"The environment variable {variable[1]} is not set.",
            f"Set it where the server starts (for a deployed flow in the workspace's `environment`), or write ${{env:{variable[1]}:-default}}.",
        )
    if name in _OF_FOLDERS:
        return (
            f"The placeholder `${{{name}}}` has no meaning here: what is deployed lies in no folder of the server.",
            "Write the path or address out, or leave this in the project folder.",
        )
    return (
        f"The placeholder `${{{name}}}` has no meaning here.",
        f"{meant(name, [*names, 'env:NAME'])} A plain `${{` is written `$${{`.",
    )
