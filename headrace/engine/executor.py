"""
One attempt of a job, step by step: prepare, start, watch, collect; what came of it is an `Outcome`.

The executor knows no store: what must be written down goes through its `Journal`, files through the file store it is handed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from headrace.core.errors import DefinitionError, EnvironmentBuildError, HeadraceError
from headrace.core.job import Job
from headrace.core.outcome import Blame, Cancelled, Cause, Failed, Outcome, Succeeded
from headrace.core.plan import (
    AnyStep,
    Automation,
    Command,
    ConfigRef,
    ConnectorSpec,
    Discover,
    Export,
    Limits,
    Payload,
    Pipe,
    Script,
    Sync,
)
from headrace.core.state import StepState
from headrace.engine.command_steps import CommandSteps, Desk
from headrace.engine.toolbox import Tool, Toolbox
from headrace.runners import payload, script, singer
from headrace.runners.job_root import JobRoot, copy_tree, read_json, write_json
from headrace.runners.logs import JobLog, LogLimits, LogLine
from headrace.runners.process import Limits as ProcessLimits
from headrace.runners.process import ShimPool
from headrace.runners.redaction import Redactor, secrets_of
from headrace.runners.singer import Connector
from headrace.runners.stage import Stage, StepEnd
from headrace.services.attempts import NewBookmark, Work
from headrace.store.connections import Linked
from headrace.store.files import FileStore
from headrace.store.jobs import folder_of
from headrace.store.logs import LogEntry, Logs


class Journal(Protocol):
    """Where an attempt's progress is written down, under its fencing token."""

    async def start_step(self, ordinal: int) -> None: ...
    async def finish_step(self, ordinal: int, outcome: Succeeded | Failed | Cancelled) -> None: ...
    def progress(self, output: dict[str, Any]) -> None: ...
    async def save_config(self, connection_id: str, changed: dict[str, Any]) -> None: ...
    async def save_catalog(self, connection_id: str, catalog: dict[str, Any]) -> None: ...
    async def forget_bookmark(self, connection_id: str) -> None: ...
    async def record(self) -> dict[str, Any]: ...


