"""
The role `serve`, as far as Intuned's paths need it.
"""

from __future__ import annotations

import secrets

from headrace.dialects.intuned.code_jobs import CodeJobs
from headrace.dialects.intuned.compile import DIALECT
from headrace.dialects.intuned.places import IntunedServices
from headrace.dialects.intuned.run import StartAutomations
from headrace.dialects.intuned.schedules import SubmitScheduledJob, expression
from headrace.parts import Parts, limits_of, new_id, now
from headrace.services.auth_sessions import AuthSessions
from headrace.services.automations import Automations
from headrace.services.batch_schedules import BatchSchedules
from headrace.services.batches import Batches
from headrace.services.fan_outs import FanOuts
from headrace.services.job_files import JobFiles
from headrace.services.result_links import ResultLinks
from headrace.services.schedules import Schedules
from headrace.store.auth_sessions import AuthSessions as AuthSessionStore
from headrace.store.batch_schedules import BatchSchedules as BatchScheduleStore
from headrace.store.batches import Batches as BatchStore
from headrace.store.schedules import Schedules as ScheduleStore


def intuned_of(p: Parts) -> IntunedServices:
    """
    Make what Intuned's paths ask.
    """
    fan_outs = FanOuts(p.database, p.sealer, p.queue, p.admission, p.announcements)
    batches = Batches(BatchStore(p.database, p.sealer), p.jobs, fan_outs, new_id=new_id)
    project = p.settings.project.absolute() if p.settings.project else None
    automations = Automations(p.files, folder=project)
    sessions = AuthSessions(AuthSessionStore(p.database, p.sealer), p.jobs, fan_outs, new_id=new_id)
    start = StartAutomations(
        batches, p.jobs, sessions, limits=limits_of(p.settings), new_id=new_id, chance=secrets.token_bytes
    )
    submit = SubmitScheduledJob(p.access, automations, batches, start)
    schedules = BatchSchedules(
        BatchScheduleStore(p.database, dialect=DIALECT),
        batches,
        # Setting and deleting alone; the one `Schedules` with every dialect's submit turns instants into jobs.
        Schedules(p.database, ScheduleStore(p.database, p.sealer), submit={DIALECT: submit}, new_id=new_id),
        expression=expression,
        dialect=DIALECT,
        now=now,
    )
    return IntunedServices(
        access=p.access,
        automations=automations,
        batches=batches,
        fan_outs=fan_outs,
        files=JobFiles(p.attempts, p.files),
        jobs=p.jobs,
        links=ResultLinks(p.sealer, now=now),
        schedules=schedules,
        sessions=sessions,
        start=start,
        submit_scheduled=submit,
    )


def code_jobs_of(p: Parts, intuned: IntunedServices) -> CodeJobs:
    """
    Make what keeps the automation projects, and the jobs that are files of them, in force.
    """
    return CodeJobs(intuned.automations, intuned.batches, intuned.sessions, workspaces=p.workspaces.all)
