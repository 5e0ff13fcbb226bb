"""
Copies of projects that a dead worker left behind.
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from house import House

from headrace.engine.stray_places import sweep_places
from headrace.runners.project_place import Owner, ProjectPlace


async def test_copies_of_jobs_that_do_not_run_go(house: House, tmp_path: Path) -> None:
    """
    A job that runs keeps its copy, wherever it runs; one that nobody knows, or that has ended, does not.
    """
    work, places = await house.started(), tmp_path / "places"
    live = ProjectPlace(places / "live", Owner(work.job.id, work.claim.token)).take()
    ProjectPlace(places / "stray", Owner(uuid4(), 1)).take()

    await sweep_places(house.attempts, places)

    assert list(places.iterdir()) == [live.parent]
