"""
All of hotglue's paths but those of jobs.
"""

from __future__ import annotations

from starlette.routing import Route

from headrace.dialects.hotglue.access_token_routes import AccessTokenRoutes
from headrace.dialects.hotglue.consent_routes import ConsentRoutes
from headrace.dialects.hotglue.flow_routes import FlowRoutes
from headrace.dialects.hotglue.linking_routes import linking_routes
from headrace.dialects.hotglue.real_time_routes import RealTimeRoutes
from headrace.dialects.hotglue.schedule_routes import ScheduleRoutes
from headrace.dialects.hotglue.tenancy import Tenancy
from headrace.dialects.hotglue.tenant_routes import TenantRoutes
from headrace.dialects.hotglue.upload_routes import UploadRoutes


def tenancy_routes(tenancy: Tenancy) -> list[Route]:
    """
    List them, those first whose fixed words another one would take for an id.
    """
    return [
        *TenantRoutes(tenancy).routes(),
        *FlowRoutes(tenancy).routes(),
        *ScheduleRoutes(tenancy).routes(),
        *linking_routes(tenancy),
        *ConsentRoutes(tenancy).routes(),
        *UploadRoutes(tenancy).routes(),
        *AccessTokenRoutes(tenancy).routes(),
        *RealTimeRoutes(tenancy).routes(),
    ]
