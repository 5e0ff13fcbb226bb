"""
The Matatika wire over the services, and the duties that go with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from headrace.dialects.matatika.compile import DIALECT
from headrace.dialects.matatika.deploy import Deployments
from headrace.dialects.matatika.desk import Desk
from headrace.dialects.matatika.doors import Doors
from headrace.dialects.matatika.follow import FollowUps
from headrace.dialects.matatika.run import RunPipelines
from headrace.dialects.matatika.scheduled import SubmitScheduledRun
from headrace.parts import Parts, limits_of, new_id, now
from headrace.services.components import Components
from headrace.services.meltano_projects import MeltanoProjects
from headrace.services.notices import Notices
from headrace.services.pipeline_jobs import PipelineJobs
from headrace.services.pipelines import Pipelines
from headrace.services.plugins import Plugins
from headrace.services.project_retention import ProjectRetention
from headrace.services.schedules import Schedules
from headrace.services.shelf import Shelf
from headrace.services.stored_projects import StoredProjects
from headrace.services.workspaces import Workspaces
from headrace.store.notifications import Notifications
from headrace.store.resources import Resources
from headrace.store.schedules import Schedules as ScheduleStore
from headrace.store.workspace_lives import WorkspaceLives


@dataclass(frozen=True, slots=True)
class Matatika:
    """
    What the wire asks, and what turns a schedule's instants into its jobs.
    """

    desk: Desk
    submit_scheduled: SubmitScheduledRun
    follow_ups: FollowUps
    deployments: Deployments
    projects: MeltanoProjects
    project_retention: ProjectRetention


def matatika_of(p: Parts) -> Matatika:
    """
    Make what Matatika's paths ask. Ids are of version 4 here: its Jobs page promises them.
    """
    settings = p.settings
    resources = Resources(p.database, p.sealer)
    stored = StoredProjects(p.files)
    projects = MeltanoProjects(
        stored,
        WorkspaceLives(p.database),
        folder=settings.project.absolute() if settings.project else None,
        first=lambda: next((each.name for each in p.flows.project.workspaces), ""),
    )
    pipelines = Pipelines(resources, projects, new_id=uuid4)
    jobs = PipelineJobs(p.database, p.files, p.jobs, dialect=DIALECT)
    runs = RunPipelines(
        pipelines, jobs, limits=limits_of(settings), api_url=f"{settings.public_url}/matatika/api", new_id=uuid4
    )
    doors = Doors(p.access)
    notices = Notices(resources, Notifications(p.database), new_id=uuid4)
    submit = SubmitScheduledRun(doors, pipelines, runs, notices)
    # Setting and deleting alone; the one `Schedules` with every dialect's submit turns instants into jobs.
    schedules = Schedules(
        p.database,
        ScheduleStore(p.database, p.sealer),
        submit={DIALECT: submit},
        new_id=new_id,
        misfire=settings.schedule_misfire,
        grace=timedelta(seconds=settings.schedule_grace_seconds),
    )
    desk = Desk(
        doors=doors,
        pipelines=pipelines,
        components=Components(resources),
        plugins=Plugins(resources, projects),
        jobs=jobs,
        runs=runs,
        schedules=schedules,
        notices=notices,
        shelf=Shelf(resources),
        keys=p.access,
        workspaces=Workspaces(
            p.database,
            p.files,
            p.jobs,
            p.access,
            declared=lambda: {each.name for each in p.flows.project.workspaces},
        ),
        now=now,
        v1_statuses=settings.matatika_statuses == "v1",
        git_schemes=settings.git_schemes,
    )
    deployments = Deployments(desk, projects)
    follow_ups = FollowUps(doors, pipelines, desk.components, jobs, runs, notices, arrived=deployments.arrived)
    retention = ProjectRetention(p.database, stored, projects, clock=now)
    return Matatika(desk, submit, follow_ups, deployments, projects, retention)
