"""
Snapshots as they were before a job, for whoever runs its script again.
"""

from __future__ import annotations

from pathlib import Path

from headrace.runners.job_root import JobRoot
from headrace.runners.snapshots import bring_snapshots, forget_unchanged, give_back_snapshots


def test_what_a_job_changes_in_place_is_still_known_as_it_was(tmp_path: Path) -> None:
    """
    After the job has given it back, and a later one has changed it anew; what it left alone is kept once.
    """
    kept = tmp_path / "kept"
    kept.mkdir()
    for name in ("changed", "deleted", "same"):
        (kept / name).write_text(f"{name} before")
    root, later = JobRoot(tmp_path / "job"), JobRoot(tmp_path / "later")
    for each in (root, later):
        each.prepare()
    bring_snapshots(kept, root, remember=True)
    (root.snapshots / "changed").write_text("changed after")
    (root.snapshots / "deleted").unlink()
    (root.snapshots / "new").write_text("new")

    forget_unchanged(root)
    give_back_snapshots(root, kept)
    bring_snapshots(kept, later, remember=True)
    (later.snapshots / "same").write_text("same after")
    give_back_snapshots(later, kept)

    before = {path.name: path.read_text() for path in root.kept_before.iterdir()}
    assert before == {"changed": "changed before", "deleted": "deleted before"}
    assert (root.snapshots / "same").read_text() == "same before"
    assert {path.name: path.read_text() for path in kept.iterdir()} == {
        "changed": "changed after", "new": "new", "same": "same after",
    }  # fmt: skip
