"""
Which record of ours became which record over there: `{Sink}_{FLOW}.snapshot.csv` among a tenant's kept files.

Columns `InputId,RemoteId` are `externalId` and `id` of what a target reported as successful; of several rows of one InputId the
last counts, so just that one is kept. Scripts (gluestick's `merge_id_from_snapshot`) and hotglue's target SDK read these files.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace.runners.connector import file_name

_COLUMNS = ("InputId", "RemoteId")


def add_ids(kept: Path, flow: str, details: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """
    Add to the id maps below *kept* what a target reported of each sink; gives the names of the files that have changed.
    """
    changed = []
    for sink, entries in details.items():
        pairs = dict(_pairs(entries))
        if pairs:
            name = f"{file_name(sink)}_{file_name(flow)}.snapshot.csv"
            _add(kept / name, pairs)
            changed.append(name)
    return changed


def _pairs(entries: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    for entry in entries:
        ours, theirs = entry.get("externalId"), entry.get("id")
        if entry.get("success") and ours not in (None, "") and theirs not in (None, ""):
            yield str(ours), str(theirs)


def _add(file: Path, pairs: Mapping[str, str]) -> None:
    known: dict[str, str] = {}
    if file.exists():
        with file.open(newline="", encoding="utf-8-sig") as lines:
            for row in csv.DictReader(lines):
                if row.get("InputId"):
                    known[row["InputId"]] = row.get("RemoteId") or ""
    partial = file.with_name(f".{file.name}.partial")
    with partial.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows((known | dict(pairs)).items())
    partial.replace(file)
