"""
The role `worker`: runs jobs, and rescues those of workers that are gone.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import socket
from datetime import timedelta

import structlog

from headrace.dialects.intuned.ids import RUN_ID_LENGTH, run_id
from headrace.engine.command_steps import CommandSteps
from headrace.engine.executor import Executor
from headrace.engine.item_executor import ItemExecutor
from headrace.engine.item_worker import ItemWorker, route
from headrace.engine.liveness import LOST_EXIT_CODE, Liveness
from headrace.engine.procrastinate import Node
from headrace.engine.stray_links import sweep_links
from headrace.engine.stray_places import sweep_places
from headrace.engine.toolbox import Toolbox
from headrace.engine.worker import Worker
from headrace.loop import every
from headrace.parts import background, new_id, now, parts
from headrace.runners.automation import AutomationRunner
from headrace.runners.environments import Environments
from headrace.runners.git import GitRules
from headrace.runners.machine import most_memory_bytes
from headrace.runners.process import ShimPool
from headrace.services.item_attempts import ItemAttempts
from headrace.services.item_logins import ItemLogins
from headrace.services.job_keys import JobKeys
from headrace.services.kept_catalogs import KeptCatalogs
from headrace.services.pipeline_states import PipelineStates
from headrace.services.tenant_locks import TenantLocks
from headrace.settings import Settings
from headrace.store.auth_sessions import AuthSessions

log = structlog.get_logger(__name__)

_WARM_SHIMS = 2  # 5 MB each; a first burst beyond them pays cold starts, and those that have served are kept


async def run(settings: Settings, url: str, stop: asyncio.Event) -> None:
    """
    Run jobs until *stop* is set; what still runs after the drain time is handed back.
    """
    home = settings.home.absolute()
    shims = ShimPool(warm=min(settings.slots, _WARM_SHIMS), spare=settings.slots, most_memory_bytes=most_memory_bytes())
    async with parts(settings, url) as p, shims as pool:
        name = f"{socket.gethostname()}:{os.getpid()}"
        node_id = new_id()
        environments = Environments(home / "environments")
        git = GitRules(schemes=settings.git_schemes, known_hosts=home / "git_known_hosts")
        catalogs = KeptCatalogs(p.database, p.sealer)
        places = home / "meltano"
        commands = CommandSteps(
            p.files, environments, PipelineStates(p.database), places=places, catalogs=catalogs, git=git
        )
        executor = Executor(
            pool,
            Toolbox(environments),
            p.files,
            p.logs,
            commands=commands,
            tenant_locks=TenantLocks(p.database),
            api_key=JobKeys(p.database, p.sealer).make,
            clock=now,
        )
        worker = Worker(
            p.attempts, executor, node_id=node_id, node_name=name, max_crashes=settings.max_crashes, clock=now
        )
        items = ItemWorker(
            ItemAttempts(
                p.database,
                p.sealer,
                p.queue,
                p.announcements,
                p.admission,
                item_id=_new_run_id,
                chance=random.random,
                logins=ItemLogins(
                    AuthSessions(p.database, p.sealer),
                    p.sealer,
                    p.queue,
                    p.announcements,
                    new_id=new_id,
                    item_id=_new_run_id,
                    good_for=timedelta(seconds=settings.session_check_seconds),
                ),
            ),
            ItemExecutor(
                pool,
                p.files,
                p.logs,
                AutomationRunner(environments, p.files),
                project=settings.project.absolute() if settings.project else None,
                clock=now,
            ),
            node_id=node_id,
            node_name=name,
            max_crashes=settings.max_crashes,
            clock=now,
        )
        node = Node(
            name=name,
            slots=settings.slots,
            on_lost=_give_up,
            on_live=pool.live_until,
            liveness=Liveness(settings.worker_ttl_seconds, settings.worker_beat_seconds),
            grace_seconds=settings.drain_seconds,
        )
        duties = [
            p.admission.run(every_seconds=settings.worker_beat_seconds),
            every(
                settings.worker_beat_seconds,
                lambda: p.nodes.beat(node_id, name=name, roles=["worker"], slots=settings.slots),
                name="beat",
            ),
            every(settings.worker_beat_seconds, lambda: p.queue.reap(settings.worker_ttl_seconds), name="rescue"),
            every(60.0, lambda: sweep_links(p.attempts, p.files.folder("jobs")), name="links of dead workers"),
            every(60.0, lambda: sweep_places(p.attempts, p.files, places), name="projects of dead workers"),
        ]
        if settings.environment_days:
            unused_for = timedelta(days=settings.environment_days)
            duties.append(
                every(3600.0, lambda: environments.prune(now=now(), unused_for=unused_for), name="unused environments")
            )
        async with background(duties):
            p.admission.wake()
            await p.queue.work(route(worker.handle, items.handle), node=node, stop=stop)


def _new_run_id() -> str:
    return run_id(secrets.token_bytes(RUN_ID_LENGTH))


def _give_up(reason: str) -> None:
    """
    End this process at once: others may own its jobs by now. Every shim sees its socket close and ends its children.
    """
    log.error("worker gives up", reason=reason)
    os._exit(LOST_EXIT_CODE)
