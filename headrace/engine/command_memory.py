"""
What a run of a definition leaves for the next one: Meltano's state, and the catalogs it has discovered.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

import msgspec

from headrace.core.errors import FencedError, RetriableError
from headrace.core.plan import Command
from headrace.engine.command_desk import Desk
from headrace.runners.meltano import ProjectFolder, StateFiles
from headrace.runners.meltano_catalogs import Catalog, CatalogFiles
from headrace.services.attempts import Work

T = TypeVar("T")

_WRITE_AGAIN_SECONDS = 1.0


class States(Protocol):
    """Where Meltano's state is kept."""

    async def load(self, work: Work, scope: str) -> dict[str, dict[str, Any]]: ...
    async def save(self, work: Work, scope: str, states: Mapping[str, Mapping[str, Any]]) -> None: ...


class Catalogs(Protocol):
    """Where the catalogs are kept that Meltano discovered."""

    async def load(self, work: Work, scope: str, digest: str) -> dict[str, Catalog]: ...
    async def save(self, work: Work, scope: str, digest: str, catalogs: Mapping[str, Catalog]) -> None: ...


class CommandMemory:
    """
    Lays out before a command what was kept, and keeps after it what has changed.

    Args:
        catalogs: None lets every job discover its own.
    """

    def __init__(self, states: States, catalogs: Catalogs | None) -> None:
        self._states = states
        self._catalogs = catalogs

    @contextlib.asynccontextmanager
    async def state(self, step: Command, desk: Desk) -> AsyncIterator[None]:
        """
        Lay the state out, and write back what the block has changed, however it ended.
        """
        if not step.meltano:
            yield
            return
        before = await _lasting(lambda: self._states.load(desk.work, step.state_scope))
        files = StateFiles(desk.root.work / "state")
        await files.lay_out(before)
        try:
            yield
        except asyncio.CancelledError:
            # One try: whoever ends us waits. What is not written stays in the job's folder.
            with contextlib.suppress(RetriableError, FencedError):
                await self._states.save(desk.work, step.state_scope, await files.changed(before))
            raise
        changed = await files.changed(before)
        await _lasting(lambda: self._states.save(desk.work, step.state_scope, changed))

    async def lay_out_catalogs(self, step: Command, project: ProjectFolder, desk: Desk) -> Mapping[str, Catalog]:
        """
        Put the kept catalogs where Meltano looks for them; gives them by extractor.
        """
        if self._catalogs is None or not step.meltano:
            return {}
        kept: Mapping[str, Catalog] = {}
        with contextlib.suppress(RetriableError):  # without them the run takes longer, no more
            kept = await self._catalogs.load(desk.work, step.state_scope, _digest(step))
        await asyncio.to_thread(CatalogFiles(project.folder).lay_out, kept)
        return kept

    async def keep_catalogs(
        self,
        step: Command,
        project: ProjectFolder,
        desk: Desk,
        extractors: Iterable[str],
        before: Mapping[str, Catalog],
    ) -> None:
        """
        Keep the catalogs of *extractors* that differ from those of *before*.
        """
        if self._catalogs is None or not step.meltano:
            return
        found = await asyncio.to_thread(CatalogFiles(project.folder).found, extractors)
        changed = {name: catalog for name, catalog in found.items() if catalog != before.get(name)}
        # A fenced attempt is told so when its job is finished, and nothing of it is kept.
        with contextlib.suppress(RetriableError, FencedError):
            await self._catalogs.save(desk.work, step.state_scope, _digest(step), changed)


def _digest(step: Command) -> str:
    """
    Stand for all that a catalog depends on and Meltano's own key of it does not: the project's files, definitions and packages.
    """
    return hashlib.sha256(msgspec.json.encode([step.project, step.plugins, step.meltano], order="sorted")).hexdigest()


async def _lasting(act: Callable[[], Awaitable[T]]) -> T:
    """
    Act again and again while the database is away; the worker's watchdog bounds it.
    """
    while True:
        try:
            return await act()
        except RetriableError:
            await asyncio.sleep(_WRITE_AGAIN_SECONDS)
