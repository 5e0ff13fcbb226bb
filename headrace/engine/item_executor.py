"""
One try of one item: a folder, a log and a stage of its own, and the runner that is called on them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec

from headrace.core.errors import DefinitionError, EnvironmentBuildError, HeadraceError, RetriableError
from headrace.core.fan_out import ItemEnd
from headrace.core.outcome import Blame, Cause, Failed, Succeeded
from headrace.engine.login_operations import operate, secrets_of_login, secrets_of_state, with_login
from headrace.runners.automation import AutomationRunner
from headrace.runners.item_call import ItemCall
from headrace.runners.job_root import JobRoot
from headrace.runners.logs import JobLog, LogLimits, LogLine
from headrace.runners.process import Limits as ProcessLimits
from headrace.runners.process import Program, ShimPool
from headrace.runners.redaction import Redactor, secrets_of
from headrace.runners.stage import Stage
from headrace.services.item_attempts import ItemWork
from headrace.store.files import FileStore
from headrace.store.job_rows import folder_of
from headrace.store.logs import LogEntry, Logs

RESULT_BYTES = 2 * 2**20
"""Largest result of an item, as UTF-8 JSON: what Intuned documents (2026)."""

_HELD_LOG_BYTES = 4 * 2**20
_REMEMBERED_SECONDS, _REMEMBERED = 1.0, 64
_LATEST_SECONDS = 24 * 3600.0  # a function may extend its time; not for ever


class ItemExecutor:
    """
    Args:
        run_item: runs the item's function.
        project: folder of the project folder, for plans that run an automation where it is.
        clock: gives aware UTC datetimes.
    """

    def __init__(
        self,
        pool: ShimPool,
        files: FileStore,
        logs: Logs,
        run_item: AutomationRunner,
        *,
        project: Path | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._files = files
        self._logs = logs
        self._run_item = run_item
        self._project = project
        self._clock = clock
        self._programs: dict[tuple[Path, str, str], tuple[float, Program]] = {}

    async def __call__(self, work: ItemWork) -> ItemEnd:
        """
        Run one try; when this returns or raises, no child is left.
        """
        prefix = f"{folder_of(work.job.id, work.job.created_at)}/items/{work.item.ordinal:06d}"
        root = JobRoot(await self._files.obtain(prefix))
        usage: dict[str, int | None] = {"memory_peak_bytes": None}
        try:
            call = await self._call(work)
            async with self._log(work) as (book, learned):
                program = await self._program(book, call)

                async def run(call: ItemCall) -> ItemEnd:
                    resident = self._run_item.resident(program, call, work.plan.variables)
                    async with self._stage(work, root, book, program, resident) as stage:
                        end = _checked(await self._run_item(stage, call), work)
                    peak = stage.children.usage.peak_memory_bytes
                    usage["memory_peak_bytes"] = max(usage["memory_peak_bytes"] or 0, peak or 0) or None
                    return end

                end = await _try(work, call, run)
                if end.session is not None and end.session.state is not None:
                    learned.update(secrets_of_state(end.session.state))
        except (EnvironmentBuildError, DefinitionError) as error:
            return _not_started(work, error, Blame.DEVELOPER)
        except RetriableError:
            raise
        except HeadraceError as error:
            return _not_started(work, error, Blame.OPERATOR)
        if await asyncio.to_thread(_holds_files, root.folder):
            await self._files.publish(prefix)
        if isinstance(end.outcome, (Succeeded, Failed)):
            return replace(end, outcome=replace(end.outcome, output={**end.outcome.output, "usage": usage}))
        return end

    async def _call(self, work: ItemWork) -> ItemCall:
        item, plan, login = work.item, work.fan_out, work.login
        return ItemCall(
            folder=await self._folder(work),
            name=item.name,
            parameters=item.input,
            timeout_seconds=item.timeout_seconds,
            attempt=work.claim.token,
            workspace_id=work.job.workspace_id,
            project=plan.item.project,
            job_id=work.job.id,
            item_id=item.id,
            grows=plan.grows,
            batch=work.job.definition.removeprefix(f"{plan.item.project}/") if plan.grows else None,
            proxy=work.sealed.get(plan.item.proxy) if plan.item.proxy else None,
            options=plan.item.options,
            session=login.state if login else None,
            session_parameters=login.parameters if login else None,
            session_name=login.name if login else None,
        )

    async def _program(self, book: JobLog, call: ItemCall) -> Program:
        """
        Say what the shim of a call's stage had best be, as it was said a moment ago: many items ask within it, each at the price of a few files.
        """
        now, key = asyncio.get_running_loop().time(), (call.folder, call.name, call.kind)
        known = self._programs.get(key)
        if known is None or now - known[0] > _REMEMBERED_SECONDS:
            if len(self._programs) >= _REMEMBERED:
                self._programs.clear()
            known = self._programs[key] = (now, await self._run_item.program(book, call))
        return known[1]

    async def _folder(self, work: ItemWork) -> Path:
        """
        Give the project's folder, fetched from the store when this machine has not had it yet.
        """
        automation = work.fan_out.item
        if automation.source is not None:
            return await self._files.obtain(f"automations/{automation.source}/files")
        if self._project is None:
            raise DefinitionError("This server has no project folder.", "Set HEADRACE_PROJECT.")
        return self._project / "automations" / automation.project

    @asynccontextmanager
    async def _stage(
        self, work: ItemWork, root: JobRoot, book: JobLog, program: Program, resident: str | None
    ) -> AsyncIterator[Stage]:
        limits = work.fan_out.item.limits
        # The runner ends a try that is over its own time, and says so; these limits are for what outlives even that.
        bounds = ProcessLimits(
            memory_bytes=limits.memory_bytes,
            processes=limits.processes,
            wall_seconds=limits.wall_seconds or _LATEST_SECONDS,
            no_progress_seconds=None,
            grace_seconds=limits.grace_seconds,
        )
        lease = self._pool.lease(bounds, stage=work.item.name, program=program, resident=resident)
        async with lease as children:
            yield Stage(
                name=work.item.name,
                root=root,
                children=children,
                book=book,
                variables=work.plan.variables,
                progress=lambda _output: None,
            )

    @asynccontextmanager
    async def _log(self, work: ItemWork) -> AsyncIterator[tuple[JobLog, set[str]]]:
        """
        Open the item's log; also gives a set for secrets that are learned on the way.

        The log of an operation on a login is held back until its end: what makes a login may print it, and only then is known what that is.
        """
        job_id, ordinal = work.job.id, work.item.ordinal
        first = work.claim.token == 1  # nobody can have written before
        seq, line = (0, 0) if first else await self._logs.last_line(job_id, step=ordinal)

        use, held, learned = work.fan_out.session, list[LogLine](), set[str]()
        operation = use is not None and use.operation is not None

        async def keep(lines: list[LogLine]) -> None:
            nonlocal seq
            entries = [LogEntry(line + each.number, each.at, each.stage, each.stream, each.text) for each in lines]
            await self._logs.append(job_id, seq + 1, entries, step=ordinal, token=work.claim.token)
            seq += 1

        async def hold(lines: list[LogLine]) -> None:
            held.extend(lines)

        known: set[str] = secrets_of_login(work)
        for value in (*work.sealed.values(), work.plan.variables):
            known |= secrets_of(value)
        most = work.fan_out.item.limits.log_bytes
        limits = LogLimits(job_bytes=min(most, _HELD_LOG_BYTES) if operation else most)
        try:
            async with JobLog(hold if operation else keep, Redactor(known), limits=limits, clock=self._clock) as book:
                yield book, learned
        finally:
            if held:
                redactor = Redactor(learned)
                await keep([each._replace(text=redactor.redact(each.text)) for each in held])


async def _try(work: ItemWork, call: ItemCall, run: Callable[[ItemCall], Awaitable[ItemEnd]]) -> ItemEnd:
    """
    Run an item: a function of the project, or an operation on a login.
    """
    use = work.fan_out.session
    if use is None:
        return await run(call)
    if use.operation is not None:
        return await operate(work, use, call, run)
    return await with_login(work, use, call, run)


def _holds_files(folder: Path) -> bool:
    """
    Remove the empty folders of an item, and its own with them: most items leave no file, and there are many.
    """
    for name in folder.iterdir():
        with contextlib.suppress(OSError):  # a file, or not empty
            name.rmdir()
    try:
        folder.rmdir()
    except OSError:
        return True
    return False


def _checked(end: ItemEnd, work: ItemWork) -> ItemEnd:
    """
    Refuse a result that is too large, or no JSON.
    """
    if end.result is None or not isinstance(end.outcome, Succeeded):
        return end
    size = len(end.result)
    if size > RESULT_BYTES:
        sentence = f"The result has {size} bytes of JSON; {RESULT_BYTES} are allowed."
        evidence = {"code": "result-too-large", "size_bytes": size, "limit_bytes": RESULT_BYTES}
        return ItemEnd(outcome=Failed(Cause(work.item.name, sentence, evidence=evidence), fatal=True))
    try:
        msgspec.json.decode(end.result, type=msgspec.Raw)
    except (ValueError, RecursionError):
        evidence = {"code": "no-output"}
        return ItemEnd(outcome=Failed(Cause(work.item.name, "The result is not JSON.", evidence=evidence), fatal=True))
    return end


def _not_started(work: ItemWork, error: HeadraceError, who: Blame) -> ItemEnd:
    evidence = {**error.facts, "code": "internal" if who is Blame.OPERATOR else "invalid"}
    cause = Cause(work.item.name, error.reason, who=who, instruction=error.instruction, evidence=evidence)
    return ItemEnd(outcome=Failed(cause, fatal=True))
