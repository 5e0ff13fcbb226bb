"""
What outlives a job in a tenant's folder: snapshots that jobs share, and the id maps that exports add to.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hotglue_rows import row

from headrace.runners.id_map import add_ids
from headrace.runners.job_root import PARTIAL_SUFFIX, JobRoot
from headrace.runners.snapshots import bring_snapshots, give_back_snapshots


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "people.snapshot.csv").write_text("id\n1\n")
    (folder / "orders.snapshot.csv").write_text("id\n1\n")
    return folder


def job(tmp_path: Path, name: str, kept: Path) -> JobRoot:
    root = JobRoot(tmp_path / name)
    root.prepare()
    bring_snapshots(kept, root)
    return root


@row("6.5 concurrent")
def test_two_jobs_at_once_keep_both_their_changes(tmp_path: Path, kept: Path) -> None:
    """
    A job gives back only what it changed, so that it does not undo what another of the same tenant has written meanwhile.
    """
    one, two = job(tmp_path, "one", kept), job(tmp_path, "two", kept)
    (one.snapshots / "people.snapshot.csv").write_text("id\n1\n2\n")
    (two.snapshots / "new" / "deals.snapshot.csv").parent.mkdir()
    (two.snapshots / "new" / "deals.snapshot.csv").write_text("id\n7\n")

    give_back_snapshots(one, kept)
    give_back_snapshots(two, kept)

    assert (kept / "people.snapshot.csv").read_text() == "id\n1\n2\n"
    assert (kept / "new/deals.snapshot.csv").read_text() == "id\n7\n"
    assert (kept / "orders.snapshot.csv").read_text() == "id\n1\n"


def test_of_two_changes_of_one_file_the_later_is_kept(tmp_path: Path, kept: Path) -> None:
    one, two = job(tmp_path, "one", kept), job(tmp_path, "two", kept)
    (one.snapshots / "people.snapshot.csv").write_text("one\n")
    (two.snapshots / "people.snapshot.csv").write_text("two\n")

    give_back_snapshots(two, kept)
    give_back_snapshots(one, kept)

    assert (kept / "people.snapshot.csv").read_text() == "one\n"


def test_a_deleted_file_stays_deleted_unless_another_job_wrote_it(tmp_path: Path, kept: Path) -> None:
    one, two = job(tmp_path, "one", kept), job(tmp_path, "two", kept)
    (one.snapshots / "people.snapshot.csv").unlink()
    (one.snapshots / "orders.snapshot.csv").unlink()
    (two.snapshots / "orders.snapshot.csv").write_text("id\n1\n2\n")

    give_back_snapshots(two, kept)
    give_back_snapshots(one, kept)

    assert not (kept / "people.snapshot.csv").exists()
    assert (kept / "orders.snapshot.csv").exists()


@row("6.5 lock", "10 8", "drill 40")
def test_half_written_files_and_links_go_nowhere(tmp_path: Path, kept: Path) -> None:
    """
    A file whose writer died is deleted on both ways; a link could lead out of the tenant's folder.
    """
    (kept / f"old.csv{PARTIAL_SUFFIX}").write_text("half")
    root = job(tmp_path, "one", kept)
    (root.snapshots / f"new.csv{PARTIAL_SUFFIX}").write_text("half")
    (root.snapshots / "shadow").symlink_to("/etc/passwd")

    give_back_snapshots(root, kept)

    assert sorted(file.name for file in kept.iterdir()) == ["orders.snapshot.csv", "people.snapshot.csv"]


@row("6.5 id map")
def test_an_id_map_keeps_the_last_id_of_each_record(tmp_path: Path) -> None:
    """
    `{Sink}_{FLOW}.snapshot.csv` has one row per InputId; failures and records without ids add none.
    """
    add_ids(tmp_path, "crm", {"Contacts": [_sent("a", "R-1"), _sent("b", "R-2")]})
    changed = add_ids(
        tmp_path,
        "crm",
        {
            "Contacts": [_sent("b", "R-3"), {"success": False, "externalId": "c", "id": "R-4"}, _sent("d", None)],
            "Deals": [_sent(None, "R-5")],
        },
    )

    assert (tmp_path / "Contacts_crm.snapshot.csv").read_text() == "InputId,RemoteId\na,R-1\nb,R-3\n"
    assert changed == ["Contacts_crm.snapshot.csv"]


def test_an_id_map_of_a_strange_sink_stays_in_its_folder(tmp_path: Path) -> None:
    add_ids(tmp_path, "f", {"../../etc/cron": [_sent('quo"te,comma', "R\n1")]})

    assert [file.name for file in tmp_path.iterdir()] == [".._.._etc_cron_f.snapshot.csv"]
    add_ids(tmp_path, "f", {"../../etc/cron": [_sent("x", "y")]})
    assert '"quo""te,comma","R\n1"' in next(tmp_path.iterdir()).read_text()


def _sent(ours: str | None, theirs: str | None) -> dict[str, object]:
    return {"success": True, "externalId": ours, "id": theirs}
