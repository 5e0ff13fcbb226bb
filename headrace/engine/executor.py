"""
One attempt of a job, step by step: prepare, start, watch, collect; what came of it is an `Outcome`.

The executor knows no store: what must be written down goes through its `Journal`, files through the file store it is handed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import structs

from headrace.core.again import Retry, memory_limit, next_try
from headrace.core.errors import ConflictError, DefinitionError, EnvironmentBuildError, FencedError, HeadraceError
from headrace.core.outcome import REFUSED_CONNECTIONS, Blame, Cancelled, Cause, Failed, Outcome, Succeeded, refused_by
from headrace.core.plan import (
    AccessToken,
    AnyStep,
    Automation,
    Checkout,
    Command,
    Discover,
    Export,
    Payload,
    Pipe,
    Script,
    Sync,
)
from headrace.core.state import StepState
from headrace.engine.command_steps import CommandSteps, Desk
from headrace.engine.desk import AttemptDesk, Journal, secrets_in, source_refs
from headrace.engine.script_step import run_script
from headrace.engine.singer_steps import discover, refresh_token, send, stream, sync, write_payload
from headrace.engine.taken_over import take_over
from headrace.engine.tenant_files import TenantFiles
from headrace.engine.toolbox import Toolbox
from headrace.runners.home_link import HomeLink
from headrace.runners.job_root import JobRoot, read_json
from headrace.runners.logs import JobLog, LogLimits, LogLine
from headrace.runners.process import ShimPool
from headrace.runners.redaction import Redactor
from headrace.services.attempts import NewBookmark, Work
from headrace.services.tenant_locks import TenantLocks
from headrace.store.files import FileStore
from headrace.store.job_rows import folder_of
from headrace.store.jobs import Claim
from headrace.store.logs import LogEntry, Logs


class Executor:
    """
    Args:
        commands: runs command steps.
        tenant_locks: held while a tenant's files are kept.
        api_key: makes the key that the children of an attempt may ask this server with.
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
        tenant_locks: TenantLocks,
        api_key: Callable[[Claim], str],
        clock: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._toolbox = toolbox
        self._files = files
        self._tenant_files = TenantFiles(files, tenant_locks)
        self._logs = logs
        self._commands = commands
        self._api_key = api_key
        self._clock = clock

    async def run(self, work: Work, journal: Journal) -> tuple[Outcome, Sequence[NewBookmark]]:
        """
        Run what is left of a job; when this returns or raises, no child is left.

        Raises:
            FencedError: out of *journal*; another worker owns the job.
        """
        prefix = folder_of(work.job.id, work.job.created_at)
        root = JobRoot(await self._files.obtain(prefix))
        root.prepare()  # a few folders: quicker than the way to a thread
        if work.plan.reuse is not None:
            try:
                await take_over(work.plan.reuse, root, self._files)
            except ConflictError as error:
                return _not_started(_first_to_run(work), error, Blame.OPERATOR), ()
        api_key = self._api_key(work.claim)
        redactor = Redactor(secrets_in(work) | {api_key})
        async with self._log(work, redactor) as book, self._toolbox.prefetch(work.plan.steps, book):
            desk = AttemptDesk(
                work,
                root,
                book,
                journal,
                pool=self._pool,
                toolbox=self._toolbox,
                files=self._files,
                tenant_files=self._tenant_files,
                api_key=api_key,
            )
            outcome: Outcome | None = None
            try:
                with HomeLink(work.plan.variables.get("JOB_ID", ""), root.folder):
                    outcome = await self._steps(desk, prefix)
                if isinstance(outcome, Succeeded) or work.plan.save_snapshots_on_failure:
                    await self._keep(desk)
            finally:
                ended = outcome is not None or journal.cancel_requested
                await asyncio.to_thread(root.forget_secrets, for_good=ended)
            kept = isinstance(outcome, Succeeded) or work.plan.save_bookmarks_on_failure
            return outcome, bookmarks(desk) if kept else ()

    async def _keep(self, desk: AttemptDesk) -> None:
        """
        Keep what the job has made of its tenant's files and config.
        """
        details = [output.get("export_details") or {} for output in desk.outputs.values()]
        await self._tenant_files.keep(desk.work, desk.root, details)
        edited = read_json(desk.root.edited_tenant_config)
        if isinstance(edited, dict):
            await desk.journal.save_tenant_config(edited)

    async def _steps(self, desk: AttemptDesk, prefix: str) -> Outcome:
        """
        Run every step that has not completed; stops at the first that fails.
        """
        await desk.save_rewritten()  # what connectors of an attempt that died have rewritten
        bringing = asyncio.ensure_future(self._tenant_files.bring(desk.work, desk.root))
        try:
            for ordinal, step in enumerate(desk.work.plan.steps):
                if desk.work.job.steps[ordinal].state is StepState.COMPLETED:
                    continue
                await desk.journal.start_step(ordinal)
                await bringing
                outcome = await self._recorded(desk, step, ordinal)
                desk.outputs[step.name] = {**desk.outputs.get(step.name, {}), **outcome.output}
                await self._files.publish(prefix)
                await desk.journal.finish_step(ordinal, outcome)
                if not isinstance(outcome, Succeeded):
                    await desk.write_record()
                    return outcome
            await desk.write_record()
        finally:
            bringing.cancel()
        refused = [each for output in desk.outputs.values() for each in output.get(REFUSED_CONNECTIONS, ())]
        return refused_by(Succeeded(), refused)

    async def _recorded(self, desk: AttemptDesk, step: AnyStep, ordinal: int) -> Succeeded | Failed | Cancelled:
        """
        Run one step with `job_details.json` beside it; what a connector has rewritten is saved even when the job is ended.

        A tap need not wait for the file; a script may read it.
        """
        recording = asyncio.ensure_future(desk.write_record())
        keeping = asyncio.ensure_future(_kept(desk))
        try:
            if not isinstance(step, (Discover, Sync, Payload, Pipe)):
                await recording
            outcome = await self._tried(desk, step, ordinal)
            await recording
        finally:
            recording.cancel()
            keeping.cancel()
            await asyncio.shield(desk.save_rewritten())
        return outcome

    async def _tried(self, desk: AttemptDesk, step: AnyStep, ordinal: int) -> Succeeded | Failed | Cancelled:
        """
        Run one step, and again where its plan gives it another try; a take-over goes on counting.
        """
        retries = list(desk.outputs.get(step.name, {}).get("retries", ()))
        while True:
            limits = structs.replace(step.limits, memory_bytes=memory_limit(step, retries))
            outcome = await self._step(desk, structs.replace(step, limits=limits))
            retry = next_try(step, outcome, retries) if isinstance(outcome, Failed) else None
            if retry is None:
                return outcome
            await desk.save_rewritten()
            await desk.journal.retry_step(ordinal, retry.told())
            desk.book.write(f"{step.name} is tried again{_with(retry)}: {retry.sentence}", stage=step.name)
            desk.book.forget_tail(step.name)
            retries.append(retry.told())

    async def _step(self, desk: AttemptDesk, step: AnyStep) -> Succeeded | Failed | Cancelled:
        """
        Run one step; whatever goes wrong before its children start is its failure, too.
        """
        try:
            match step:
                case Discover():
                    return await discover(desk, step)
                case AccessToken():
                    return await refresh_token(desk, step)
                case Sync():
                    return await sync(desk, step)
                case Payload():
                    return await write_payload(desk, step)
                case Script():
                    return await run_script(desk, step)
                case Export():
                    return await send(desk, step)
                case Pipe():
                    return await stream(desk, step)
                case Automation():
                    return _no_item(step)
                case Command() | Checkout():
                    return await self._command(desk, step)
        except (EnvironmentBuildError, DefinitionError) as error:
            return _not_started(step, error, Blame.DEVELOPER)
        except HeadraceError as error:
            return _not_started(step, error, Blame.OPERATOR)

    async def _command(self, desk: AttemptDesk, step: Command | Checkout) -> Succeeded | Failed | Cancelled:
        given = Desk(
            work=desk.work,
            root=desk.root,
            book=desk.book,
            stage=desk.stage,
            secrets=desk.secrets(),
            progress=desk.journal.progress,
        )
        return (await self._commands.run(step, given)).outcome

    @asynccontextmanager
    async def _log(self, work: Work, redactor: Redactor) -> AsyncIterator[JobLog]:
        chunk, line = await self._logs.last_line(work.job.id)
        seq = chunk

        async def keep(lines: list[LogLine]) -> None:
            nonlocal seq
            entries = [LogEntry(line + each.number, each.at, each.stage, each.stream, each.text) for each in lines]
            await self._logs.append(work.job.id, seq + 1, entries, token=work.claim.token)
            seq += 1

        limit = min((step.limits.log_bytes for step in work.plan.steps), default=LogLimits().job_bytes)
        async with JobLog(keep, redactor, limits=LogLimits(job_bytes=limit), clock=self._clock) as book:
            yield book


