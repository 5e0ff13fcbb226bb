"""
Read a flow or a connector that was sent instead of lying in a project folder: the same rules, the same messages.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import msgspec

from headrace.core.definitions import FlowDef
from headrace.core.errors import DefinitionError, InvalidError, TooLargeError
from headrace.core.plan import ConnectorSpec
from headrace.store.project import connector_of
from headrace.store.project_files import LIMIT_BYTES, LIMIT_FILES, is_definition
from headrace.store.project_findings import Findings, Surroundings
from headrace.store.project_flow import FLOW_ID, read_flow
from headrace.store.project_schema import violations
from headrace.store.project_yaml import Document, read_document

_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")
_PATH_LENGTH = 255
_NOWHERE = PurePath()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowUpload:
    """
    A flow that was sent and is right.

    Attributes:
        flow: its definition; the folder of its script is nowhere, for its files are stored under their digest.
        definitions: flow.yml and the tenants' files, as they were sent.
        files: everything else: what a job's script finds in its folder.
    """

    flow: FlowDef
    definitions: Mapping[str, str]
    files: Mapping[str, bytes]


def read_upload(
    flow_id: str,
    files: Mapping[str, bytes],
    *,
    workspace: str,
    variables: Mapping[str, str],
    connectors: Mapping[str, ConnectorSpec],
) -> FlowUpload:
    """
    Read a flow from its files: paths inside the flow's folder, and what they hold.

    Of placeholders only `${flow}`, `${tenant}` and `${env:NAME}` mean something, the last by the workspace's *variables*: whoever may
    deploy a flow may not therefore read the server's own. The flow is of *workspace*, whatever its file says.

    Raises:
        InvalidError: a path leads out of the folder, or cannot be stored.
        TooLargeError: there are too many files, or too much in them.
        DefinitionError: something in them is wrong; all mistakes are among its facts as `problems`.
    """
    if not FLOW_ID.fullmatch(flow_id):
        raise InvalidError(
            f"`{flow_id[:_PATH_LENGTH]}` is not a valid flow id.",
            "Use 1 to 64 letters, digits, dashes or underscores.",
        )
    _refuse_unfit(files)
    findings = Findings()
    with tempfile.TemporaryDirectory(prefix="headrace-upload-") as folder:
        project = Path(folder)
        _write(project / "flows" / flow_id, files)
        around = Surroundings(
            folder=project,
            names={},
            environ=variables,
            workspaces={workspace: True, **_named_workspace(project, flow_id)},
            connectors=dict(connectors),
            of_connectors=f"in {workspace}, where `headrace connector deploy` puts one",
        )
        flow = read_flow(flow_id, around, findings)
    if findings.problems or flow is None:
        raise summary(findings.problems)
    if b"\\u0000" in msgspec.json.encode(flow, enc_hook=str):  # PostgreSQL keeps neither texts nor JSON with it
        raise InvalidError("A text in the flow's files holds a NUL character.", "Leave it out.")
    script = replace(flow.script, folder=_NOWHERE) if flow.script else None
    return FlowUpload(
        flow=replace(flow, workspace=workspace, script=script),
        definitions={path: _text(path, data) for path, data in files.items() if is_definition(path)},
        files={path: data for path, data in files.items() if not is_definition(path)},
    )


def read_connector(name: str, body: Mapping[str, Any]) -> ConnectorSpec:
    """
    Read a connector from what would stand under its name in headrace.yml, placeholders filled in.

    Raises:
        DefinitionError: something in it is wrong; all mistakes are among its facts as `problems`.
    """
    document = Document(f"connector {name}", {"connectors": {name: dict(body)}}, {(): 1})
    problems = [_without_place(each) for each in violations(document, "headrace")]
    if problems:
        raise summary(problems)
    return connector_of(name, dict(body))


def summary(problems: Sequence[DefinitionError]) -> DefinitionError:
    """
    Make one error of several mistakes: it says the first, and has all of them among its facts.
    """
    first, more = problems[0], len(problems) - 1
    told = [
        {"file": each.facts.get("file"), "line": each.facts.get("line"), "reason": each.reason,
         "instruction": each.instruction}
        for each in problems
    ]  # fmt: skip
    rest = f" {more} more {'mistake' if more == 1 else 'mistakes'}." if more else ""
    return DefinitionError(f"{first.reason}{rest}", first.instruction, problems=told)


def to_json(flow: FlowDef) -> dict[str, Any]:
    """
    Write a flow as plain JSON values.
    """
    written: dict[str, Any] = msgspec.to_builtins(flow, enc_hook=str)
    return written


def flow_from_json(value: Mapping[str, Any]) -> FlowDef:
    """
    Read what `to_json` wrote.
    """
    return msgspec.convert(value, FlowDef, dec_hook=lambda _kind, text: PurePath(text))


def _refuse_unfit(files: Mapping[str, bytes]) -> None:
    for path in files:
        parts = path.split("/")
        if len(path) > _PATH_LENGTH or _CONTROL.search(path) or any(not part or part[0] == "." for part in parts):
            raise InvalidError(
                f"The path {path[:_PATH_LENGTH]!a} is not one of a file inside a flow's folder.",
                "Use relative paths with `/`; no part of them may be empty or begin with a dot.",
                path=path[:_PATH_LENGTH],
            )
    folders = {str(parent) for path in files for parent in PurePath(path).parents}
    if taken := sorted(folders & files.keys()):
        raise InvalidError(f"The path {taken[0]} is both a file and a folder.", "Rename one of them.", path=taken[0])
    if len(files) > LIMIT_FILES or sum(map(len, files.values())) > LIMIT_BYTES:
        raise TooLargeError(
            f"A flow's folder may hold {LIMIT_FILES} files and {LIMIT_BYTES >> 20} MiB.",
            "Move data out of it; a script reads what its job synced, or its snapshots.",
        )


def _text(path: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidError(f"{path} is not UTF-8.", "Save it as UTF-8.", path=path) from error


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, data in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def _named_workspace(project: Path, flow_id: str) -> dict[str, bool]:
    """
    Give the workspace that a flow.yml names: a folder may be deployed to others as well.
    """
    try:
        document = read_document(project, f"flows/{flow_id}/flow.yml")
    except DefinitionError:
        return {}  # it is read again, and told of then
    named = document.value.get("workspace") if isinstance(document.value, dict) else None
    return {named: True} if isinstance(named, str) else {}


def _without_place(error: DefinitionError) -> DefinitionError:
    """
    Leave out the file and the line of a mistake in what came as JSON.
    """
    return DefinitionError(error.reason.partition(": ")[2], error.instruction, at=error.facts["at"])
