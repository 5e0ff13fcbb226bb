"""
Read a project folder: workspaces, connectors and flows as plain values, and a problem for everything that is wrong in it.

A problem costs what it stands in (a connector, a flow, one tenant), and nothing else. What was lost is named, so that the last good
version of it can stay in force.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from headrace.core.definitions import FlowDef, Project, WebhookDef, WorkspaceDef
from headrace.core.errors import DefinitionError
from headrace.core.faces import ConnectorFace
from headrace.core.plan import ConnectorSpec
from headrace.store.project_findings import Findings, Part, Surroundings
from headrace.store.project_flow import read_flow
from headrace.store.project_placeholders import fill
from headrace.store.project_schema import violations
from headrace.store.project_script import lines_of
from headrace.store.project_yaml import Document, problem, read_document

MAIN_FILE = "headrace.yml"

DEFAULT_WORKSPACE = "default"
"""The name of the only workspace of a project that names none."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class LoadResult:
    """
    What a project folder holds.

    Attributes:
        project: everything that is right; paths in it are absolute.
        problems: what is wrong, each with `file`, `line` and, inside the file, `at` among its facts.
        lost: what is missing from *project* because of them.
    """

    project: Project
    problems: list[DefinitionError]
    lost: frozenset[Part]

    def in_force(self, previous: Project | None) -> Project:
        """
        The project with the last good version of everything that was lost; without one, it stays missing.
        """
        if previous is None or not self.lost:
            return self.project
        if ("project",) in self.lost:
            return previous
        before, lost = previous, self.lost
        return replace(
            self.project,
            workspaces=_restored(
                ("workspace",), self.project.workspaces, before.workspaces, lost, lambda each: each.name
            ),
            connectors=_restored(
                ("connector",), self.project.connectors, before.connectors, lost, lambda each: each.name
            ),
            flows=tuple(self._tenants_in_force(flow, before) for flow in self._flows_in_force(before)),
        )

    def _flows_in_force(self, before: Project) -> tuple[FlowDef, ...]:
        return _restored(("flow",), self.project.flows, before.flows, self.lost, lambda each: each.id)

    def _tenants_in_force(self, flow: FlowDef, before: Project) -> FlowDef:
        tenants = next((each.tenants for each in before.flows if each.id == flow.id), ())
        restored = _restored(("tenant", flow.id), flow.tenants, tenants, self.lost, lambda each: each.tenant)
        return replace(flow, tenants=restored)


def load_project(folder: Path, environ: Mapping[str, str], *, home: Path | None = None) -> LoadResult:
    """
    Read headrace.yml and flows/*/flow.yml of a folder, with placeholders filled in from *environ*.

    *home* is the server's data folder, for `${home}`. Never raises for what is wrong in a file.
    """
    folder = folder.absolute()
    names = {"project": str(folder)} | ({"home": str(home.absolute())} if home else {})
    try:
        document, problems = fill(_read_main(folder), lambda _at: names, environ)
    except DefinitionError as unreadable:
        return LoadResult(Project(folder=folder), [unreadable], frozenset({("project",)}))
    findings = Findings()
    for error in [*problems, *violations(document, "headrace")]:
        findings.lose(_part_of(error), error)
    workspaces = _declared(document, "workspaces") or {DEFAULT_WORKSPACE: None}
    connectors = _declared(document, "connectors")
    project = Project(
        folder=folder,
        workspaces=tuple(
            _workspace(name, body) for name, body in workspaces.items() if ("workspace", name) not in findings.lost
        ),
        connectors=tuple(
            connector_of(name, body) for name, body in connectors.items() if ("connector", name) not in findings.lost
        ),
    )
    around = Surroundings(
        folder=folder,
        names=names,
        environ=environ,
        workspaces={name: ("workspace", name) not in findings.lost for name in workspaces},
        connectors=dict.fromkeys(connectors) | {each.name: each for each in project.connectors},
    )
    flows = [read_flow(flow_id, around, findings) for flow_id in _flow_ids(folder)]
    return LoadResult(
        replace(project, flows=tuple(flow for flow in flows if flow)), findings.problems, frozenset(findings.lost)
    )


def _read_main(folder: Path) -> Document:
    if not (folder / MAIN_FILE).is_file():
        raise problem(
            MAIN_FILE,
            1,
            f"There is no {MAIN_FILE} in {folder}.",
            "Run `headrace init DIR` for a project to begin with, or start the server in the folder of one.",
        )
    document = read_document(folder, MAIN_FILE)
    if not isinstance(document.value, dict):
        raise document.problem((), "The file must be a mapping.", "Begin with `workspaces:` and `connectors:`.")
    return document


def _part_of(error: DefinitionError) -> Part | None:
    """
    What a problem in headrace.yml costs; nothing when it stands outside of every workspace and connector.
    """
    match error.facts["at"]:
        case ["workspaces", str() as name, *_]:
            return ("workspace", name)
        case ["connectors", str() as name, *_]:
            return ("connector", name)
    return None


def _declared(document: Document, section: str) -> dict[str, Any]:
    found = document.value.get(section)
    return found if isinstance(found, dict) else {}


def _flow_ids(folder: Path) -> list[str]:
    flows = folder / "flows"
    if not flows.is_dir():
        return []
    return sorted(path.name for path in flows.iterdir() if path.is_dir() and not path.name.startswith((".", "_")))


def _workspace(name: str, body: dict[str, Any] | None) -> WorkspaceDef:
    body = body or {}
    return WorkspaceDef(
        name=name,
        environment=body.get("environment") or {},
        webhooks=tuple(_webhook(each) for each in body.get("webhooks") or ()),
        settings=body.get("settings") or {},
    )


def _webhook(body: dict[str, Any]) -> WebhookDef:
    return WebhookDef(
        url=body["url"], secret=body.get("secret", ""), events=tuple(body.get("events", ("job-lifecycle",)))
    )


def connector_of(name: str, body: dict[str, Any]) -> ConnectorSpec:
    """
    Make a connector of its part of headrace.yml, which fits the schema.
    """
    return ConnectorSpec(
        name=name,
        kind=body["kind"],
        install=lines_of(body.get("install", ())),
        python=body.get("python"),
        executable=body.get("executable", ""),
        command=tuple(body.get("command", ())),
        compat=tuple(body.get("compat", ())),
        catalog_flag="--properties" if body.get("catalog_flag") == "properties" else "--catalog",
        discover=body.get("discover", True),
        input=body.get("input", "singer"),
        access_token=body.get("access_token", False),
        secrets=tuple(body.get("secrets", ())),
        settings=body.get("settings") or {},
        face=_face(body),
    )


def _face(body: dict[str, Any]) -> ConnectorFace | None:
    given = {name: body[name] for name in ("label", "icon", "form", "oauth") if body.get(name)}
    return msgspec.convert(given, ConnectorFace) if given else None


def _restored(
    prefix: Part, now: Sequence[Item], before: Sequence[Item], lost: frozenset[Part], key: Callable[[Item], str]
) -> tuple[Item, ...]:
    present = {key(each) for each in now}
    return (*now, *(each for each in before if (*prefix, key(each)) in lost and key(each) not in present))
