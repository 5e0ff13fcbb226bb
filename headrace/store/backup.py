"""
Backup and restore: the database, the file store and, if it is asked for, the keys of secrets, in one tar file.

    manifest.json     what this is, and what is in it
    database.dump     PostgreSQL's own custom format, one consistent snapshot
    files/…           everything in the file store's folder
    secret.keys       only where the keys are to be in it

The database is dumped first: what it speaks of was in the file store before it said so, so the files that follow hold all of it.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from headrace.core.errors import ConflictError, FatalError, InvalidError, NotFoundError
from headrace.store.embedded import EmbeddedPostgres
from headrace.store.installation import find_installation
from headrace.store.sealing import Sealer, parse_keys

FORMAT = 1
_MANIFEST, _DUMP, _FILES, _KEYS = "manifest.json", "database.dump", "files", "secret.keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """
    What a backup says of itself.

    Attributes:
        keys: whether the keys of secrets are in it.
        files: how many files of the file store; None when that is elsewhere.
    """

    format: int
    version: str
    made_at: str
    keys: bool
    files: int | None


async def write_backup(
    target: Path,
    *,
    url: str,
    files: Path | None,
    keys: Path | None,
    bin_dir: Path | None,
    version: str,
    now: datetime,
) -> Manifest:
    """
    Write a backup to *target*, whole or not at all; it is its owner's alone.

    *url* is the database's, *files* the folder of the file store (None when that is elsewhere), *keys* the file with the keys of
    secrets (None leaves them out), *bin_dir* the folder of PostgreSQL's programs (None finds those of the wheel).

    Raises:
        ConflictError: there is a file of that name.
        FatalError: the database could not be dumped.
    """
    if target.exists():
        raise ConflictError(f"{target} exists.", "Name another file, or remove it.")
    partial = target.with_name(f"{target.name}.partial")
    with tempfile.TemporaryDirectory(prefix=".headrace-backup-", dir=target.absolute().parent) as scratch:
        dump = Path(scratch) / _DUMP
        await _run("pg_dump", bin_dir, "--format=custom", "--no-owner", "--no-privileges", f"--file={dump}", url)
        manifest = await asyncio.to_thread(_pack, partial, dump, files, keys, version, now)
    partial.replace(target)
    return manifest


async def restore_backup(
    source: Path, home: Path, *, keys: Path | None, bin_dir: Path | None, user: str | None
) -> Manifest:
    """
    Make a home out of a backup, whole or not at all, with the embedded database.

    *home* is a folder that is empty or not there, *keys* the file with the keys of secrets, for a backup without them.

    Raises:
        ConflictError: the home is not empty.
        NotFoundError: there is no such backup, or its keys are neither in it nor named.
        InvalidError: it is no backup, or of another kind.
        FatalError: the database could not be restored.
    """
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise ConflictError(f"{home} is not empty.", "Name a folder that is empty or does not exist.")
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        manifest = await asyncio.to_thread(_unpack, source, home)
        await asyncio.to_thread(_lay_keys, home, keys)
        postgres = EmbeddedPostgres(home / "postgres", user=user, bin_dir=bin_dir)
        try:
            url = await postgres.start()
            options = ("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction")
            await _run("pg_restore", bin_dir, *options, f"--dbname={url}", str(home / _DUMP))
        finally:
            await postgres.stop()
    except BaseException:
        for entry in home.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        raise
    (home / _DUMP).unlink()
    return manifest


def _pack(partial: Path, dump: Path, files: Path | None, keys: Path | None, version: str, now: datetime) -> Manifest:
    paths = [path for path in sorted(files.rglob("*")) if path.is_file() and not path.is_symlink()] if files else []
    manifest = Manifest(
        format=FORMAT,
        version=version,
        made_at=now.isoformat(),
        keys=keys is not None,
        files=len(paths) if files is not None else None,
    )
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w") as archive:
        content = json.dumps(asdict(manifest)).encode()
        head = tarfile.TarInfo(_MANIFEST)
        head.size = len(content)
        archive.addfile(head, io.BytesIO(content))
        archive.add(dump, _DUMP)
        if keys is not None:
            archive.add(keys, _KEYS)
        for path in paths:
            try:
                archive.add(path, f"{_FILES}/{path.relative_to(files).as_posix()}")  # type: ignore[arg-type]  # no paths without files
            except FileNotFoundError:
                continue  # a job has removed it meanwhile: nothing that is finished speaks of it
        archive.close()
        raw.flush()
        os.fsync(raw.fileno())
    return manifest


def _unpack(source: Path, home: Path) -> Manifest:
    try:
        with tarfile.open(source, mode="r:") as archive:
            first = archive.next()
            content = archive.extractfile(first) if first is not None and first.name == _MANIFEST else None
            if content is None:
                raise InvalidError(f"{source} is no backup of Headrace.", "Name a file that `headrace backup` wrote.")
            manifest = Manifest(**json.loads(content.read()))
            if manifest.format != FORMAT:
                raise InvalidError(
                    f"{source} was written by Headrace {manifest.version}, in a form that this version does not know.",
                    "Restore it with that version.",
                )
            archive.extractall(home, filter="data")
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no {source}.", "Name a file that `headrace backup` wrote.") from error
    except (tarfile.TarError, ValueError, TypeError) as error:
        raise InvalidError(f"{source} is no whole backup: {error}.", "Take another one.") from error
    (home / _MANIFEST).unlink()
    return manifest


def _lay_keys(home: Path, keys: Path | None) -> None:
    """
    Put the keys of secrets where the server looks for them.
    """
    there = home / _KEYS
    if keys is not None:
        shutil.copyfile(keys, there)
    if not there.exists():
        raise NotFoundError(
            "The backup holds no keys, so its secrets could not be opened.",
            "Name the file with them by --keys: the `secret.keys` of the home that was backed up, or the value of its HEADRACE_SECRET_KEYS.",
        )
    there.chmod(0o600)
    Sealer(parse_keys(there.read_text("ascii")))


async def _run(program: str, bin_dir: Path | None, *arguments: str) -> None:
    found = (await asyncio.to_thread(find_installation, bin_dir, major=None)).bin_dir / program
    environment: Mapping[str, str] = {**os.environ, "PGCONNECT_TIMEOUT": "10"}
    ended = await asyncio.to_thread(
        subprocess.run, [str(found), *arguments], capture_output=True, text=True, env=environment, check=False
    )
    if ended.returncode:
        said = ended.stderr.strip().splitlines()
        raise FatalError(
            f"{program} failed: {said[-1] if said else f'exit code {ended.returncode}'}",
            "See what it says, mend it and run the command again; nothing was changed.",
            output=said[-20:],
        )
