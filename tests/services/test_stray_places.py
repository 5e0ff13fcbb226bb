"""
Copies of projects that a dead worker left behind.
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from house import House

from headrace.core.outcome import Cancelled, Cause, Failed
from headrace.engine.stray_places import sweep_places
from headrace.runners.project_place import Owner, ProjectPlace
from headrace.store.job_rows import folder_of


async def test_only_copies_of_ended_jobs_go_into_their_folders(house: House, tmp_path: Path) -> None:
    """
    A job that runs, or waits for its next attempt, keeps its copy, wherever it is; what a job that has ended wrote goes along
    with it; nobody wants the copy of one that is not known.
    """
    places = tmp_path / "places"
    live, next_try, ended = [await house.started(tenant=name) for name in ("live", "next-try", "ended")]
    taken = [
        ProjectPlace(places / str(work.job.id), Owner(work.job.id, work.claim.token)).take()
        for work in (live, next_try, ended)
    ]
    (taken[2] / "mine").touch()
    ProjectPlace(places / "stray", Owner(uuid4(), 1)).take()
    cause = Cause(stage="", sentence="Job was killed")
    await house.settle(next_try, Failed(cause), max_attempts=2)
    await house.settle(ended, Cancelled(cause))

    await sweep_places(house.attempts, house.files, places)

    assert set(places.iterdir()) == {taken[0].parent, taken[1].parent}
    kept = house.files.folder(folder_of(ended.job.id, ended.job.created_at)) / "project"
    assert [file.name for file in kept.iterdir()] == ["mine"]
