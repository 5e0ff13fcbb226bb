"""
What of a sync is safely on disk: the file from which a died sync goes on.

`work_dir/manifest.json` is replaced as a whole (temporary file, fsync, rename, fsync of the folder) after every part that it lists
was closed and fsynced. It lists the parts of each stream, the rows in them, and the STATE that they cover.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from headrace.runners.columns import Column

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Part:
    """
    One closed file with rows of one stream, in the order they came.

    Args:
        name: file name in `work_dir/parts`.
    """

    name: str
    rows: int
    bytes: int
    columns: tuple[Column, ...]
    key_properties: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamParts:
    """
    What one stream has on disk.

    Args:
        stem: what stands for the stream in file names.
        quarantined: misfits counted so far.
        quarantine_bytes: how far its quarantine file is covered by the state; what stands after it will come again.
    """

    parts: tuple[Part, ...] = ()
    stem: str = ""
    quarantined: int = 0
    quarantine_bytes: int = 0

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)


@dataclass(frozen=True, slots=True)
class Manifest:
    """
    Args:
        state: the last STATE whose records are all in the parts; None before the first one.
        outputs: names of the final files that this sync made or was making, so that another attempt can remove them.
    """

    state: dict[str, Any] | None = None
    streams: dict[str, StreamParts] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()


def read_manifest(work_dir: Path) -> Manifest | None:
    """
    The manifest in *work_dir*, or None where there is none or it cannot be read: then nothing is known to be safe.
    """
    try:
        return msgspec.json.decode((work_dir / MANIFEST).read_bytes(), type=Manifest)
    except (FileNotFoundError, ValueError):
        return None


def write_manifest(work_dir: Path, manifest: Manifest) -> None:
    replace_file(work_dir / MANIFEST, msgspec.json.encode(manifest), durable=True)


def replace_file(path: Path, data: bytes, *, durable: bool = False) -> None:
    """
    Put *data* at *path* in one step: a reader sees the old file or the new one, never a half.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)
    if durable:
        sync_path(path.parent)


def sync_path(path: Path) -> None:
    """
    Force the file or folder at *path* to disk.
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
