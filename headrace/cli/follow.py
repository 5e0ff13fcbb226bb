"""
Following a job until it ends: on a terminal a display that stays in place, elsewhere a line now and then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner

from headrace.cli import job_view
from headrace.cli.output import duration, lasted, printable
from headrace.cli.remote import Remote
from headrace.core.errors import HeadraceError

FINAL_STATES = frozenset({"completed", "failed", "cancelled"})
_POLL_SECONDS = 0.5
_AWAY_SECONDS = 120.0
_LAST_LINES = 8
_LOG_PAGE = 1000
_HEARD_LENGTH = 100
_PLAIN_SECONDS = 5.0
_RATE_SECONDS = 5.0


def utc_now() -> datetime:
    return datetime.now(UTC)


class Display(AbstractContextManager["Display"], Protocol):
    """Where a job's progress is shown."""

    def update(self, job: Mapping[str, Any]) -> None: ...

    def note(self, text: str) -> None:
        """
        Say what keeps the display from being up to date.
        """

    def hear(self, line: str) -> None:
        """
        Take the newest line of the job's log.
        """


class Rates:
    """
    How many records a second each stream has brought of late.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[datetime, dict[str, int]]] = deque()

    def update(self, counts: Mapping[str, int], *, now: datetime) -> dict[str, float]:
        """
        Add what has been read until *now* and give the rates.
        """
        self._seen.append((now, dict(counts)))
        while len(self._seen) > 2 and (now - self._seen[1][0]).total_seconds() > _RATE_SECONDS:
            self._seen.popleft()
        began, first = self._seen[0]
        seconds = (now - began).total_seconds()
        if seconds <= 0:
            return {}
        return {stream: (count - first.get(stream, 0)) / seconds for stream, count in counts.items()}


class LiveDisplay(Display):
    """
    A display that is drawn again in its place.
    """

    def __init__(self, console: Console, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._rates = Rates()
        self._spinner = Spinner("dots", style="cyan")
        self._job: Mapping[str, Any] | None = None
        self._now_rates: dict[str, float] = {}
        self._note = ""
        self._heard = ""
        self._live = Live(console=console, get_renderable=self._picture, refresh_per_second=8)

    def __enter__(self) -> LiveDisplay:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, job: Mapping[str, Any]) -> None:
        self._note = ""
        self._now_rates = self._rates.update(job_view.records_of(job), now=self._clock())
        if job["state"] in FINAL_STATES:
            self._now_rates = {}
        if self._job is None or job_view.short_state(job) != job_view.short_state(self._job):
            self._heard = ""
        self._job = job

    def note(self, text: str) -> None:
        self._note = text

    def hear(self, line: str) -> None:
        self._heard = line

    def _picture(self) -> RenderableType:
        if self._job is None:
            return self._note
        now = self._clock()
        return job_view.progress(
            self._job, self._now_rates, now=now, spinner=self._spinner, heard=self._heard, note=self._note
        )


class PlainDisplay(Display):
    """
    A line for each change of stage, and one every few seconds in between.
    """

    def __init__(self, console: Console, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._console = console
        self._clock = clock
        self._shown = ""
        self._said_at: datetime | None = None
        self._noted = ""
        self._heard = ""

    def __exit__(self, *_ending: object) -> None:
        return None

    def update(self, job: Mapping[str, Any]) -> None:
        now = self._clock()
        doing = job_view.short_state(job)
        changed = doing != self._shown
        silent = self._said_at is None or (now - self._said_at).total_seconds() >= _PLAIN_SECONDS
        if (changed or silent) and job["state"] not in FINAL_STATES:
            self._shown, self._said_at, self._noted = doing, now, ""
            heard, self._heard = self._heard, ""
            told = self._counts(job) or (f": {heard}" if heard else "")
            self._say(f"{doing}, {duration(lasted(job, now=now)) or 'not begun'}{told}")

    def note(self, text: str) -> None:
        if text != self._noted:
            self._noted = text
            self._say(text)

    def hear(self, line: str) -> None:
        self._heard = printable(line).strip()[:_HEARD_LENGTH]

    def _say(self, text: str) -> None:
        self._console.print(f"{self._clock():%H:%M:%S} {text}", markup=False, soft_wrap=True)

    def _counts(self, job: Mapping[str, Any]) -> str:
        total = sum(job_view.records_of(job).values())
        return f", {total:,} records" if total else ""


def display_for(console: Console) -> Display:
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


async def follow(remote: Remote, job_id: str, display: Display) -> dict[str, Any]:
    """
    Show a job until it has ended; gives it as it ended.

    A server that is restarted meanwhile is waited for.

    Raises:
        ServerUnreachableError: the server stayed away for two minutes.
        ServerError: there is no such job, or not for this key.
    """
    heard = 0
    with display:
        while True:
            job: dict[str, Any] = await remote.get_patiently(
                f"/jobs/{job_id}",
                for_seconds=_AWAY_SECONDS,
                waiting=lambda reason: display.note(f"{reason} Waiting for it."),
            )
            display.update(job)
            if job["state"] in FINAL_STATES:
                return job
            if job["state"] == "running" and not job_view.records_of(job):
                heard = await _listen(remote, job_id, display, after=heard)
            await asyncio.sleep(_POLL_SECONDS)


async def _listen(remote: Remote, job_id: str, display: Display, *, after: int) -> int:
    """
    Show the newest line of a job's log, where there is nothing yet to be counted: an environment is built, a tap connects.
    """
    with suppress(HeadraceError):  # the next look at the job says what is wrong
        answer = await remote.get(f"/jobs/{job_id}/logs", after=after, limit=_LOG_PAGE)
        if answer["lines"]:
            display.hear(str(answer["lines"][-1]["text"]))
            return int(answer["next"])
    return after


async def last_lines(remote: Remote, job: Mapping[str, Any]) -> list[str]:
    """
    Give the end of a failed job's log.
    """
    lines: deque[str] = deque(maxlen=_LAST_LINES)
    if job["state"] == "failed":
        async for page in log_pages(remote, str(job["id"])):
            lines.extend(str(line["text"]) for line in page)
    return list(lines)


async def log_pages(
    remote: Remote, job_id: str, *, after: int = 0, item: int | None = None
) -> AsyncIterator[list[dict[str, Any]]]:
    """
    Read a job's log, or that of one *item*, page by page, from the line behind number *after* to what is written now; no page is empty.
    """
    place = f"/jobs/{job_id}/logs" if item is None else f"/jobs/{job_id}/items/{item}/logs"
    while True:
        answer = await remote.get(place, after=after, limit=_LOG_PAGE)
        lines: list[dict[str, Any]] = answer["lines"]
        if not lines:
            return
        yield lines
        after = int(lines[-1]["number"])
