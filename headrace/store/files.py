"""
Job roots, kept tenant files, scripts and logs, in a store addressed by URL.

A folder that is used as a folder (a job's root, a tenant's kept files) is worked on locally and then *published*. In a local
store both are the same place and publishing costs an fsync; in an object store it is an upload of what has changed. What a
finished step made is published before the database says so, so that another machine can go on.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import obstore
from obstore.store import LocalStore, from_url

from headrace.core.errors import StoreUnavailableError

_PARALLEL_TRANSFERS = 8
_PIECE_BYTES = 2**20


class FileStore:
    """
    Objects by path, and folders by prefix; paths use `/` and hold only characters that every store takes.

    Args:
        url: `file:///path`, a plain path, `s3://bucket/prefix`, `gs://…` or `az://…`.
        scratch: local folder for working copies when the store is remote.
        options: the store's own settings, such as `endpoint` or `access_key_id`.
    """

    def __init__(self, url: str, *, scratch: Path, options: dict[str, Any] | None = None) -> None:
        self._folder = Path(url.removeprefix("file://")) if "://" not in url or url.startswith("file://") else None
        self._scratch = scratch
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._objects: Any = LocalStore(self._folder, mkdir=True)
        else:
            self._objects = from_url(url, **(options or {}))

    async def put(self, path: str, data: bytes) -> None:
        """
        Write an object whole; a reader sees the old one or the new one, never a part.

        Raises:
            StoreUnavailableError: it was not written.
        """
        try:
            await obstore.put_async(self._objects, path, data)
        except (OSError, obstore.exceptions.BaseError) as error:
            raise StoreUnavailableError(
                "A file could not be stored.",
                "Check the file store's space and credentials.",
                path=path,
                cause=str(error),
            ) from error

    async def get(self, path: str) -> bytes | None:
        """
        Read an object; None when there is none.
        """
        try:
            return bytes(await (await obstore.get_async(self._objects, path)).bytes_async())
        except (FileNotFoundError, obstore.exceptions.NotFoundError):
            return None
        except (OSError, obstore.exceptions.BaseError) as error:
            raise StoreUnavailableError(
                "A file could not be read.", "Check that the file store answers.", path=path, cause=str(error)
            ) from error

    async def sizes(self, prefix: str) -> dict[str, int]:
        """
        List the objects below *prefix*: path relative to it, and size in bytes.
        """
        found: dict[str, int] = {}
        async for page in obstore.list(self._objects, prefix=prefix):
            found |= {str(entry["path"]).removeprefix(prefix).lstrip("/"): int(entry["size"]) for entry in page}
        return found

    async def present(self, prefix: str) -> dict[str, int]:
        """
        List what `sizes` does, without what links lead to: below a folder that programs of others have written to.
        """
        if self._folder is not None:
            return await asyncio.to_thread(_sizes, self._folder / prefix)
        return await self.sizes(prefix)

    async def stream(self, path: str) -> AsyncIterator[bytes] | None:
        """
        Read an object piece by piece; None when there is none, or a link in its place.

        Raises:
            StoreUnavailableError: it could not be opened.
        """
        if self._folder is not None and (self._folder / path).is_symlink():
            return None
        try:
            found = await obstore.get_async(self._objects, path)
        except (FileNotFoundError, obstore.exceptions.NotFoundError):
            return None
        except (OSError, obstore.exceptions.BaseError) as error:
            raise StoreUnavailableError(
                "A file could not be read.", "Check that the file store answers.", path=path, cause=str(error)
            ) from error
        return _pieces(found)

    async def folders(self, prefix: str) -> list[str]:
        """
        List the paths right below *prefix* that have something below them.
        """
        found = await obstore.list_with_delimiter_async(self._objects, prefix=prefix)
        return [str(path).rstrip("/") for path in found["common_prefixes"]]

    async def written_at(self, path: str) -> datetime | None:
        """
        Say when an object was last written; None when there is none.
        """
        try:
            found = await obstore.head_async(self._objects, path)
        except (FileNotFoundError, obstore.exceptions.NotFoundError):
            return None
        return found["last_modified"].astimezone(UTC)

    def folder(self, prefix: str) -> Path:
        """
        Give the local folder in which *prefix* is worked on; `obtain` fills it, `publish` keeps it.
        """
        return (self._folder or self._scratch) / prefix

    async def obtain(self, prefix: str) -> Path:
        """
        Make the local folder of *prefix* hold what was published, and give it.
        """
        folder = self.folder(prefix)
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        if self._folder is None:
            published = await self.sizes(prefix)
            present = await asyncio.to_thread(_sizes, folder)
            await self._each(
                [path for path, size in published.items() if present.get(path) != size],
                lambda path: self._download(f"{prefix}/{path}", folder / path),
            )
        return folder

    @property
    def remote(self) -> bool:
        """
        Whether folders are copies that other machines' copies may be ahead of.
        """
        return self._folder is None

    async def refresh(self, prefix: str) -> Path:
        """
        Make the local folder of *prefix* hold just what was published, whatever was there.

        For folders that several machines write in turn: a copy of last time may differ without its sizes telling. Whoever asks sees to
        it that nobody uses the folder meanwhile.
        """
        if self.remote:
            await asyncio.to_thread(shutil.rmtree, self.folder(prefix), ignore_errors=True)
        return await self.obtain(prefix)

    async def publish(self, prefix: str) -> None:
        """
        Keep the local folder of *prefix*: files that changed are stored, files that are gone are removed.
        """
        folder = self.folder(prefix)
        if self._folder is not None:
            await asyncio.to_thread(_sync_folders, folder)
            return
        present, published = await asyncio.to_thread(_sizes, folder), await self.sizes(prefix)
        await self._each(list(present), lambda path: self._upload(folder / path, f"{prefix}/{path}"))
        gone = [f"{prefix}/{path}" for path in published if path not in present]
        if gone:
            await obstore.delete_async(self._objects, gone)

    async def remove(self, prefix: str) -> None:
        """
        Remove everything below *prefix*, here and in the store.
        """
        await asyncio.to_thread(shutil.rmtree, self.folder(prefix), ignore_errors=True)
        if self._folder is None:
            paths = [f"{prefix}/{path}" for path in await self.sizes(prefix)]
            if paths:
                await obstore.delete_async(self._objects, paths)

    async def _download(self, path: str, to: Path) -> None:
        data = await self.get(path)
        if data is not None:
            await asyncio.to_thread(_write, to, data)

    async def _upload(self, file: Path, path: str) -> None:
        await obstore.put_async(self._objects, path, file)

    @staticmethod
    async def _each(paths: list[str], act: Any) -> None:
        gate = asyncio.Semaphore(_PARALLEL_TRANSFERS)

        async def one(path: str) -> None:
            async with gate:
                await act(path)

        async with asyncio.TaskGroup() as group:
            for path in paths:
                group.create_task(one(path))


async def _pieces(found: Any) -> AsyncIterator[bytes]:
    async for piece in found.stream(min_chunk_size=_PIECE_BYTES):
        yield bytes(piece)


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def _sizes(folder: Path) -> dict[str, int]:
    return {
        str(file.relative_to(folder)): file.stat().st_size
        for file in folder.rglob("*")
        if file.is_file() and not file.is_symlink()
    }


def _sync_folders(folder: Path) -> None:
    """
    Make names durable; whoever writes a file that must last has synced its bytes.
    """
    for directory in [folder, *(path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())]:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
