"""
What a died sync may keep, decided by initial and reached state alone.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.runners.resume import ResumePlan, decide, plan_resume
from tests.runners.singer_kit import REPOSITORY


def key(value: Any, **more: Any) -> dict[str, Any]:
    return {"replication_key": "id", "replication_key_value": value, **more}


def marks(**bookmarks: Any) -> dict[str, Any]:
    return {"bookmarks": bookmarks}


def test_a_stream_that_moved_is_kept_and_any_other_dropped():
    """
    The tap goes on from the moved bookmark; the rest goes back to where the job began.
    """
    initial = marks(a=key(1), b=key(1), d=key(7))
    plan = decide(initial, marks(a=key(5), b=key(1), c={}), ["a", "b", "c"])

    assert plan == ResumePlan(marks(a=key(5), b=key(1), d=key(7)), frozenset("a"), frozenset("bc"))


@pytest.mark.parametrize(
    "bookmark",
    [
        {},
        None,
        "",
        key(None),
        {"replication_key": "id"},
        {"version": 1700000000000},
        {"version": 1, "initial_full_table_complete": True},
        {"starting_replication_value": 5},
        {"replication_key_signpost": "2020-01-01"},
        key(9, progress_markers={"replication_key_value": 5}),
        {"partitions": []},
        {"partitions": [{"context": {"org": 1}}]},
        {"partitions": [{"context": {"org": 1}, **key(9)}, {"context": {"org": 2}, "progress_markers": {}}]},
    ],
)
def test_what_is_no_position_keeps_nothing(bookmark: Any):
    """
    Only a position says how far a stream was read.
    """
    assert decide(None, marks(a=bookmark), ["a"]) == ResumePlan(None, frozenset(), frozenset("a"))


@pytest.mark.parametrize(
    "bookmark",
    [
        key(9),
        {"last_updated": "2020-01-01"},
        {"lsn": 5, "version": 3},
        {"last_pk_fetched": {"id": 5}, "max_pk_values": {"id": 9}},
        {"partitions": [{"context": {"org": 1}, **key(9)}]},
        "2020-01-01T00:00:00Z",
        0,
    ],
)
def test_a_position_keeps_the_parts(bookmark: Any):
    """
    Whatever a tap calls it.
    """
    assert decide(None, marks(a=bookmark), ["a"]) == ResumePlan(marks(a=bookmark), frozenset("a"), frozenset())


def test_currently_syncing_goes_back_as_well():
    """
    Taps skip the streams before it, so a dropped one would never be read again.
    """
    reached = {**marks(a=key(5), b={}), "currently_syncing": "b"}

    assert decide(None, reached, ["a", "b"]).state == marks(a=key(5))
    assert decide({**marks(), "currently_syncing": "a"}, reached, ["a"]).state == {
        **marks(a=key(5)),
        "currently_syncing": "a",
    }


@pytest.mark.parametrize("reached", [{"a": 5}, {"bookmarks": [1]}, {**marks(a=key(5)), "cursor": 8}, None])
def test_a_state_that_cannot_be_taken_apart_drops_everything(reached: Any):
    """
    Starting from the initial state is always right.
    """
    initial = marks(a=key(1))

    assert decide(initial, reached, ["a"]) == ResumePlan(initial, frozenset(), frozenset("a"))


BOOKMARKS = st.dictionaries(
    st.sampled_from("abc"),
    st.sampled_from([{}, key(1), key(2), key(None), {"version": 1}, {"progress_markers": {}}]),
    max_size=3,
)


@given(before=BOOKMARKS, after=BOOKMARKS, streams=st.sets(st.sampled_from("abc")))
def test_no_dropped_stream_ever_keeps_a_moved_bookmark(
    before: dict[str, Any], after: dict[str, Any], streams: set[str]
):
    """
    The one way to lose rows: parts thrown away, bookmark moved on. And deciding twice changes nothing.
    """
    plan = decide(marks(**before), marks(**after), streams)
    assert plan.state is not None
    reached = plan.state["bookmarks"]

    assert plan.kept_streams | plan.dropped_streams == streams
    assert all(reached.get(name) == before.get(name) for name in "abc" if name not in plan.kept_streams)
    assert all(reached[name] == after[name] for name in plan.kept_streams)
    assert decide(marks(**before), plan.state, plan.kept_streams).state == plan.state


def test_nothing_on_disk_means_nothing_to_keep(tmp_path):
    """
    Without a manifest the job starts from its initial state.
    """
    assert plan_resume(tmp_path, marks(a=key(1))) == ResumePlan(marks(a=key(1)))
    (tmp_path / "manifest.json").write_text("{half")
    assert plan_resume(tmp_path, None) == ResumePlan(None)


def test_the_worker_does_not_load_arrow_for_it():
    """
    A worker imports the plan, the specs and the relay; pyarrow is for the child alone.
    """
    modules = "resume, sync_spec, relay, manifest, report"
    check = f"from headrace.runners import {modules}; import sys; sys.exit('pyarrow' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", check], check=False, cwd=REPOSITORY).returncode == 0
