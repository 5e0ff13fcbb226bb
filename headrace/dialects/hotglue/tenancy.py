"""
What the paths around tenants ask: links, tenants, and the door before them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.core.plan import ConnectorSpec
from headrace.dialects.hotglue.doors import Doors
from headrace.services.connections import Linking
from headrace.services.flows import Flows
from headrace.services.tenant_tokens import TenantTokens
from headrace.services.tenants import Tenants


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenancy:
    """
    The services behind the paths around tenants, in one value; `app.py` fills it.
    """

    doors: Doors
    flows: Flows
    linking: Linking
    tenants: Tenants
    tokens: TenantTokens

    def specs(self) -> Mapping[str, ConnectorSpec]:
        """
        Give every connector of the project by name.
        """
        return {connector.name: connector for connector in self.flows.project.connectors}
