"""
One worker: receives tickets, claims their jobs, runs them through the executor, settles what came of it.

The executor knows no store; everything it wants written goes through the `Reporter` that is made here, under the claim's token.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from headrace.core import queue
from headrace.core.errors import FencedError, RetriableError
from headrace.core.outcome import Blame, Cancelled, Cause, Failed, Interrupted, Outcome, Succeeded, settle
from headrace.core.queue import Ticket
from headrace.core.state import StepState
from headrace.engine.executor import Executor
from headrace.engine.lasting import lasting
from headrace.engine.overtaken import OvertakenError, overtaken
from headrace.services.attempts import Attempts, NewBookmark, Work

log = structlog.get_logger(__name__)

_WATCH_SECONDS = 1.0


class Worker:
    """
    Handles tickets.

    Args:
        node_id: of this process; written on every attempt.
        max_crashes: attempts that may end without a word before a job is parked as failed.
        clock: gives aware UTC datetimes.
    """

    def __init__(
        self,
        attempts: Attempts,
        executor: Executor,
        *,
        node_id: UUID,
        node_name: str,
        max_crashes: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._attempts = attempts
        self._executor = executor
        self._node_id = node_id
        self._node_name = node_name
        self._max_crashes = max_crashes
        self._clock = clock

    async def handle(self, ticket: Ticket, hold: queue.Claim) -> None:
        """
        Run the job of one ticket as far as it goes now.

        Cancelled by the engine, it ends the children and hands the job back, unless the worker was lost: then it writes nothing.

        Raises:
            OvertakenError: another worker has claimed the job.
        """
        work = await self._attempts.claim(UUID(ticket.job_id), node_id=self._node_id, node_name=self._node_name)
        if work is None:
            return
        with structlog.contextvars.bound_contextvars(job=ticket.job_id, attempt=work.claim.token):
            try:
                outcome, bookmarks = await self._run(work)
            except asyncio.CancelledError:
                if not hold.lost:
                    with contextlib.suppress(OvertakenError):
                        await asyncio.shield(self._settle(work, Interrupted(), (), hold))
                raise
            except FencedError as error:
                raise overtaken(error) from error
            await self._settle(work, outcome, bookmarks, hold)

    async def _run(self, work: Work) -> tuple[Outcome, Sequence[NewBookmark]]:
        if work.claim.crashes >= self._max_crashes:
            return _parked(work), ()
        if work.job.cancel_requested_at is not None:
            return Cancelled(_killed("")), ()
        reporter = Reporter(self._attempts, work)
        run = asyncio.create_task(self._executor.run(work, reporter))
        watch = asyncio.create_task(reporter.watch())
        try:
            await asyncio.wait({run, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not run.done():
                await self._end(run)
            if reporter.fenced:
                raise FencedError("Another worker owns this job now.")
            if reporter.cancel_requested and run.cancelled():
                stage = reporter.stage
                cancelled = Cancelled(_killed(stage), output=reporter.left())
                if reporter.ordinal is not None:
                    await lasting(lambda: self._attempts.finish_step(work, reporter.ordinal or 0, cancelled))
                return cancelled, ()
            return await run
        finally:
            watch.cancel()
            if not run.done():
                await self._end(run)

    @staticmethod
    async def _end(run: asyncio.Task[Any]) -> None:
        """
        End the executor; it returns when no child is left.
        """
        run.cancel()
        await asyncio.wait({run})

    async def _settle(self, work: Work, outcome: Outcome, bookmarks: Sequence[NewBookmark], hold: queue.Claim) -> None:
        now = self._clock()
        settlement = settle(outcome, failures=work.job.failures, max_attempts=work.plan.max_attempts, now=now)
        try:
            await lasting(lambda: self._attempts.settle(work, outcome, settlement, ticket=hold, bookmarks=bookmarks))
        except FencedError as error:
            raise overtaken(error) from error
        log.info("job settled", state=str(settlement.state), reason=_sentence(outcome))


class Reporter:
    """
    Where the executor leaves word of its progress; batches it, and learns when the job has to end.

    Attributes:
        ordinal: the step that runs now.
        fenced: another worker owns the job.
        cancel_requested: somebody asked for an end.
    """

    def __init__(self, attempts: Attempts, work: Work) -> None:
        self._attempts = attempts
        self._work = work
        self._pending: dict[str, Any] = {}
        self.ordinal: int | None = None
        self.stage = ""
        self.fenced = False
        self.cancel_requested = False

    async def start_step(self, ordinal: int) -> None:
        self.ordinal, self.stage = ordinal, self._work.plan.steps[ordinal].name
        await lasting(lambda: self._attempts.start_step(self._work, ordinal))

    async def retry_step(self, ordinal: int, retry: dict[str, Any]) -> None:
        self._pending.clear()
        await lasting(lambda: self._attempts.retry_step(self._work, ordinal, retry))

    async def finish_step(self, ordinal: int, outcome: Succeeded | Failed | Cancelled) -> None:
        self._pending.clear()
        await lasting(lambda: self._attempts.finish_step(self._work, ordinal, outcome))
        self.ordinal = None

    def progress(self, output: dict[str, Any]) -> None:
        """
        Leave word of the running step; written within a second.
        """
        self._pending |= output

    def left(self) -> dict[str, Any]:
        """
        Give, and forget, the progress that is not written yet: what a step says while it is ended.
        """
        output, self._pending = self._pending, {}
        return output

    async def save_config(self, connection_id: str, changed: dict[str, Any]) -> None:
        await lasting(lambda: self._attempts.save_config(self._work, UUID(connection_id), changed))

    async def save_catalog(self, connection_id: str, catalog: dict[str, Any]) -> None:
        await lasting(lambda: self._attempts.save_catalog(self._work, UUID(connection_id), catalog))

    async def forget_bookmark(self, connection_id: str) -> None:
        await lasting(lambda: self._attempts.forget_bookmark(self._work, UUID(connection_id)))

    async def save_tenant_config(self, changed: dict[str, Any]) -> None:
        await lasting(lambda: self._attempts.save_tenant_config(self._work, changed))

    async def record(self) -> dict[str, Any]:
        """
        Show the job in its dialect's words.
        """
        return await lasting(lambda: self._attempts.details(self._work))

    async def watch(self) -> None:
        """
        Write progress down and look after the claim; returns when the job has to end.
        """
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            output, self._pending = self._pending, {}
            try:
                if output and self.ordinal is not None:
                    standing = await self._attempts.report_step(self._work, self.ordinal, output)
                else:
                    standing = await self._attempts.standing(self._work.claim)
            except RetriableError:
                self._pending = output | self._pending
                continue
            self.fenced = standing.fenced
            self.cancel_requested = standing.cancel_requested
            if self.fenced or self.cancel_requested:
                return


def _killed(stage: str) -> Cause:
    return Cause(
        stage=stage, sentence="Job was killed", who=Blame.NOBODY, instruction="Run it again when it is wanted."
    )


def _parked(work: Work) -> Failed:
    running = next((step for step in work.job.steps if step.state is StepState.RUNNING), None)
    stage = running.name if running else ""
    return Failed(
        Cause(
            stage=stage,
            sentence=f"The worker died {work.claim.crashes} times while it ran this job"
            + (f", last in stage {stage}." if stage else "."),
            who=Blame.OPERATOR,
            instruction="Look at the worker's own log and the machine's memory before running the job again.",
            evidence={"crashes": work.claim.crashes, "attempt": work.claim.token},
        ),
        fatal=True,
    )


def _sentence(outcome: Outcome) -> str:
    return outcome.cause.sentence if isinstance(outcome, (Failed, Cancelled)) else ""
