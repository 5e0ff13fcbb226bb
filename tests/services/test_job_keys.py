"""
A job's children may ask this server for their own workspace, for as long as their attempt runs.
"""

from __future__ import annotations

from uuid import uuid4

import pytest
from house import House

from headrace.core.errors import UnauthenticatedError
from headrace.core.outcome import Succeeded
from headrace.services.access import Access
from headrace.services.job_keys import JobKeys


@pytest.fixture
def access(house: House) -> Access:
    keys = JobKeys(house.database, house.sealer)
    return Access(house.workspaces, monotonic=lambda: 0.0, new_id=uuid4, job_keys=keys)


async def test_a_running_jobs_key_opens_its_workspace_only(house: House, access: Access) -> None:
    job = await house.submit()
    await house.admit(1)
    work = await house.claim(job.id)
    assert work is not None

    actor = await access.authenticate(JobKeys(house.database, house.sealer).make(work.claim))

    assert (actor.workspace_id, actor.role) == (house.workspace.id, "environment")


async def test_the_key_of_an_ended_job_opens_nothing(house: House, access: Access) -> None:
    """
    Nobody has to revoke it: the job's own state is asked.
    """
    job = await house.submit()
    await house.admit(1)
    work = await house.claim(job.id)
    assert work is not None
    key = JobKeys(house.database, house.sealer).make(work.claim)
    await house.settle(work, Succeeded())

    with pytest.raises(UnauthenticatedError):
        await access.authenticate(key)


@pytest.mark.parametrize("key", ["hrj_", "hrj_AAAA", "hrj_ä", "hrj_" + "A" * 100])
async def test_a_made_up_key_opens_nothing(access: Access, key: str) -> None:
    with pytest.raises(UnauthenticatedError):
        await access.authenticate(key)
