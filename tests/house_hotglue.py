"""
Everything that hotglue's paths ask, over a test's house.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from house import House

from headrace.core.plan import Limits
from headrace.core.schedule import Misfire
from headrace.deliveries.oauth_tokens import OAuthTokens
from headrace.dialects.hotglue.access_tokens import AccessTokens
from headrace.dialects.hotglue.after_link import AfterLink
from headrace.dialects.hotglue.asking import Asking
from headrace.dialects.hotglue.compile_v2 import read_connector_run
from headrace.dialects.hotglue.discover import Discovers
from headrace.dialects.hotglue.doors import Doors
from headrace.dialects.hotglue.linking_wire import show_change
from headrace.dialects.hotglue.real_time import RealTime
from headrace.dialects.hotglue.run import RunFlows
from headrace.dialects.hotglue.schedules import SubmitScheduled
from headrace.dialects.hotglue.tenancy import Tenancy
from headrace.services.connections import Linking
from headrace.services.consents import Consents
from headrace.services.schedules import DEFAULT_GRACE, Schedules
from headrace.services.tenant_tokens import TenantTokens
from headrace.services.tenants import Tenants
from headrace.services.uploads import Uploads
from headrace.store.schedules import Schedules as ScheduleStore
from headrace.store.tenants import Tenants as TenantStore
from headrace.store.token_signing import TokenSigning

API_URL = "http://127.0.0.1:8450/hotglue"


def _now() -> datetime:
    return datetime.now(UTC)


def tenancy_of(
    house: House,
    *,
    now: Callable[[], datetime] = _now,
    misfire: Misfire = "skip",
    grace: timedelta = DEFAULT_GRACE,
    slot_seconds: float = 10.0,
    private_networks: bool = True,
) -> Tenancy:
    asking = Asking(limits=Limits(), api_url=API_URL, now=_now, new_id=uuid4, chance=secrets.token_bytes)
    run_flow = RunFlows(house.access, house.flows, house.jobs, asking)
    run_connector = RunFlows(house.access, house.flows, house.jobs, asking, read=read_connector_run)
    tenants = TenantStore(house.database, house.sealer)
    tokens = TenantTokens(TokenSigning(house.database, house.sealer), now=now, monotonic=time.monotonic)
    schedules = Schedules(
        house.database,
        ScheduleStore(house.database, house.sealer),
        submit={"hotglue": SubmitScheduled(run_flow, run_connector)},
        new_id=uuid4,
        misfire=misfire,
        grace=grace,
    )
    discovers = Discovers(house.flows, house.jobs, asking)
    linking = Linking(
        house.database, house.connections, tenants, house.announcements, words=show_change, now=_now, new_id=uuid4
    )
    access_tokens = AccessTokens(house.flows, linking, house.jobs, asking, slot_seconds=slot_seconds)
    real_time = RealTime(house.flows, house.jobs, asking)
    return Tenancy(
        doors=Doors(house.access, tokens),
        consents=Consents(
            linking, house.sealer, OAuthTokens(timeout_seconds=5.0, private_networks=private_networks), now=now
        ),
        uploads=Uploads(house.database, house.files),
        url=API_URL,
        flows=house.flows,
        linking=linking,
        tenants=Tenants(house.database, tenants, house.files, house.jobs),
        tokens=tokens,
        run_flow=run_flow,
        run_connector=run_connector,
        discovers=discovers,
        access_tokens=access_tokens,
        real_time=real_time,
        schedules=schedules,
        after_link=AfterLink(schedules, discovers, run_flow, run_connector, now=now),
        now=now,
    )