def bookmarks(desk: AttemptDesk) -> Sequence[NewBookmark]:
    """
    Give how far the job's sources have been read.
    """
    state: Any = read_json(desk.root.new_bookmark)
    if not isinstance(state, dict):
        return ()
    refs = [ref.connection for step in desk.work.plan.steps for ref in source_refs(step)]
    return [NewBookmark(UUID(connection), state) for connection in refs if connection is not None]


def _not_started(step: AnyStep, error: HeadraceError, who: Blame) -> Failed:
    return Failed(
        Cause(stage=step.name, sentence=error.reason, who=who, instruction=error.instruction, evidence=error.facts),
        fatal=True,
    )


def _first_to_run(work: Work) -> AnyStep:
    """
    Give the first step that has not completed.
    """
    steps = zip(work.plan.steps, work.job.steps, strict=True)
    return next(step for step, record in steps if record.state is not StepState.COMPLETED)


async def _kept(desk: AttemptDesk) -> None:
    """
    Save what connectors rewrite as they run; who is fenced leaves that to the other.
    """
    with contextlib.suppress(FencedError):
        await desk.keep_rewritten()


def _with(retry: Retry) -> str:
    if retry.reason == "stuck":
        return ""
    return (
        f" with {retry.memory_bytes / 2**20:,.0f} MiB of memory" if retry.memory_bytes else " without a limit of memory"
    )


def _no_item(step: Automation) -> Failed:
    cause = Cause(step.name, "An automation runs as an item of a fan-out, not as a step.", who=Blame.DEVELOPER)
    return Failed(cause, fatal=True)
