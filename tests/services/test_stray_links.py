"""
Links under `/home/hotglue` that a dead worker left behind.
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from house import House

from headrace.engine.stray_links import sweep_links


async def test_only_our_own_links_of_jobs_that_have_ended_go(house: House, tmp_path: Path) -> None:
    """
    A link goes when it leads to a folder of ours whose job has ended; what leads elsewhere, or is no link, is others'.
    """
    folder, home, names = tmp_path / "jobs", tmp_path / "hotglue", tmp_path / "names"
    names.mkdir()
    (home / "a-folder").mkdir(parents=True)
    work = await house.started()
    leads = {
        "live": folder / "2026/01/01" / str(work.job.id),
        "stray": folder / "2026/01/01" / str(uuid4()),
        "elsewhere": tmp_path / "other/jobs/2026/01/01" / str(uuid4()),
        "odd": folder / "2026",
    }
    for name, to in leads.items():
        (home / name).symlink_to(to)

    for name in ("live", "stray"):
        (names / f"headrace-{name}").symlink_to(leads[name] / "items" / "000001" / "tmp")
    (names / "mine").symlink_to(leads["stray"] / "tmp")

    await sweep_links(house.attempts, folder, home=home, short_names=names)

    assert sorted(path.name for path in home.iterdir()) == ["a-folder", "elsewhere", "live", "odd"]
    assert sorted(path.name for path in names.iterdir()) == ["headrace-live", "mine"]


async def test_where_nothing_can_be_linked_nothing_is_swept(house: House, tmp_path: Path) -> None:
    await sweep_links(house.attempts, tmp_path / "jobs", home=tmp_path / "missing", short_names=tmp_path / "none")
