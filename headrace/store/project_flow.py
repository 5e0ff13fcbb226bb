"""
Read one flow of a project folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from headrace.core.definitions import FlowDef
from headrace.core.errors import DefinitionError
from headrace.core.plan import Limits, SyncFiles
from headrace.store.project_findings import Findings, Part, Surroundings, meant
from headrace.store.project_placeholders import fill
from headrace.store.project_quantities import duration_seconds, size_bytes
from headrace.store.project_schema import violations
from headrace.store.project_script import read_script
from headrace.store.project_tenants import read_tenants
from headrace.store.project_yaml import Document, Location, problem, read_document

API_SOURCE = "api"
"""The source whose data comes with the job."""

_LINKS: Mapping[str, Literal["source", "target", "connector"]] = {
    "sources": "source",
    "targets": "target",
    "connectors": "connector",
}
FLOW_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def read_flow(flow_id: str, around: Surroundings, findings: Findings) -> FlowDef | None:
    """
    The flow of that id, without the tenants that are wrong; None when something else is.
    """
    part = ("flow", flow_id)
    try:
        document = _read_document(flow_id, around, findings)
    except DefinitionError as error:
        findings.lose(part, error)
        return None
    if part in findings.lost:
        return None
    body = document.value
    flow = FlowDef(
        id=flow_id,
        workspace=_workspace(document, around, findings, part),
        name=body.get("name", flow_id),
        description=body.get("description", ""),
        sources=_connectors(document, "source", "tap", around, findings, part),
        targets=_connectors(document, "target", "target", around, findings, part),
        script=read_script(document, around.folder, around.folder / "flows" / flow_id, findings, part),
        files=SyncFiles(**(body.get("files") or {})),
        limits=_limits(document, findings, part),
        links=_LINKS.get(body.get("links", "")),
    )
    flow = replace(flow, tenants=read_tenants(document, flow, around, findings))
    return None if part in findings.lost else flow


def _read_document(flow_id: str, around: Surroundings, findings: Findings) -> Document:
    file = f"flows/{flow_id}/flow.yml"
    if not FLOW_ID.fullmatch(flow_id):
        move = "Name the folder with 1 to 64 letters, digits, dashes or underscores."
        raise problem(file, 1, f"`{flow_id}` is not a valid flow id.", move)
    if not (around.folder / file).is_file():
        move = "Write one, or let the folder's name begin with `_` if it is no flow."
        raise problem(file, 1, f"The folder flows/{flow_id} has no flow.yml.", move)
    names = {**around.names, "flow": flow_id}

    def names_at(at: Location) -> Mapping[str, str]:
        return {**names, "tenant": str(at[1])} if at[:1] == ("tenants",) and len(at) > 1 else names

    document, problems = fill(read_document(around.folder, file), names_at, around.environ)
    for error in [*problems, *violations(document, "flow")]:
        findings.lose(_part_of(flow_id, error), error)
    return document


def _part_of(flow_id: str, error: DefinitionError) -> Part:
    match error.facts["at"]:
        case ["tenants", str() as tenant, *_]:
            return ("tenant", flow_id, tenant)
    return ("flow", flow_id)


def _workspace(document: Document, around: Surroundings, findings: Findings, part: Part) -> str:
    known = around.workspaces
    name = document.value.get("workspace", next(iter(known)) if len(known) == 1 else None)
    at: Location = ("workspace",)
    if name is None:
        move = f"Add `workspace:` with one of: {', '.join(known)}."
        findings.lose(
            part, document.problem((), "The flow does not name its workspace, and the project has several.", move)
        )
    elif name not in known:
        findings.lose(part, document.problem(at, f"There is no workspace {name} in headrace.yml.", meant(name, known)))
    elif not known[name]:
        findings.lose(part, document.problem(at, f"Workspace {name} is wrong itself.", "Mend it in headrace.yml."))
    return str(name)


def _connectors(
    document: Document,
    key: Literal["source", "target"],
    kind: Literal["tap", "target"],
    around: Surroundings,
    findings: Findings,
    part: Part,
) -> tuple[str, ...]:
    """
    The names under `source` or `sources`, `target` or `targets`; each must be a connector of that kind.
    """
    one, many = document.value.get(key), document.value.get(f"{key}s")
    if one is not None and many is not None:
        move = f"Keep `{key}s`, with all of them."
        findings.lose(part, document.problem((key,), f"`{key}` and `{key}s` must not stand here both.", move))
    named: list[tuple[Location, str]] = [((f"{key}s", index), name) for index, name in enumerate(many or [])]
    if one is not None:
        named = [((key,), one)]
    for at, name in named:
        for error in _wrong_connector(document, at, name, kind, around):
            findings.lose(part, error)
    return tuple(name for _, name in named)


def _wrong_connector(
    document: Document, at: Location, name: str, kind: str, around: Surroundings
) -> Iterator[DefinitionError]:
    if kind == "tap" and name == API_SOURCE:
        return
    known = around.connectors
    if name not in known:
        yield document.problem(at, f"There is no connector {name} {around.of_connectors}.", meant(name, known))
    elif (found := known[name]) is None:
        yield document.problem(at, f"Connector {name} is wrong itself.", "Mend it in headrace.yml.")
    elif found.kind != kind:
        yield document.problem(at, f"Connector {name} is a {found.kind}.", f"Name one of `kind: {kind}` here.")


def _limits(document: Document, findings: Findings, part: Part) -> dict[str, Limits]:
    found: dict[str, Limits] = {}
    for step, body in (document.value.get("limits") or {}).items():
        values: dict[str, Any] = {}
        for key, value in (body or {}).items():
            name = _limit_of(key)
            at = ("limits", step, key)
            if name in values:
                findings.lose(part, document.problem(at, f"This limit of {step} is given twice.", "Keep one of them."))
            try:
                values[name] = _quantity(name, value)
            except ValueError:
                findings.lose(
                    part, document.problem(at, f"`{key}` must be more than nothing.", "Use null for no limit.")
                )
        if values:
            found[step] = Limits(**values)
    return found


def _limit_of(key: str) -> str:
    """
    The limit that a key sets: `memory` is short for `memory_bytes`.
    """
    names = Limits.__struct_fields__
    return next(name for name in (key, f"{key}_seconds", f"{key}_bytes") if name in names)


def _quantity(name: str, value: str | float | None) -> int | float | None:
    if value is None:
        return None
    if name.endswith("_bytes"):
        return size_bytes(value)
    return duration_seconds(value) if name.endswith("_seconds") else int(value)
