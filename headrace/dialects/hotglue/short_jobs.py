"""
Jobs that somebody waits for in one request: they begin within moments, or not at all.
"""

from __future__ import annotations

import asyncio
from typing import Final

from headrace.core.errors import FinalStateError
from headrace.core.job import Job
from headrace.core.state import JobState
from headrace.services.jobs import Jobs

PRIORITY: Final = 100
"""Before the jobs of the same tenant that nobody waits for."""

_FIRST_LOOK_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.5
_BEGUN = frozenset({JobState.RUNNING, JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


async def ended(jobs: Jobs, job: Job, seconds: float) -> Job:
    """
    Wait until a job has ended, at most *seconds*; gives it as it stands then.
    """
    return await _until(jobs, job, seconds, frozenset(state for state in JobState if state.final))


async def begun(jobs: Jobs, job: Job, seconds: float) -> bool:
    """
    Wait until a worker has begun a job; one that has not begun within *seconds* is taken back, and false is given.
    """
    job = await _until(jobs, job, seconds, _BEGUN)
    if job.state in _BEGUN:
        return True
    try:
        job = await jobs.cancel(job.id, by="who waited for it", workspace_id=job.workspace_id)
    except FinalStateError:
        return True
    # A worker may have begun it in this very moment: then it is ended like any other, and whoever waits sees how.
    return job.started_at is not None


async def _until(jobs: Jobs, job: Job, seconds: float, states: frozenset[JobState]) -> Job:
    loop = asyncio.get_running_loop()
    deadline, pause_seconds = loop.time() + seconds, _FIRST_LOOK_SECONDS
    while True:
        job = await jobs.get(job.id, workspace_id=job.workspace_id)
        left_seconds = deadline - loop.time()
        if job.state in states or left_seconds <= 0:
            return job
        await asyncio.sleep(min(pause_seconds, left_seconds))
        pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
