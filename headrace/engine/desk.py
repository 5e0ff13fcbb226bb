"""
What the steps of one attempt work with: its job, its folder, its log, and the ways to programs and settings.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from headrace.core.outcome import Cancelled, Failed, Succeeded
from headrace.core.plan import AnyStep, ConfigRef, ConnectorSpec, Export, Limits, Pipe, Sync
from headrace.engine.tenant_files import TenantFiles
from headrace.engine.toolbox import Tool, Toolbox
from headrace.runners.connector import Connector, forget_lent, take_back
from headrace.runners.job_root import JobRoot, write_json
from headrace.runners.logs import JobLog
from headrace.runners.process import Limits as ProcessLimits
from headrace.runners.process import ShimPool
from headrace.runners.redaction import Redactor, secrets_of
from headrace.runners.stage import Stage
from headrace.services.attempts import Work
from headrace.store.connections import Linked
from headrace.store.files import FileStore

_REWRITTEN_SECONDS = 3.0

Ended = TypeVar("Ended", Succeeded, Failed, Succeeded | Failed)


class Journal(Protocol):
    """Where an attempt's progress is written down, under its fencing token."""

    cancel_requested: bool

    async def start_step(self, ordinal: int) -> None: ...
    async def retry_step(self, ordinal: int, retry: dict[str, Any]) -> None: ...
    async def finish_step(self, ordinal: int, outcome: Succeeded | Failed | Cancelled) -> None: ...
    def progress(self, output: dict[str, Any]) -> None: ...
    async def save_config(self, connection_id: str, changed: dict[str, Any]) -> None: ...
    async def save_catalog(self, connection_id: str, catalog: dict[str, Any]) -> None: ...
    async def save_tenant_config(self, document: dict[str, Any]) -> None: ...
    async def forget_bookmark(self, connection_id: str) -> None: ...
    async def record(self) -> dict[str, Any]: ...


