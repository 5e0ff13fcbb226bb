"""
From hotglue's V2 run call to a plan: one connector, read or written.

A V2 job is the V1 job of a narrower flow: `read` has the connector as its only source, `write` has it as its only target. So there is one
compiler, and this one says what it is shown.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET

from headrace.core.errors import InvalidError
from headrace.core.job import NewJob
from headrace.core.plan import ConnectorSpec, Plan
from headrace.dialects.hotglue.asking import Asked
from headrace.dialects.hotglue.bodies import object_in, text_in
from headrace.dialects.hotglue.compile import API_TAP, HIDDEN, compile_run
from headrace.dialects.hotglue.connector_names import Side, definition_of
from headrace.dialects.hotglue.ids import job_name
from headrace.dialects.hotglue.run import Compile
from headrace.dialects.hotglue.wire import RunRequest, check_id, decode_run
from headrace.services.flows import FlowOfTenant, LinkOutline

JobType = Literal["read", "write"]

_SIDES: Final[dict[JobType, Side]] = {"read": "tap", "write": "target"}


class ConnectorRun(msgspec.Struct, frozen=True, kw_only=True):
    """
    The body of `POST /v2/{env_id}/{flow_id}/{tenant}/jobs` (documented only): V1's, and these.

    Attributes:
        connector_id: empty for the only one that is linked.
        override_connector_config: settings of the connector for this job, whichever side it is on.
    """

    request: RunRequest
    connector_id: str
    job_type: JobType
    override_connector_config: dict[str, Any]


def read_connector_run(options: bytes) -> Compile:
    """
    Read the body of a V2 run call.

    Raises:
        InvalidError: it is not as it should be; the reason names the field.
    """
    asked_run = decode_connector_run(options)
    return lambda of, asked: compile_connector_run(of, asked_run, asked)


def decode_connector_run(options: bytes) -> ConnectorRun:
    """
    Read what is asked of a connector; `READ` and `read` are the same.

    Raises:
        InvalidError: it is not as it should be; the reason names the field.
    """
    request = decode_run(options)
    # `state` is data and may hold what no name can; `decode_run` has checked the rest.
    body = msgspec.json.decode(options) if options.strip() else {}
    connector_id, job_type = text_in(body, "connector_id"), text_in(body, "job_type").lower()
    if job_type not in _SIDES:
        raise InvalidError("`job_type` is neither `read` nor `write`.", "Give one of them.", field="job_type")
    overrides = object_in(body, "override_connector_config") or {}
    if "\0" in "".join(overrides):
        raise InvalidError(
            "The field `override_connector_config` contains the character NUL.",
            "Leave it out.",
            field="override_connector_config",
        )
    return ConnectorRun(
        request=request,
        connector_id=check_id(connector_id, "connector_id") if connector_id else "",
        job_type="read" if job_type == "read" else "write",
        override_connector_config=overrides,
    )


def compile_connector_run(of: FlowOfTenant, run: ConnectorRun, asked: Asked) -> tuple[NewJob, Plan]:
    """
    Make the job and the plan of a V2 run.

    Raises:
        InvalidError: the connector is not linked or cannot do what is asked; the reason names the choices.
    """
    spec, link = _chosen(of, run)
    connector_id = link.connector
    if run.job_type == "read":
        narrowed, request = _reading(of, spec, link), _with_overrides(run, "override_source_config", tap=spec.name)
    else:
        narrowed, request = _writing(of, spec, link), _with_overrides(run, "override_target_config", tap=_origin(run))
    new, plan = compile_run(narrowed, request, asked)
    side = "tap" if run.job_type == "read" else "target"
    told = {"JOB_TYPE": run.job_type, "CONNECTOR_ID": connector_id, side.upper(): connector_id}
    details = {
        **new.details,
        side: connector_id,
        "connector_id": connector_id,
        "job_type": run.job_type.upper(),
        "override_connector_config": dict.fromkeys(run.override_connector_config, HIDDEN) or None,
    }
    name = run.request.name or job_name(flow=of.flow.id, tap=connector_id, at=asked.now)
    return replace(new, details=details, name=name), msgspec.structs.replace(plan, variables={**plan.variables, **told})


def _chosen(of: FlowOfTenant, run: ConnectorRun) -> tuple[ConnectorSpec, LinkOutline]:
    """
    Find the connection that is meant, and the definition by which it does what is asked.

    One that was linked as a source or a target, as project files do, serves as well.
    """
    side = _SIDES[run.job_type]
    candidates = _candidates(of, run.job_type)
    names = ", ".join(f"`{link.connector}`" for link in candidates) or "none"
    if not run.connector_id and len(candidates) != 1:
        raise InvalidError("`connector_id` is missing.", f"Connectors that are linked: {names}.", field="connector_id")
    for link in candidates:
        if run.connector_id in ("", link.connector, link.connector.removeprefix(f"{side}-")):
            spec = definition_of(of.connectors, link.connector, side)
            if spec is not None:
                return spec, link
            raise InvalidError(
                f"The connector `{link.connector}` cannot {run.job_type}.",
                f"Define a {side} `{side}-{link.connector}` in headrace.yml.",
                field="job_type",
            )
    raise InvalidError(
        f"The connector `{run.connector_id}` is not linked for this tenant.", f"Linked: {names}.", field="connector_id"
    )


def _candidates(of: FlowOfTenant, job_type: JobType) -> list[LinkOutline]:
    role = "source" if job_type == "read" else "target"
    connectors = [link for link in of.links if link.role == "connector"]
    return connectors + [link for link in of.links if link.role == role]


def _reading(of: FlowOfTenant, spec: ConnectorSpec, link: LinkOutline) -> FlowOfTenant:
    source = replace(link, role="source", connector=spec.name)
    return replace(of, links=(source, *(other for other in of.links if other.role == "target")))


def _writing(of: FlowOfTenant, spec: ConnectorSpec, link: LinkOutline) -> FlowOfTenant:
    target = replace(link, role="target", connector=spec.name)
    sources = tuple(other for other in of.links if other.role == "source")
    # A source of tenant `default` is not taken: tenants that shared its bookmark would take each other's rows. A symlink to it has its own.
    return replace(of, flow=replace(of.flow, targets=(spec.name,)), links=(target, *sources), shared_links=())


def _origin(run: ConnectorRun) -> str:
    """
    Name what a write job takes its data from: what was sent with it, if anything was.
    """
    return run.request.tap or ("" if run.request.state is UNSET else API_TAP)


def _with_overrides(run: ConnectorRun, field: str, *, tap: str) -> RunRequest:
    overrides = {**getattr(run.request, field), **run.override_connector_config}
    return msgspec.structs.replace(run.request, **{field: overrides, "tap": tap})
