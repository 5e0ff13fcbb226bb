"""
The role `serve`, as far as Intuned's paths need it.
"""

from __future__ import annotations

import secrets

from headrace.dialects.intuned.code_jobs import CodeJobs
from headrace.dialects.intuned.places import IntunedServices
from headrace.dialects.intuned.run import StartAutomations
from headrace.parts import Parts, limits_of, new_id, now
from headrace.services.automations import Automations
from headrace.services.batches import Batches
from headrace.services.fan_outs import FanOuts
from headrace.services.result_links import ResultLinks
from headrace.store.batches import Batches as BatchStore


def intuned_of(p: Parts) -> IntunedServices:
    """
    Make what Intuned's paths ask.
    """
    fan_outs = FanOuts(p.database, p.sealer, p.queue, p.admission, p.announcements)
    batches = Batches(BatchStore(p.database, p.sealer), p.jobs, fan_outs, new_id=new_id)
    project = p.settings.project.absolute() if p.settings.project else None
    return IntunedServices(
        access=p.access,
        automations=Automations(p.files, folder=project),
        batches=batches,
        fan_outs=fan_outs,
        jobs=p.jobs,
        links=ResultLinks(p.sealer, now=now),
        start=StartAutomations(
            batches, p.jobs, limits=limits_of(p.settings), new_id=new_id, chance=secrets.token_bytes
        ),
    )


def code_jobs_of(p: Parts, intuned: IntunedServices) -> CodeJobs:
    """
    Make what keeps the automation projects, and the jobs that are files of them, in force.
    """
    return CodeJobs(intuned.automations, intuned.batches, workspaces=p.workspaces.all)