class AttemptDesk:
    """
    One attempt's things. `work` is as of the claim, with the settings that connectors have rewritten since.

    Attributes:
        outputs: what the steps so far have told, by name.

    Args:
        api_key: with which children may ask this server.
    """

    def __init__(
        self,
        work: Work,
        root: JobRoot,
        book: JobLog,
        journal: Journal,
        *,
        pool: ShimPool,
        toolbox: Toolbox,
        files: FileStore,
        tenant_files: TenantFiles,
        api_key: str,
    ) -> None:
        self.work = work
        self.root = root
        self.book = book
        self.journal = journal
        self.toolbox = toolbox
        self.files = files
        self.tenant_files = tenant_files
        self.outputs: dict[str, dict[str, Any]] = {step.name: step.output for step in work.job.steps}
        self._pool = pool
        self._api_key = api_key

    @asynccontextmanager
    async def stage(self, name: str, limits: Limits) -> AsyncIterator[Stage]:
        """
        Lend what the runner of one step needs; on leaving, every child is gone.
        """
        bounds = ProcessLimits(
            memory_bytes=limits.memory_bytes,
            processes=limits.processes,
            wall_seconds=limits.wall_seconds,
            no_progress_seconds=limits.no_progress_seconds,
            grace_seconds=limits.grace_seconds,
        )
        self.root.clear_exceptions()
        async with self._pool.lease(bounds, stage=name) as children:
            yield Stage(
                name=name,
                root=self.root,
                children=children,
                book=self.book,
                variables=self.variables(),
                progress=self.journal.progress,
            )

    async def connector(self, spec: ConnectorSpec, ref: ConfigRef) -> Connector:
        """
        Make a connector ready.

        Raises:
            EnvironmentBuildError: its environment could not be built.
        """
        overrides = self.work.sealed.get(ref.overrides, {}) if ref.overrides else {}
        return Connector(
            spec=spec,
            command=await self.toolbox.command(spec),
            settings=self.work.settings(ref, spec.settings),
            private=frozenset(overrides)
            | frozenset(ref.extra)
            | {"hg_sync_output", "_hg_max_records_limit", "input_path"},
            connection=ref.connection,
        )

    def linked(self, ref: ConfigRef) -> Linked | None:
        return self.work.connections.get(ref.connection) if ref.connection else None

    def variables(self) -> dict[str, str]:
        """
        Give what every child sees: the plan's variables, then the job's own, then where it is.
        """
        environment = self.work.sealed.get(self.work.plan.environment or "", {})
        sync_type = next((output["sync_type"] for output in self.outputs.values() if "sync_type" in output), None)
        folder = str(self.root.folder)
        named = {
            **self.work.plan.variables,
            **({"SYNC_TYPE": sync_type} if sync_type else {}),
            "API_KEY": self._api_key,
            **{str(name): str(value) for name, value in environment.items()},
        }
        if "default_export_format" in named:
            named.setdefault("DEFAULT_EXPORT_FORMAT", named["default_export_format"])
        return {**named, "ROOT": folder, "ROOT_DIR": folder, "SNAPSHOT_DIR": str(self.root.snapshots)}

    def write_configs(self) -> None:
        """
        Put the settings of both ends where scripts look for them.
        """
        for step in self.work.plan.steps:
            match step:
                case Sync(connector=spec, config=ref):
                    settings = self.work.settings(ref, spec.settings)
                    write_json(self.root.config, settings, secret=True)
                    write_json(self.root.source_config, settings, secret=True)
                case Export(targets=(target, *_)):
                    settings = self.work.settings(target.config, target.connector.settings)
                    write_json(self.root.target_config, settings, secret=True)
                    linked = self.linked(target.config)
                    if linked is not None and linked.catalog is not None:
                        write_json(self.root.target_catalog, linked.catalog)
                case _:
                    continue

    async def save_rewritten(self) -> None:
        """
        Save what connectors have rewritten in their settings, whatever became of them.

        Raises:
            FencedError: another worker owns the job.
        """
        for connection_id, changed in take_back(self.root).items():
            await self.journal.save_config(connection_id, changed)
            linked = self.work.connections.get(connection_id)
            if linked is not None:
                fresh = replace(linked, config={**linked.config, **changed})
                self.work = replace(self.work, connections={**self.work.connections, connection_id: fresh})
            self.book.learn(Redactor(self.secrets()))
        forget_lent(self.root)

    async def keep_rewritten(self) -> None:
        """
        Save what a running connector rewrites, a few seconds later, until cancelled.

        A worker that is lost loses its machine's files, too: a refresh token that was spent since would be lost with them.
        """
        seen: dict[str, dict[str, Any]] = {}
        while True:
            await asyncio.sleep(_REWRITTEN_SECONDS)
            rewritten = await asyncio.to_thread(take_back, self.root)
            for connection_id, changed in rewritten.items():
                if seen.get(connection_id) != changed:
                    self.book.learn(Redactor(self.secrets() | secrets_of(changed)))
                    await self.journal.save_config(connection_id, changed)
                    seen[connection_id] = changed

    def secrets(self) -> frozenset[str]:
        """
        Collect everything that must not show in a log: secrets of connections, overrides, variables and the tenant.
        """
        return secrets_in(self.work) | {self._api_key}

    async def write_record(self) -> None:
        """
        Write `job_details.json`: the job in its dialect's words.
        """
        record = await self.journal.record()
        await asyncio.to_thread(write_json, self.root.details, record)

    def path(self, name: str) -> Path:
        return self.root.folder / name


def secrets_in(work: Work) -> frozenset[str]:
    """
    Collect the secrets that one attempt knows.
    """
    named = {
        name for step in work.plan.steps for tool in Tool.of(step) if tool.connector for name in tool.connector.secrets
    }
    # What a dialect seals as secrets are such whatever they are called: their plugin says so.
    named |= set(work.sealed.get("secrets", {}))
    found: set[str] = set()
    for linked in work.connections.values():
        found |= secrets_of(linked.config, named)
    for value in (*work.sealed.values(), work.plan.variables, work.tenant_config):
        found |= secrets_of(value, named)
    return frozenset(found)


def used(outcome: Ended, stage: Stage) -> Ended:
    """
    Add to an outcome what the step's children used.
    """
    usage = stage.children.usage
    measured = {
        "memory_peak_bytes": usage.peak_memory_bytes,
        "memory_avg_bytes": usage.average_memory_bytes,
        "cpu_seconds": round(usage.cpu_seconds, 3),
    }
    return replace(outcome, output={**outcome.output, "usage": measured})


def source_refs(step: AnyStep) -> list[ConfigRef]:
    """
    List the settings of the sources that a step reads.
    """
    match step:
        case Sync(config=config):
            return [config]
        case Pipe(tap_config=config):
            return [config]
        case _:
            return []
