"""
What is in force by deployment, over all workspaces, as a process holds it in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.core.definitions import FlowDef
from headrace.core.plan import ConnectorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedFlow:
    """
    Attributes:
        script: digest of its stored folder; None for a flow without a script.
        number: of the version.
    """

    flow: FlowDef
    script: str | None
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedConnector:
    """
    Attributes:
        number: of the version.
    """

    spec: ConnectorSpec
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """
    Both by name of the workspace and their own.
    """

    flows: Mapping[tuple[str, str], DeployedFlow] = field(default_factory=dict)
    connectors: Mapping[tuple[str, str], DeployedConnector] = field(default_factory=dict)

    def connectors_of(self, workspace: str) -> dict[str, DeployedConnector]:
        return {name: found for (place, name), found in self.connectors.items() if place == workspace}
