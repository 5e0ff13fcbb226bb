"""
The folder a job works in, as hotglue's taps, scripts and targets expect it.

Names and places follow hotglue's published SDKs (reference in docs/reference/hotglue.md); what is ours alone stands in `.headrace/`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

# gluestick writes a snapshot under this name first; a leftover is a half-written file.
PARTIAL_SUFFIX = ".hg.partial_written.lock"
METRICS = "job_metrics.json"
ESTIMATES = "estimated_job_metrics.json"


class JobRoot:
    """
    Paths and small files of one job's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sync_output = folder / "sync-output"
        self.etl_output = folder / "etl-output"
        self.snapshots = folder / "snapshots"
        self.tmp = folder / "tmp"
        self.work = folder / ".headrace"
        self.config = folder / "config.json"
        self.catalog = folder / "catalog.json"
        self.selected_catalog = folder / "catalog-selected.json"
        self.state = folder / "state.json"
        self.singer_output = self.etl_output / "data.singer"
        self.target_state = folder / "target-state.json"
        self.incremental_target_state = folder / "incremental_target_state.json"
        self.errors = folder / "errors.txt"
        self.details = folder / "job_details.json"
        self.new_bookmark = self.work / "bookmark.json"
        self.initial_state = self.work / "initial-state.json"

    def prepare(self) -> None:
        """
        Make the folders; what is there stays.
        """
        for folder in (self.folder, self.sync_output, self.etl_output, self.snapshots, self.tmp, self.work):
            folder.mkdir(parents=True, exist_ok=True)
        self.work.chmod(0o700)

    def synced_files(self) -> list[Path]:
        """
        List what a sync has made, attachments in subfolders included, without the files that only count.
        """
        return sorted(
            file for file in self.sync_output.rglob("*") if file.is_file() and file.name not in (METRICS, ESTIMATES)
        )

    def clear_etl_output(self) -> None:
        """
        Forget what an earlier try of the script wrote: scripts append.
        """
        shutil.rmtree(self.etl_output, ignore_errors=True)
        self.etl_output.mkdir()
        self.errors.unlink(missing_ok=True)

    def forget_secrets(self) -> None:
        """
        Remove files with settings, which the job no longer needs.
        """
        for file in (self.config, self.folder / "source-config.json", self.folder / "target-config.json"):
            file.unlink(missing_ok=True)
        for file in self.folder.glob("targets/*/config.json"):
            file.unlink(missing_ok=True)


def write_json(path: Path, value: Any, *, secret: bool = False) -> None:
    """
    Write *value* whole or not at all; a *secret* file is its owner's alone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if secret else 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(value), indent=2))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_json(path: Path) -> Any:
    """
    Read what a program wrote; None when there is no file or it is not JSON.
    """
    try:
        return msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None


def rewritten_settings(path: Path, given: Mapping[str, Any], *, private: frozenset[str]) -> dict[str, Any]:
    """
    Tell which settings a connector has rewritten in its config file, such as a rotated token.

    Args:
        path: the file, written with *given* before the connector started.
        given: what it was written with.
        private: names that came from this job alone; they are never saved.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if name not in private and given.get(name, _ABSENT) != value}


_ABSENT = object()


def folder_bytes(folder: Path) -> int:
    """
    Add up the sizes of the files below *folder*.
    """
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def copy_tree(source: Path, to: Path) -> None:
    """
    Copy a folder's files over another's, without half-written snapshots and without following links out of it.
    """
    if source.is_dir():
        shutil.copytree(
            source, to, dirs_exist_ok=True, symlinks=True, ignore=shutil.ignore_patterns(f"*{PARTIAL_SUFFIX}")
        )
