"""
Read what a flow's script is: the file that runs, and the requirement lines of its environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from headrace.core.definitions import ScriptDef
from headrace.core.errors import DefinitionError
from headrace.store.project_findings import Findings, Part
from headrace.store.project_yaml import Document, problem

_DEFAULT_ENTRY = "etl.py"
# Files beside requirements.txt are not there when its environment is built, once for all jobs.
_REFERS_TO_FILE = re.compile(r"\s*(?:-r|-c|-e|--requirement|--constraint|--editable|\.)")


def read_script(document: Document, project: Path, folder: Path, findings: Findings, part: Part) -> ScriptDef | None:
    """
    The script that a flow.yml names, or etl.py where it names none and that file exists; None for a flow without.
    """
    named = document.value.get("script", {})
    if named is None:
        return None
    body: dict[str, Any] = {"entry": named} if isinstance(named, str) else named
    entry = body.get("entry", _DEFAULT_ENTRY)
    if error := _wrong_entry(document, folder, entry):
        if "script" in document.value:
            findings.lose(part, error)
        return None
    lines, errors = _requirements(document, project, folder, body)
    for error in errors:
        findings.lose(part, error)
    return ScriptDef(
        folder=folder,
        entry=entry,
        requirements=lines,
        python=body.get("python"),
        empty_output=body.get("empty_output", "fail"),
    )


def lines_of(value: str | Sequence[str]) -> tuple[str, ...]:
    """
    Requirement lines of a text or a list of texts, without empty ones.
    """
    texts = [value] if isinstance(value, str) else value
    return tuple(line.strip() for text in texts for line in text.splitlines() if line.strip())


def _wrong_entry(document: Document, folder: Path, entry: str) -> DefinitionError | None:
    file = folder / entry
    if not file.is_file():
        return document.problem(
            ("script",), f"The flow's folder has no file {entry}.", "Correct the name, or write the file."
        )
    if not file.resolve().is_relative_to(folder.resolve()):
        return document.problem(("script",), f"{entry} is not in the flow's folder.", "Move the script into it.")
    return None


def _requirements(
    document: Document, project: Path, folder: Path, body: dict[str, Any]
) -> tuple[tuple[str, ...], list[DefinitionError]]:
    if "requirements" in body:
        lines = lines_of(body["requirements"])
        at = ("script", "requirements")
        return lines, [document.problem(at, *said) for _, said in _that_refer_to_files(lines)]
    file = folder / "requirements.txt"
    if not file.is_file():
        return (), []
    lines = tuple(file.read_text(encoding="utf-8-sig", errors="replace").splitlines())
    name = file.relative_to(project).as_posix()
    return lines, [problem(name, number, *said) for number, said in _that_refer_to_files(lines)]


def _that_refer_to_files(lines: Sequence[str]) -> Iterator[tuple[int, tuple[str, str]]]:
    for number, line in enumerate(lines, start=1):
        if _REFERS_TO_FILE.match(line):
            reason = (
                "A requirement may not refer to another file: the environment is built apart from the flow's folder."
            )
            yield number, (reason, "Write the requirements themselves, or an absolute path.")
