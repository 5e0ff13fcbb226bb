"""
What the role `serve` does of its own accord, beside answering.

An idle server asks its database once a second, and walks through its project folder as often; whoever has something to do is woken then.
A duty looks closer itself, in a task of its own, so a slow one holds up no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from headrace.deliveries.dispatcher import Dispatcher
from headrace.dialects.hotglue.tenancy import Tenancy
from headrace.dialects.intuned.code_jobs import CodeJobs
from headrace.dialects.intuned.places import IntunedServices
from headrace.engine.ticker import Ticker
from headrace.loop import Duty, every
from headrace.parts import Parts
from headrace.serve_matatika import Matatika
from headrace.services.automations import Automations
from headrace.store import project_files
from headrace.store.looks import look

UNLOOKED_SECONDS = 10.0  # between looks of their own by those who are woken otherwise


def duties_of(
    p: Parts,
    dispatcher: Dispatcher,
    hotglue: Tenancy,
    matatika: Matatika,
    intuned: IntunedServices,
    code_jobs: CodeJobs,
) -> list[Coroutine[Any, Any, None]]:
    """
    List the duties as what runs until it is cancelled.
    """
    meltano = Duty(matatika.deployments.tick, name="Meltano projects")
    glance = _Glance(p, dispatcher, hotglue, matatika, meltano)
    walk = _Walk(p, matatika, intuned.automations, code_jobs, meltano)
    return [
        p.admission.run(every_seconds=UNLOOKED_SECONDS),
        dispatcher.run(),
        every(1.0, glance.tick, name="look"),
        every(1.0, walk.tick, name="project folder"),
        *(duty.run() for duty in (meltano, *glance.duties, *walk.duties)),
        every(10.0, intuned.schedules.tick, name="schedules of automations"),
        every(60.0, p.nodes.forget_dead, name="workers that are gone"),
        every(600.0, p.retention.tick, name="retention"),
        every(3600.0, matatika.project_retention.tick, name="old projects"),
        every(3600.0, matatika.desk.jobs.forget_strays, name="stray duties"),
        every(3600.0, hotglue.schedules.forget_old, name="schedule history"),
    ]


class _Glance:
    """Wakes those whom the database has something for."""

    def __init__(self, p: Parts, dispatcher: Dispatcher, hotglue: Tenancy, matatika: Matatika, meltano: Duty) -> None:
        self._database = p.database
        self._admission = p.admission
        self._dispatcher = dispatcher
        self._looked = hotglue.schedules.looked
        self._deployed = ""
        self._workspaces: str | None = None
        self._meltano = meltano
        self._schedules = Duty(Ticker(hotglue.schedules).tick, name="schedules")
        self._deployments = Duty(p.deployments.tick, name="deployments")
        self._follow_ups = Duty(matatika.follow_ups.tick, name="what follows from pipelines")
        self._leaving = Duty(matatika.desk.workspaces.tick, name="deleted workspaces")
        self.duties = (self._schedules, self._deployments, self._follow_ups, self._leaving)

    async def tick(self) -> None:
        seen = await look(self._database)
        self._looked(seen.looked_at)
        if seen.jobs_wait:
            self._admission.wake()
        if seen.deliveries_due:
            self._dispatcher.wake()
        if seen.schedules_due:
            self._schedules.call()
        if seen.jobs_followed:
            self._follow_ups.call()
        if seen.workspaces_leave:
            self._leaving.call()
        if seen.deployed != self._deployed:
            self._deployments.call()
            self._deployed = seen.deployed
        if seen.workspaces != self._workspaces:
            self._meltano.call()
            self._workspaces = seen.workspaces


class _Walk:
    """Has what is made of the project folder, and of the folders of Meltano projects, read anew when they have changed."""

    def __init__(
        self, p: Parts, matatika: Matatika, automations: Automations, code_jobs: CodeJobs, meltano: Duty
    ) -> None:
        self._folder = p.settings.project.absolute() if p.settings.project else None
        self._flows = p.flows
        self._automations = automations
        self._projects = matatika.projects
        self._of_projects = ""
        self._meltano = meltano
        self._definitions = Duty(p.flows.reload, name="definitions")
        self._code_jobs = Duty(code_jobs.tick, name="automations")
        self.duties = (self._definitions, self._code_jobs)

    async def tick(self) -> None:
        of_folder, of_projects = await asyncio.to_thread(self._fingerprints)
        if of_folder is not None and of_folder != self._flows.fingerprint:
            self._definitions.call()
        if of_folder is not None and of_folder != self._automations.fingerprint:
            self._code_jobs.call()
        if of_projects != self._of_projects:
            self._meltano.call()
            self._of_projects = of_projects

    def _fingerprints(self) -> tuple[str | None, str]:
        of_folder = project_files.fingerprint(self._folder) if self._folder else None
        return of_folder, self._projects.fingerprint()
