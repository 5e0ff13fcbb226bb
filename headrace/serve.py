"""
The role `serve`: every wire, the definitions, schedules and deliveries.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from uuid import uuid4

import uvicorn
from starlette.types import ASGIApp

from headrace.api.routes import api_wire
from headrace.console.pages import console_routes
from headrace.deliveries.dispatcher import Dispatcher
from headrace.deliveries.item_sinks import Senders, pause_of
from headrace.deliveries.oauth_tokens import OAuthTokens
from headrace.deliveries.s3 import S3Sender
from headrace.deliveries.webhook import WebhookSender
from headrace.dialects.hotglue.access_tokens import AccessTokens
from headrace.dialects.hotglue.after_link import AfterLink
from headrace.dialects.hotglue.asking import Asking
from headrace.dialects.hotglue.compile import DIALECT as HOTGLUE
from headrace.dialects.hotglue.compile_v2 import read_connector_run
from headrace.dialects.hotglue.discover import Discovers
from headrace.dialects.hotglue.doors import Doors
from headrace.dialects.hotglue.linking_wire import show_change
from headrace.dialects.hotglue.real_time import RealTime
from headrace.dialects.hotglue.rerun import RenewHotglue
from headrace.dialects.hotglue.routes import hotglue_wire
from headrace.dialects.hotglue.run import RunFlows
from headrace.dialects.hotglue.schedules import SubmitScheduled
from headrace.dialects.hotglue.tenancy import Tenancy
from headrace.dialects.intuned.compile import DIALECT as INTUNED
from headrace.dialects.intuned.places import IntunedServices
from headrace.dialects.intuned.rerun import RerunBatch
from headrace.dialects.intuned.routes import intuned_wire
from headrace.dialects.intuned.runnable import RunnableBatches
from headrace.dialects.intuned.sink_keys import CorrectedSinks
from headrace.dialects.matatika.compile import DIALECT as MATATIKA
from headrace.dialects.matatika.rerun import RenewMatatika, SubmitAgain
from headrace.dialects.matatika.routes import matatika_wire
from headrace.dialects.matatika.runnable import RunnablePipelines
from headrace.http.server import create_app
from headrace.http.services_bundle import Services
from headrace.parts import Parts, background, limits_of, new_id, now, parts
from headrace.serve_duties import UNLOOKED_SECONDS, duties_of
from headrace.serve_intuned import code_jobs_of, intuned_of
from headrace.serve_matatika import Matatika, matatika_of
from headrace.services.connections import Linking
from headrace.services.consents import Consents
from headrace.services.job_files import JobFiles
from headrace.services.pausing import Pausing
from headrace.services.reruns import Reruns
from headrace.services.schedules import Schedules
from headrace.services.tenant_tokens import TenantTokens
from headrace.services.tenants import Tenants
from headrace.services.uploads import Uploads
from headrace.settings import Settings
from headrace.store.schedules import Schedules as ScheduleStore
from headrace.store.tenants import Tenants as TenantStore
from headrace.store.token_signing import TokenSigning
from headrace.up import LISTEN_FD


async def run(settings: Settings, url: str, stop: asyncio.Event) -> None:
    """
    Answer requests, keep definitions and deliveries going, until *stop* is set.
    """
    listener = lent_listener()
    async with parts(settings, url) as p:
        await p.deployments.tick()
        await p.flows.reload()
        if settings.admin_key:
            await p.access.ensure_key(settings.admin_key.get_secret_value(), name="first admin key", role="admin")
        sender = WebhookSender(
            private_networks=settings.webhook_private_networks,
            timeout_seconds=settings.webhook_timeout_seconds,
            now=now,
        )
        intuned = intuned_of(p)
        code_jobs = code_jobs_of(p, intuned)
        await code_jobs.tick()
        buckets = S3Sender(
            private_networks=settings.webhook_private_networks, timeout_seconds=settings.webhook_timeout_seconds
        )
        dispatcher = Dispatcher(
            p.deliveries,
            p.announcements.secret_of,
            Senders(sender, buckets, intuned.fan_outs.sink_of, CorrectedSinks(p.jobs, intuned.batches)),
            chance=random.random,
            # A try is ended within four fifths of its lease.
            lease=timedelta(seconds=settings.webhook_timeout_seconds / 0.8 + 10),
            pause=pause_of,
            poll_seconds=UNLOOKED_SECONDS,
        )
        matatika = matatika_of(p)
        hotglue = hotglue_of(p, matatika, intuned)
        app = web_app(p, hotglue, matatika, intuned)
        server = http_server(app, settings)
        # What is there by now stays as long as the process; a collection that looks at all of it would hold up requests for a tenth of a second.
        gc.collect()
        gc.freeze()
        async with background(duties_of(p, dispatcher, hotglue, matatika, intuned, code_jobs)):
            serving = asyncio.create_task(server.serve(sockets=[listener] if listener else None))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            server.end()
            await serving
        await sender.close()


def web_app(p: Parts, hotglue: Tenancy, matatika: Matatika, intuned: IntunedServices) -> ASGIApp:
    """
    Put every wire over the services.
    """
    settings = p.settings
    services = Services(
        access=p.access,
        jobs=p.jobs,
        pausing=Pausing(p.jobs, intuned.fan_outs),
        flows=p.flows,
        deployments=p.deployments,
        job_files=JobFiles(p.attempts, p.files),
        bookmarks=hotglue.linking,
        deliveries=p.deliveries,
        nodes=p.nodes,
        not_ready=p.not_ready,
        run_flow=hotglue.run_flow,
        rerun=reruns_of(p, matatika, intuned),
        test_webhooks=p.announcements.test,
        other_problems=lambda: (*matatika.deployments.problems(), *intuned.automations.problems()),
        pipelines=RunnablePipelines(matatika.desk),
        batches=RunnableBatches(intuned),
        schedules=hotglue.schedules.of_workspace,
    )
    return create_app(
        services,
        wires=[
            hotglue_wire(services, hotglue),
            intuned_wire(intuned),
            matatika_wire(matatika.desk, matatika.deployments, new_id=uuid4),
            api_wire(services),
        ],
        body_limit_bytes=settings.body_limit_bytes,
        root_dialect=settings.root_dialect,
        # A dialect at the root has `/` to itself; the console is at /console in any case.
        pages=console_routes(at_root=not settings.root_dialect),
    )


def reruns_of(p: Parts, matatika: Matatika, intuned: IntunedServices) -> Reruns:
    """
    Make what runs ended jobs again, each in its dialect.
    """
    return Reruns(
        p.database,
        p.sealer,
        p.jobs,
        p.connections,
        p.files,
        renew={
            HOTGLUE: RenewHotglue(now=now, new_id=new_id, chance=secrets.token_bytes),
            MATATIKA: RenewMatatika(uuid4),
        },
        items={INTUNED: RerunBatch(intuned)},
        submit={MATATIKA: SubmitAgain(matatika.desk)},
    )


def hotglue_of(p: Parts, matatika: Matatika, intuned: IntunedServices) -> Tenancy:
    """
    Make what hotglue's paths ask.
    """
    api_url = f"{p.settings.public_url}/hotglue"
    asking = Asking(limits=limits_of(p.settings), api_url=api_url, now=now, new_id=new_id, chance=secrets.token_bytes)
    run_flow = RunFlows(p.access, p.flows, p.jobs, asking)
    run_connector = RunFlows(p.access, p.flows, p.jobs, asking, read=read_connector_run)
    tenants = TenantStore(p.database, p.sealer)
    tokens = TenantTokens(TokenSigning(p.database, p.sealer), now=now, monotonic=time.monotonic)
    schedules = Schedules(
        p.database,
        ScheduleStore(p.database, p.sealer),
        submit={
            HOTGLUE: SubmitScheduled(run_flow, run_connector),
            INTUNED: intuned.submit_scheduled,
            MATATIKA: matatika.submit_scheduled,
        },
        new_id=new_id,
        misfire=p.settings.schedule_misfire,
        grace=timedelta(seconds=p.settings.schedule_grace_seconds),
    )
    discovers = Discovers(p.flows, p.jobs, asking)
    linking = Linking(p.database, p.connections, tenants, p.announcements, words=show_change, now=now, new_id=new_id)
    access_tokens = AccessTokens(p.flows, linking, p.jobs, asking)
    real_time = RealTime(p.flows, p.jobs, asking)
    consents = Consents(
        linking,
        p.sealer,
        OAuthTokens(
            timeout_seconds=p.settings.webhook_timeout_seconds, private_networks=p.settings.webhook_private_networks
        ),
        now=now,
    )
    return Tenancy(
        doors=Doors(p.access, tokens),
        consents=consents,
        uploads=Uploads(p.database, p.files),
        url=api_url,
        flows=p.flows,
        linking=linking,
        tenants=Tenants(p.database, tenants, p.files, p.jobs),
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


def http_server(app: ASGIApp, settings: Settings) -> QuietServer:
    """
    Make the server that hands requests to *app*.
    """
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=10,
    )
    return QuietServer(config)


class QuietServer(uvicorn.Server):
    """
    uvicorn without its signal handlers, for the process has its own, and without its ten looks a second whether it is to end.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()

    def end(self) -> None:
        """
        Answer what was asked, then end.
        """
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # which keeps the time that answers tell
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._ending.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def lent_listener() -> socket.socket | None:
    """
    Give the listening socket that the supervisor lends; None when there is none.
    """
    descriptor = os.environ.pop(LISTEN_FD, None)
    return socket.socket(fileno=int(descriptor)) if descriptor is not None else None
