"""
Which parts of a died sync may be kept, and from which state the tap goes on.

A manifest says: these parts hold every row that the tap wrote before it wrote this STATE. Handing that STATE to the tap is right only
for streams of which the STATE says *how far* they were read. Of any other stream the tap will send all rows again, or, worse, none:
its parts cannot be trusted to be completed. So each stream is decided on its own:

- **Kept**: the state has `bookmarks[stream]`, it is a position, and it differs from the bookmark that the job started with. The tap goes on
  from there. Rows since that STATE come again (Singer's own at-least-once); none is missing.
- **Dropped**: every other stream. Its parts are removed, its bookmark goes back to the one the job started with, or is taken out
  where there was none, and the tap reads it again as if nothing had been. No row is missing and none is doubled.

What is no position, though taps write it: an empty bookmark; names and methods (`replication_key`, `replication_method`); a table `version`
or `initial_full_table_complete` (a full-table stream is read from the top again); `starting_replication_value` and `*_signpost` (where a run began or
must not pass, not where it is); null. `progress_markers`, at any depth, say that the stream is unsorted and half read: its `replication_key_value`
is not to be relied on until the tap finalises it, so such a stream is dropped even if something else in its bookmark moved.

Two kinds of state cannot be taken apart by stream: one that is not of the form `{"bookmarks": {...}}`, and one whose other top-level keys differ
from the initial state's, for they may hold positions of any stream. Then everything is dropped and the job starts from its initial state.
`currently_syncing` is the one top-level key that is known: many taps skip the streams before it, also the dropped ones, so it is set back.

The decision is a pure function of initial state and manifest. Worker and sync process both make it and come to the same result; the process
writes the manifest anew before it removes a part, so a second death changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.runners.manifest import read_manifest

_CURRENTLY_SYNCING = "currently_syncing"
_NOT_POSITIONS = {
    "replication_key",
    "replication_method",
    "starting_replication_value",
    "version",
    "initial_full_table_complete",
    "max_pk_values",
    "max_pk_type",
    "context",
}


@dataclass(frozen=True, slots=True)
class ResumePlan:
    """
    Args:
        state: what to hand the tap; None for no state at all.
    """

    state: dict[str, Any] | None
    kept_streams: frozenset[str] = frozenset()
    dropped_streams: frozenset[str] = frozenset()


def plan_resume(work_dir: Path, initial_state: dict[str, Any] | None) -> ResumePlan:
    """
    The plan for the parts in *work_dir*; without a manifest there is nothing to keep.
    """
    manifest = read_manifest(work_dir)
    if manifest is None:
        return ResumePlan(initial_state)
    return decide(initial_state, manifest.state, manifest.streams)


def decide(initial: dict[str, Any] | None, reached: dict[str, Any] | None, streams: Iterable[str]) -> ResumePlan:
    """
    Args:
        initial: the state the job started from.
        reached: the state that the parts cover.
        streams: the streams that have parts.
    """
    names = frozenset(streams)
    if reached is None or not _can_be_taken_apart(initial, reached):
        return ResumePlan(initial, dropped_streams=names)
    before, after = _bookmarks(initial), _bookmarks(reached)
    kept = frozenset(name for name in names if _moved(before.get(name), after.get(name)))
    if not kept:
        return ResumePlan(initial, dropped_streams=names)
    dropped = names - kept
    bookmarks = {name: value for name, value in {**before, **after}.items() if name in kept}
    # A stream without parts has no rows to lose: it, too, goes back, in case its rows were never in a part.
    bookmarks |= {name: value for name, value in before.items() if name not in kept}
    state = {**reached, "bookmarks": bookmarks}
    state.pop(_CURRENTLY_SYNCING, None)
    if initial and _CURRENTLY_SYNCING in initial:
        state[_CURRENTLY_SYNCING] = initial[_CURRENTLY_SYNCING]
    return ResumePlan(state, kept, dropped)


def _can_be_taken_apart(initial: dict[str, Any] | None, reached: dict[str, Any]) -> bool:
    known = {"bookmarks", _CURRENTLY_SYNCING}
    before = {key: value for key, value in (initial or {}).items() if key not in known}
    after = {key: value for key, value in reached.items() if key not in known}
    forms = [state for state in (initial, reached) if state]
    return before == after and all(isinstance(state.get("bookmarks", {}), dict) for state in forms)


def _bookmarks(state: dict[str, Any] | None) -> dict[str, Any]:
    bookmarks: dict[str, Any] = (state or {}).get("bookmarks", {})
    return bookmarks


def _moved(before: Any, after: Any) -> bool:
    if _is_half_read(after):
        return False
    position = _position(after)
    return position is not None and position != _position(before)


def _is_half_read(bookmark: Any) -> bool:
    if isinstance(bookmark, Mapping):
        return "progress_markers" in bookmark or any(_is_half_read(value) for value in bookmark.values())
    return isinstance(bookmark, list) and any(_is_half_read(value) for value in bookmark)


def _position(bookmark: Any) -> Any:
    """
    What in *bookmark* says how far the stream was read; None when nothing does.
    """
    if isinstance(bookmark, Mapping):
        members = {key: _position(value) for key, value in bookmark.items() if not _is_no_position(key)}
        return {key: value for key, value in members.items() if value is not None} or None
    if isinstance(bookmark, list):
        # One entry per partition, told apart by its context: an entry without a position is one that was not read.
        entries = [
            [entry.get("context") if isinstance(entry, Mapping) else None, _position(entry)] for entry in bookmark
        ]
        return [entry for entry in entries if entry[1] is not None] or None
    return None if bookmark == "" else bookmark


def _is_no_position(key: Any) -> bool:
    return key in _NOT_POSITIONS or str(key).endswith("_signpost")
