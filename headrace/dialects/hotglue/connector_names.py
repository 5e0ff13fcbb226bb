"""
Which connectors a flow offers, and which definition a two-way connector means.

A V2 connector such as `hubspot` is source and target in one. Here those are two definitions: `tap-hubspot` and `target-hubspot`,
which a flow offers together as `hubspot`. One that stands alone is offered by its own name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from headrace.core.definitions import FlowDef
from headrace.core.plan import ConnectorSpec
from headrace.services.connections import Role

API: Final = "api"
Side = Literal["tap", "target"]


def offered(flow: FlowDef) -> Role:
    """
    Say which sort of links a flow is for: what it declares, else targets where all data come with the job, else sources.
    """
    if flow.links is not None:
        return flow.links
    return "target" if flow.targets and not linkable(flow, "source") else "source"


def linkable(flow: FlowDef, role: Role) -> tuple[str, ...]:
    """
    List what a tenant may link in a flow, in the flow's order.
    """
    if role == "source":
        return tuple(name for name in flow.sources if name != API)
    if role == "target":
        return tuple(name for name in flow.targets if name != API)
    return two_way(flow)


def two_way(flow: FlowDef) -> tuple[str, ...]:
    """
    List a flow's connectors as V2 sees them.
    """
    taps = {name.removeprefix("tap-"): name for name in flow.sources if name != API}
    targets = {name.removeprefix("target-"): name for name in flow.targets if name != API}
    pairs = [name for name in taps if name in targets]
    alone = [given for side in (taps, targets) for name, given in side.items() if name not in pairs]
    return tuple(dict.fromkeys([*pairs, *alone]))


def definition_of(connectors: Mapping[str, ConnectorSpec], connector_id: str, side: Side) -> ConnectorSpec | None:
    """
    Find the definition by which a connector reads (`tap`) or writes (`target`); None when it cannot.
    """
    for name in (connector_id, f"{side}-{connector_id}"):
        found = connectors.get(name)
        if found is not None and found.kind == side:
            return found
    return None