class Executor:
    """
    Args:
        commands: runs command steps.
        clock: gives aware UTC datetimes.
    """

    def __init__(
        self,
        pool: ShimPool,
        toolbox: Toolbox,
        files: FileStore,
        logs: Logs,
        *,
        commands: CommandSteps,
        clock: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._toolbox = toolbox
        self._files = files
        self._logs = logs
        self.commands = commands
        self._clock = clock

    async def run(self, work: Work, journal: Journal) -> tuple[Outcome, Sequence[NewBookmark]]:
        """
        Run what is left of a job; when this returns or raises, no child is left.

        Raises:
            FencedError: out of *journal*; another worker owns the job.
        """
        prefix = folder_of(work.job.id, work.job.created_at)
        root = JobRoot(await self._files.obtain(prefix))
        await asyncio.to_thread(root.prepare)
        async with self._log(work) as book, self._toolbox.prefetch(work.plan.steps, book):
            attempt = _Attempt(self, work, journal, root, book)
            try:
                outcome = await attempt.run(prefix)
            finally:
                await asyncio.to_thread(root.forget_secrets)
            if isinstance(outcome, Succeeded) or work.plan.save_snapshots_on_failure:
                await self._save_snapshots(work, root)
            return outcome, attempt.bookmarks() if isinstance(outcome, Succeeded) else ()

    @asynccontextmanager
    async def _log(self, work: Work) -> AsyncIterator[JobLog]:
        chunk, line = await self._logs.last_line(work.job.id)
        seq = chunk

        async def keep(lines: list[LogLine]) -> None:
            nonlocal seq
            entries = [LogEntry(line + each.number, each.at, each.stage, each.stream, each.text) for each in lines]
            await self._logs.append(work.job.id, seq + 1, entries)
            seq += 1

        limit = min((step.limits.log_bytes for step in work.plan.steps), default=LogLimits().job_bytes)
        async with JobLog(keep, Redactor(_secrets(work)), limits=LogLimits(job_bytes=limit), clock=self._clock) as book:
            yield book

    async def bring_snapshots(self, work: Work, root: JobRoot) -> None:
        """
        Put the tenant's kept files into the job's root.
        """
        if work.plan.snapshots:
            kept = await self._files.obtain(_snapshots(work.job))
            await asyncio.to_thread(copy_tree, kept, root.snapshots)

    async def _save_snapshots(self, work: Work, root: JobRoot) -> None:
        if work.plan.snapshots:
            prefix = _snapshots(work.job)
            kept = await self._files.obtain(prefix)
            await asyncio.to_thread(copy_tree, root.snapshots, kept)
            await self._files.publish(prefix)

    async def bring_script(self, source: str, root: JobRoot) -> None:
        """
        Put a script's stored folder into the job's root.
        """
        stored = await self._files.obtain(f"scripts/{source}/files")
        await asyncio.to_thread(copy_tree, stored, root.folder)

    async def publish(self, prefix: str) -> None:
        await self._files.publish(prefix)

    @asynccontextmanager
    async def stage(
        self, name: str, limits: Limits, root: JobRoot, book: JobLog, variables: Mapping[str, str], journal: Journal
    ) -> AsyncIterator[Stage]:
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
        async with self._pool.lease(bounds, stage=name) as children:
            yield Stage(
                name=name, root=root, children=children, book=book, variables=variables, progress=journal.progress
            )

    async def tool(self, spec: ConnectorSpec) -> Sequence[str]:
        return await self._toolbox.command(spec)

    async def python(self, step: Script) -> Path:
        return await self._toolbox.interpreter(step.requirements, step.python)

    def now(self) -> datetime:
        return self._clock()


class _Attempt:
    """
    The steps of one attempt, in order, and what they share.
    """

    def __init__(self, executor: Executor, work: Work, journal: Journal, root: JobRoot, book: JobLog) -> None:
        self._executor = executor
        self._work = work
        self._journal = journal
        self._root = root
        self._book = book
        self._outputs = {step.name: step.output for step in work.job.steps}

    async def run(self, prefix: str) -> Outcome:
        """
        Run every step that has not completed; stops at the first that fails.
        """
        await self._executor.bring_snapshots(self._work, self._root)
        for ordinal, step in enumerate(self._work.plan.steps):
            if self._work.job.steps[ordinal].state is StepState.COMPLETED:
                continue
            await self._journal.start_step(ordinal)
            await self._write_record()
            end = await self._step(step)
            for connection_id, changed in end.rewritten.items():
                await self._journal.save_config(connection_id, changed)
            self._outputs[step.name] = {**self._outputs.get(step.name, {}), **end.outcome.output}
            await self._executor.publish(prefix)
            await self._journal.finish_step(ordinal, end.outcome)
            await self._write_record()
            if not isinstance(end.outcome, Succeeded):
                return end.outcome
        return Succeeded()

    def bookmarks(self) -> Sequence[NewBookmark]:
        """
        Give how far the job's sources have been read.
        """
        state = read_json(self._root.new_bookmark)
        if not isinstance(state, dict):
            return ()
        refs = [
            ref.connection for step in self._work.plan.steps for ref in _source_refs(step) if ref.connection is not None
        ]
        return [NewBookmark(UUID(connection), state) for connection in refs]

    async def _step(self, step: AnyStep) -> StepEnd:
        """
        Run one step; whatever goes wrong before its children start is its failure, too.
        """
        try:
            match step:
                case Discover():
                    return await self._discover(step)
                case Sync():
                    return await self._sync(step)
                case Payload():
                    return await self._payload(step)
                case Script():
                    return await self._script(step)
                case Export():
                    return await self._export(step)
                case Pipe():
                    return await self._pipe(step)
                case Automation():
                    return StepEnd(outcome=_no_item(step))
                case Command():
                    return await self._command(step)
        except (EnvironmentBuildError, DefinitionError) as error:
            return StepEnd(outcome=_not_started(step, error, Blame.DEVELOPER))
        except HeadraceError as error:
            return StepEnd(outcome=_not_started(step, error, Blame.OPERATOR))

    async def _discover(self, step: Discover) -> StepEnd:
        tap = await self._connector(step.connector, step.config)
        async with self._stage(step) as stage:
            found = await singer.discover(stage, tap)
        rewritten = self._rewritten(step.config, tap, self._root.config)
        if isinstance(found, Failed):
            return StepEnd(outcome=found, rewritten=rewritten)
        if step.config.connection:
            await self._journal.save_catalog(step.config.connection, found)
        return StepEnd(outcome=_used(Succeeded({"streams": len(found["streams"])}), stage), rewritten=rewritten)

    async def _sync(self, step: Sync) -> StepEnd:
        tap = await self._connector(step.connector, step.config)
        linked = self._linked(step.config)
        if step.bookmark == "reset" and step.config.connection:
            await self._journal.forget_bookmark(step.config.connection)
        bookmark = linked.bookmark if linked and step.bookmark == "use" else None
        sync_type = step.sync_type or ("full_sync" if bookmark is None else "incremental_sync")
        self._outputs.setdefault(step.name, {})["sync_type"] = sync_type
        self._journal.progress({"sync_type": sync_type})
        async with self._stage(step) as stage:
            catalog = await self._catalog(step, tap, stage)
            if isinstance(catalog, Failed):
                return StepEnd(outcome=catalog, rewritten=self._rewritten(step.config, tap, self._root.config))
            if catalog is not None and self._root.config.exists():
                tap = replace(tap, settings={**tap.settings, **(read_json(self._root.config) or {})})
            outcome = await singer.sync(
                stage,
                tap,
                files=step.files,
                limits=step.limits,
                catalog=catalog,
                field_map=step.field_map or (linked.field_map if linked else None),
                bookmark=bookmark,
                max_records=step.max_records,
                timestamp=f"{self._work.job.created_at:%Y%m%dT%H%M%S}",
            )
        outcome = _used(replace(outcome, output={**outcome.output, "sync_type": sync_type}), stage)
        return StepEnd(outcome=outcome, rewritten=self._rewritten(step.config, tap, self._root.config))

    async def _catalog(self, step: Sync, tap: Connector, stage: Stage) -> dict[str, Any] | Failed | None:
        """
        Give the catalog to start a tap with: the job's own, the connection's, or a new one; None when it takes none.
        """
        if not step.connector.discover:
            linked = self._linked(step.config)
            return linked.catalog if linked else None
        fresh = read_json(self._root.catalog)
        if isinstance(fresh, dict):
            return fresh
        linked = self._linked(step.config)
        if linked is not None and linked.catalog is not None:
            return linked.catalog
        found = await singer.discover(stage, tap)
        if isinstance(found, dict) and step.config.connection:
            await self._journal.save_catalog(step.config.connection, found)
        return found

    async def _payload(self, step: Payload) -> StepEnd:
        async with self._stage(step) as stage:
            outcome = await payload.write(
                stage,
                self._work.sealed.get(step.input) or {},
                files=step.files,
                timestamp=f"{self._work.job.created_at:%Y%m%dT%H%M%S}",
            )
        return StepEnd(outcome=_used(outcome, stage))

    async def _script(self, step: Script) -> StepEnd:
        await asyncio.to_thread(self._root.clear_etl_output)
        self._write_configs()
        for name, value in step.files.items():
            write_json(self._root.folder / name, value)
        if step.source is None:
            async with self._stage(step) as stage:
                outcome = await script.pass_through(stage, step.target)
            return StepEnd(outcome=_used(outcome, stage))
        await self._executor.bring_script(step.source, self._root)
        python = await self._executor.python(step)
        async with self._stage(step) as stage:
            outcome = await script.script(
                stage,
                python,
                step.entry,
                given_records=self._records(),
                allow_nothing=step.empty_output == "allow",
            )
        return StepEnd(outcome=_used(outcome, stage))

    async def _export(self, step: Export) -> StepEnd:
        targets = [await self._connector(target.connector, target.config) for target in step.targets]
        async with self._stage(step) as stage:
            outcome = await singer.export(stage, targets)
        rewritten: dict[str, dict[str, Any]] = {}
        for target, connector in zip(step.targets, targets, strict=True):
            config = singer.target_folder(stage, connector) / "config.json"
            rewritten |= self._rewritten(target.config, connector, config)
        return StepEnd(outcome=_used(outcome, stage), rewritten=rewritten)

    async def _pipe(self, step: Pipe) -> StepEnd:
        tap = await self._connector(step.tap, step.tap_config)
        target = await self._connector(step.target, step.target_config)
        linked = self._linked(step.tap_config)
        bookmark = linked.bookmark if linked and step.bookmark == "use" else None
        if step.bookmark == "reset" and step.tap_config.connection:
            await self._journal.forget_bookmark(step.tap_config.connection)
        async with self._stage(step) as stage:
            outcome = await singer.pipe(
                stage,
                tap,
                target,
                limits=step.limits,
                catalog=linked.catalog if linked else None,
                field_map=step.field_map or (linked.field_map if linked else None),
                bookmark=bookmark,
            )
        sync_type = step.sync_type or ("full_sync" if bookmark is None else "incremental_sync")
        outcome = _used(replace(outcome, output={**outcome.output, "sync_type": sync_type}), stage)
        rewritten = self._rewritten(step.tap_config, tap, self._root.config)
        rewritten |= self._rewritten(step.target_config, target, self._root.folder / "target-config.json")
        return StepEnd(outcome=outcome, rewritten=rewritten)

    async def _command(self, step: Command) -> StepEnd:
        variables = self._variables()
        desk = Desk(
            work=self._work,
            root=self._root,
            book=self._book,
            stage=lambda name, limits: self._executor.stage(
                name, limits, self._root, self._book, variables, self._journal
            ),
            secrets=frozenset(_secrets(self._work)),
            progress=self._journal.progress,
        )
        return await self._executor.commands.run(step, desk)

    @asynccontextmanager
    async def _stage(self, step: AnyStep) -> AsyncIterator[Stage]:
        async with self._executor.stage(
            step.name, step.limits, self._root, self._book, self._variables(), self._journal
        ) as stage:
            yield stage

    async def _connector(self, spec: ConnectorSpec, ref: ConfigRef) -> Connector:
        overrides = self._work.sealed.get(ref.overrides, {}) if ref.overrides else {}
        return Connector(
            spec=spec,
            command=await self._executor.tool(spec),
            settings=self._work.settings(ref, spec.settings),
            private=frozenset(overrides) | frozenset(ref.extra),
        )

    def _linked(self, ref: ConfigRef) -> Linked | None:
        return self._work.connections.get(ref.connection) if ref.connection else None

    @staticmethod
    def _rewritten(ref: ConfigRef, connector: Connector, config: Path) -> dict[str, dict[str, Any]]:
        changed = singer.rewritten(connector, config)
        return {ref.connection: changed} if ref.connection and changed else {}

    def _records(self) -> int:
        return sum(sum(output.get("record_count", {}).values()) for output in self._outputs.values())

    def _variables(self) -> dict[str, str]:
        """
        Give what every child sees: the plan's variables, then the job's own, then where it is.
        """
        environment = self._work.sealed.get(self._work.plan.environment or "", {})
        sync_type = next((o["sync_type"] for o in self._outputs.values() if "sync_type" in o), None)
        folder = str(self._root.folder)
        return {
            **self._work.plan.variables,
            **({"SYNC_TYPE": sync_type} if sync_type else {}),
            **{str(name): str(value) for name, value in environment.items()},
            "ROOT": folder,
            "ROOT_DIR": folder,
            "SNAPSHOT_DIR": str(self._root.snapshots),
        }

    def _write_configs(self) -> None:
        """
        Put the settings of both ends where scripts look for them.
        """
        for step in self._work.plan.steps:
            match step:
                case Sync(connector=spec, config=ref):
                    settings = self._work.settings(ref, spec.settings)
                    write_json(self._root.config, settings, secret=True)
                    write_json(self._root.folder / "source-config.json", settings, secret=True)
                case Export(targets=(target, *_)):
                    settings = self._work.settings(target.config, target.connector.settings)
                    write_json(self._root.folder / "target-config.json", settings, secret=True)
                case _:
                    continue

    async def _write_record(self) -> None:
        record = await self._journal.record()
        await asyncio.to_thread(write_json, self._root.details, record)


def _used(outcome: Any, stage: Stage) -> Any:
    """
    Add to an outcome what the step's children used.
    """
    usage = stage.children.usage
    used = {
        "memory_peak_bytes": usage.peak_memory_bytes,
        "memory_avg_bytes": usage.average_memory_bytes,
        "cpu_seconds": round(usage.cpu_seconds, 3),
    }
    return replace(outcome, output={**outcome.output, "usage": used})


def _not_started(step: AnyStep, error: HeadraceError, who: Blame) -> Failed:
    return Failed(
        Cause(stage=step.name, sentence=error.reason, who=who, instruction=error.instruction, evidence=error.facts),
        fatal=True,
    )


def _no_item(step: Automation) -> Failed:
    cause = Cause(step.name, "An automation runs as an item of a fan-out, not as a step.", who=Blame.DEVELOPER)
    return Failed(cause, fatal=True)


def _source_refs(step: AnyStep) -> list[ConfigRef]:
    match step:
        case Sync(config=config):
            return [config]
        case Pipe(tap_config=config):
            return [config]
        case _:
            return []


def _secrets(work: Work) -> set[str]:
    """
    Collect everything that must not show in a log: secrets of connections, overrides and variables.
    """
    named = {
        name for step in work.plan.steps for tool in Tool.of(step) if tool.connector for name in tool.connector.secrets
    }
    found: set[str] = set()
    for linked in work.connections.values():
        found |= secrets_of(linked.config, named)
    for value in work.sealed.values():
        found |= secrets_of(value, named)
    return found | secrets_of(work.plan.variables)


def _snapshots(job: Job) -> str:
    tenant = hashlib.sha256(job.tenant.encode()).hexdigest()[:32]
    return f"snapshots/{job.workspace_id}/{tenant}"
