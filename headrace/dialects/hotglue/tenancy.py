"""
What the paths around tenants ask: links, tenants, schedules, and the door before them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from headrace.dialects.hotglue.access_tokens import AccessTokens
from headrace.dialects.hotglue.after_link import AfterLink
from headrace.dialects.hotglue.discover import Discovers
from headrace.dialects.hotglue.doors import Doors
from headrace.dialects.hotglue.real_time import RealTime
from headrace.http.services_bundle import RunFlow
from headrace.services.connections import Linking
from headrace.services.consents import Consents
from headrace.services.flows import Flows
from headrace.services.schedules import Schedules
from headrace.services.tenant_tokens import TenantTokens
from headrace.services.tenants import Tenants
from headrace.services.uploads import Uploads


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenancy:
    """
    The services behind the paths around tenants, in one value; `app.py` fills it.

    Attributes:
        url: where others reach hotglue's paths of this server.
    """

    doors: Doors
    flows: Flows
    linking: Linking
    consents: Consents
    uploads: Uploads
    url: str
    tenants: Tenants
    tokens: TenantTokens
    run_flow: RunFlow
    run_connector: RunFlow
    discovers: Discovers
    access_tokens: AccessTokens
    real_time: RealTime
    schedules: Schedules
    after_link: AfterLink
    now: Callable[[], datetime]
