"""
Read which tenants have linked a flow, out of its flow.yml and of files of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headrace.core.definitions import FlowDef, LinkDef, TenantDef
from headrace.core.errors import DefinitionError
from headrace.store.project_findings import Findings, Part, Surroundings, meant
from headrace.store.project_placeholders import fill
from headrace.store.project_schema import violations
from headrace.store.project_yaml import Document, Location, read_document


def read_tenants(document: Document, flow: FlowDef, around: Surroundings, findings: Findings) -> tuple[TenantDef, ...]:
    """
    Every tenant of the flow that is right, those of flow.yml first, then those of the files in the order of their names.

    A problem costs its tenant alone; of a tenant that is defined twice the first stays.
    """
    found: dict[str, TenantDef] = {}
    for tenant, source, at in _bodies(document, flow, around, findings):
        part = ("tenant", flow.id, tenant)
        if tenant in found:
            findings.lose(
                None, source.problem(at, f"Tenant {tenant} is defined twice in this flow.", "Keep one of the two.")
            )
        elif part not in findings.lost and (links := _links(source, at, flow, findings, part)):
            found[tenant] = TenantDef(tenant=tenant, sources=links[0], targets=links[1])
    return tuple(found.values())


def _bodies(
    document: Document, flow: FlowDef, around: Surroundings, findings: Findings
) -> Iterator[tuple[str, Document, Location]]:
    """
    Each tenant's id, and where its body stands.
    """
    for tenant in document.value.get("tenants") or {}:
        yield tenant, document, ("tenants", tenant)
    folder = around.folder / "flows" / flow.id / "tenants"
    for file in sorted(folder.glob("*.y*ml")) if folder.is_dir() else []:
        if not file.name.startswith("."):
            name = file.relative_to(around.folder).as_posix()
            yield from _read_file(name, file.stem, flow, around, findings)


def _read_file(
    file: str, stem: str, flow: FlowDef, around: Surroundings, findings: Findings
) -> Iterator[tuple[str, Document, Location]]:
    tenant = stem
    try:
        raw = read_document(around.folder, file)
        if isinstance(raw.value, dict) and isinstance(raw.value.get("tenant"), str):
            tenant = raw.value["tenant"]
        names = {**around.names, "flow": flow.id, "tenant": tenant}
        document, problems = fill(raw, lambda _at: names, around.environ)
    except DefinitionError as unreadable:
        findings.lose(("tenant", flow.id, tenant), unreadable)
        return
    problems += violations(document, "tenant")
    for error in problems:
        findings.lose(("tenant", flow.id, tenant), error)
    if not problems:
        yield tenant, document, ()


def _links(
    document: Document, at: Location, flow: FlowDef, findings: Findings, part: Part
) -> tuple[tuple[LinkDef, ...], tuple[LinkDef, ...]] | None:
    body = document.value
    for key in at:
        body = body[key]
    problems = [
        *_unknown(document, at, body, "sources", flow.sources),
        *_unknown(document, at, body, "targets", flow.targets),
    ]
    for error in problems:
        findings.lose(part, error)
    return None if problems else (_of_side(body, "sources"), _of_side(body, "targets"))


def _unknown(
    document: Document, at: Location, body: dict[str, Any] | None, side: str, known: tuple[str, ...]
) -> Iterator[DefinitionError]:
    for name in (body or {}).get(side) or {}:
        if name not in known:
            yield document.problem((*at, side, name), f"{name} is not among the flow's {side}.", meant(name, known))


def _of_side(body: dict[str, Any] | None, side: str) -> tuple[LinkDef, ...]:
    links: dict[str, dict[str, Any] | None] = (body or {}).get(side) or {}
    return tuple(
        LinkDef(
            connector=name,
            config=(link or {}).get("config") or {},
            field_map=(link or {}).get("field_map"),
            catalog=(link or {}).get("catalog"),
        )
        for name, link in links.items()
    )
