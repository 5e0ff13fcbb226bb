"""
The folder a job works in, as hotglue's taps, scripts and targets expect it.

Names and places follow hotglue's published SDKs (reference in docs/reference/hotglue.md); what is ours alone stands in `.headrace/`.
"""

from __future__ import annotations

import os
import shutil
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
        self.lent = self.work / "lent"
        self.config = folder / "config.json"
        self.catalog = folder / "catalog.json"
        self.selected_catalog = folder / "catalog-selected.json"
        self.state = folder / "state.json"
        self.singer_output = self.etl_output / "data.singer"
        self.target_state = folder / "target-state.json"
        self.incremental_target_state = folder / "incremental_target_state.json"
        self.errors = folder / "errors.txt"
        self.details = folder / "job_details.json"
        self.source_config = folder / "source-config.json"
        self.target_config = folder / "target-config.json"
        self.target_catalog = folder / "target-catalog.json"
        self.selected_tables = folder / "selectedTables.json"
        self.mapping = folder / "mapping.json"
        self.tenant_config = self.snapshots / "tenant-config.json"
        self.edited_tenant_config = self.work / "tenant-config.json"
        self.given_snapshots = self.work / "snapshots.json"
        self.kept_before = self.work / "snapshots-before"
        self.script_began = self.work / "script-began"
        self.new_bookmark = self.work / "bookmark.json"
        self.initial_state = self.work / "initial-state.json"

    def prepare(self) -> None:
        """
        Make the folders; what is there stays.
        """
        for folder in (self.folder, self.sync_output, self.etl_output, self.snapshots, self.tmp, self.lent):
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

    def clear_exceptions(self) -> None:
        """
        Forget what taps and targets of earlier stages told of their exceptions: it is no word on this one.
        """
        for file in self.exceptions():
            file.unlink(missing_ok=True)

    def exceptions(self) -> list[Path]:
        """
        List what taps and targets of hotglue's SDK wrote about their exceptions in their working folder, the newest last.
        """
        patterns = ("hg-*exception-*.json", "targets/*/hg-*exception-*.json")
        found = [file for pattern in patterns for file in self.folder.glob(pattern)]
        return sorted(found, key=lambda file: file.stat().st_mtime_ns)

    def forget_secrets(self, *, for_good: bool = True) -> None:
        """
        Remove files with settings; what a next attempt of the job needs stays, unless it is *for_good*.
        """
        if for_good:
            self.edited_tenant_config.unlink(missing_ok=True)
        for file in (self.config, self.source_config, self.target_config):
            file.unlink(missing_ok=True)
        for pattern in ("targets/*/config.json", "snapshots/tenant-config.json", ".headrace/lent/*.json"):
            for file in self.folder.glob(pattern):
                file.unlink(missing_ok=True)


def write_json(path: Path, value: Any, *, secret: bool = False, durable: bool = False) -> None:
    """
    Write *value* whole or not at all; a *secret* file is its owner's alone, a *durable* one survives a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if secret else 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(value), indent=2))
        if durable:
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
