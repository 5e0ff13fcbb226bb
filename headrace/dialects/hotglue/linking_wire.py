"""
What hotglue's linking calls carry, and how a connection looks to its clients.

Sources: hotglue's pages on linked sources, targets and connectors (documented only), the widget 1.4, and public customer code, whose spellings
differ; all of them are taken. Every field that any client looks for is given, null where there is nothing to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from headrace.core.errors import InvalidError
from headrace.core.faces import ConnectorFace
from headrace.core.plan import ConnectorSpec
from headrace.dialects.hotglue.bodies import object_in, text_in
from headrace.dialects.hotglue.schedule_wire import ScheduleRequest, read_schedule
from headrace.dialects.hotglue.wire import check_id
from headrace.services.connections import ConnectionChange, Linked, Role, Symlink


@dataclass(frozen=True, slots=True)
class Kind:
    """
    One of the three sorts of links.

    Attributes:
        path: last segment of its path.
        body: field of the body that holds what is linked.
        id: what a client calls the connector in it, and in what is listed.
        names: what the connector is called in queries and in flat bodies, the documented spelling first.
    """

    role: Role
    path: str
    body: str
    id: str
    names: tuple[str, ...]


SOURCES: Final = Kind("source", "linkedSources", "source", "tap", ("tap_name", "tap", "source_name", "source_id"))
TARGETS: Final = Kind("target", "linkedTargets", "target", "target", ("target_name", "target", "target_id", "tap_name"))
CONNECTORS: Final = Kind("connector", "linkedConnectors", "connector", "id", ("connector_id", "connector", "id"))
KINDS: Final = {kind.role: kind for kind in (SOURCES, TARGETS, CONNECTORS)}

# A picture for connectors that have none, because the widget draws an empty frame otherwise.
_PLUG: Final = "data:image/svg+xml," + quote(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#607d8b" stroke-width="2" stroke-linecap="round">'
    '<path d="M9 3v5M15 3v5M6 8h12v3a6 6 0 0 1-12 0zM12 17v4"/></svg>'
)

# Where the widget's popup begins, by the field in which it looks for that.
_CONSENT: Final = {"tap_url": "/tap/authorize", "target_url": "/tap/authorize", "auth_url": "/v2/entity/authorize"}

# What hotglue writes in a symlink's `type`, as far as anybody has seen; anything else means the same sort of link.
_SYMLINK_ROLES: Mapping[str, Role] = {
    "source": "source",
    "sources": "source",
    "tap": "source",
    "target": "target",
    "targets": "target",
    "connector": "connector",
    "connectors": "connector",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRequest:
    """
    What is to be linked.

    Attributes:
        schedule: to be set with it; None for none.
    """

    connector: str
    config: dict[str, Any]
    field_map: dict[str, Any] | None
    symlink: Symlink | None
    schedule: ScheduleRequest | None


def read_link(body: Mapping[str, Any], kind: Kind, *, flow: str, tenant: str) -> LinkRequest:
    """
    Read the body of a POST; what is linked may stand in it flat, too.

    Raises:
        InvalidError: a field is missing or of the wrong type.
    """
    inner = body.get(kind.body)
    what: Mapping[str, Any] = inner if isinstance(inner, dict) else body
    connector, schedule = connector_in(what, kind), object_in(body, "schedule")
    return LinkRequest(
        connector=connector,
        config=object_in(what, "config") or {},
        field_map=object_in(body, "field_map", "fieldMap") or object_in(what, "field_map", "fieldMap"),
        symlink=_symlink(object_in(what, "symlink"), kind, flow=flow, tenant=tenant),
        schedule=_schedule(schedule, kind, connector) if schedule else None,
    )


def _schedule(body: dict[str, Any], kind: Kind, connector: str) -> ScheduleRequest:
    # A V1 schedule is the flow's; a V2 one is its connector's, because no V2 job can do without.
    if kind is CONNECTORS:
        return read_schedule({"job_type": "read", **body}, connector=connector)
    return read_schedule(body)


def connector_in(body: Mapping[str, Any], kind: Kind) -> str:
    """
    Read which connector a body is about.

    Raises:
        InvalidError: it does not say so.
    """
    named = text_in(body, kind.id, *kind.names)
    if not named:
        raise InvalidError(f"The body does not name a {kind.body}.", f"Give its id as `{kind.id}`.", field=kind.id)
    return check_id(named, kind.id)


def connector_asked(query: Mapping[str, str], kind: Kind) -> str:
    """
    Read which connector a query is about; empty when it does not say so.
    """
    named = next((query[name] for name in kind.names if query.get(name)), "")
    return check_id(named, kind.names[0]) if named else ""


def _symlink(found: Mapping[str, Any] | None, kind: Kind, *, flow: str, tenant: str) -> Symlink | None:
    if not found:
        return None
    return Symlink(
        flow=check_id(text_in(found, "id", "flow_id", "flow") or flow, "symlink.id"),
        tenant=check_id(text_in(found, "tenant") or tenant, "symlink.tenant"),
        # The widget sends the whole flow that was chosen, whose `type` is a boolean.
        role=_SYMLINK_ROLES.get(str(found.get("type", "")).lower(), kind.role),
    )


def show_link(
    linked: Linked,
    kind: Kind,
    *,
    spec: ConnectorSpec | None,
    url: str,
    config: bool,
    catalog: bool,
    discover_status: str | None = None,
    schedule: str | None = None,
) -> dict[str, Any]:
    """
    Show a connection as an element of what is listed.

    *url* is that of hotglue's paths; *config* shows the settings, secrets included; *spec* is None when the project no longer has the connector; *schedule* is the
    expression of the tenant's schedule.
    """
    shown: dict[str, Any] = {
        kind.id: linked.connector,
        **show_connector(linked.connector, spec, url),
        "config_fetched": config,
        "fieldMap": linked.field_map or {},
        "field_map": linked.field_map or {},
        "forkedFieldMap": None,
        "isForked": False,
        "isReconnecting": linked.reconnecting,
        "disconnected": linked.disconnected,
        "error": _error(linked),
        "connection_name": linked.connector,
        "tenant_id": linked.tenant,
        "discover_task_status": discover_status,
        "default_import_scheduler": schedule,
        "default_export_scheduler": schedule,
        "linked_at": linked.created_at.isoformat() if linked.created_at else None,
    }
    if linked.symlink is not None:
        shown["symlink"] = {"id": linked.symlink.flow, "tenant": linked.symlink.tenant, "type": linked.symlink.role}
    if config:
        shown["config"] = linked.config
    if catalog:
        shown["catalog"] = linked.catalog
    return shown


def show_connector(name: str, spec: ConnectorSpec | None, url: str) -> dict[str, Any]:
    """
    Show a connector with what the widget needs to draw it; *url* is that of hotglue's paths.
    """
    face = (spec.face if spec else None) or ConnectorFace()
    secrets = spec.secrets if spec else ()
    form = {**{key: {} for key in ([] if face.form or face.oauth else secrets)}, **face.form}
    # The widget appends `&state=` to these, so that they need a query already.
    consent = {field: f"{url}{path}?response_type=code" for field, path in _CONSENT.items()} if face.oauth else {}
    return {
        "domain": "",
        "label": face.label or name,
        "icon": face.icon or _PLUG,
        "type": "oauth" if face.oauth else "api",
        "category": None,
        "tags": [],
        **dict.fromkeys(_CONSENT),
        **consent,
        "client_id": face.oauth.client_id if face.oauth else None,
        "connect_ui_params": {key: {"label": key, "description": "", **asked} for key, asked in form.items()},
        "connector_props": {"singer_sdk": True},
        "version": "",
    }


def awaits_consent(spec: ConnectorSpec | None, asked: LinkRequest) -> bool:
    """
    Say whether a link counts only when its account's owner has given consent: by OAuth, and no token came with it.
    """
    if spec is None or spec.face is None or spec.face.oauth is None or asked.symlink is not None:
        return False
    return not any(asked.config.get(name) for name in ("access_token", "refresh_token"))


def take_reconnecting(config: dict[str, Any] | None) -> tuple[dict[str, Any] | None, bool | None]:
    """
    Part the widget's flag `isReconnecting` from the settings it comes among; None when it does not.
    """
    if config is None or not isinstance(config.get("isReconnecting"), bool):
        return config, None
    rest = {name: value for name, value in config.items() if name != "isReconnecting"}
    return rest or None, config["isReconnecting"]


def _error(linked: Linked) -> dict[str, str] | None:
    if linked.dangling:
        return {"message": "The connection it is a symlink of is gone."}
    return (
        {"message": "Its account refused the credentials, or its owner has not consented. Link it anew."}
        if linked.disconnected
        else None
    )


def show_change(change: ConnectionChange) -> dict[str, Any]:
    """
    Say what happened to a connection: the body of its webhook.
    """
    place = change.place
    return {
        "event": f"connection.{change.kind}",
        "env_id": change.workspace,
        "flow_id": place.flow_id,
        "flow": place.flow_id,
        "tenant": place.tenant,
        "entity_type": place.role,
        "entity_id": place.connector,
        KINDS[place.role].names[0]: place.connector,
        "timestamp": change.at.isoformat(timespec="microseconds"),
    }
