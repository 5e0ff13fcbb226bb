"""
How a job looks, 80 columns wide.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from rich.spinner import Spinner
from stand_in import CAUSE, ITEMS, job, step

from headrace.cli import job_view
from headrace.cli.follow import LiveDisplay, PlainDisplay, Rates
from headrace.cli.output import ago, byte_count, duration, printable

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def shown(picture: Any) -> str:
    console = Console(width=80, file=StringIO(), force_terminal=False)
    console.print(picture)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines()), default=0) <= 80
    return str(text)


def test_progress_shows_stages_streams_and_rates() -> None:
    """
    Each stage has a line with its time; streams stand below with their count and speed.
    """
    picture = job_view.progress(
        job("running"), {"flights": 41200.0}, now=NOON + timedelta(seconds=4), spinner=Spinner("dots"), note="Away."
    )

    text = shown(picture)

    assert "flights for acme, job tVN_B" in text
    assert "2 streams, 336,792 records" in text
    assert "41,200/s" in text
    assert "runs sync, 4.0 s" in text
    assert "Away." in text


def test_many_streams_and_long_names_stay_inside_the_screen() -> None:
    """
    Eight streams are shown, the rest is added up; names are cut.
    """
    counts = {f"a_very_long_stream_name_that_goes_on_and_on_{n}": n * 10**9 for n in range(1, 41)}
    many = job("running", steps=[step("sync", "running", record_count=counts)], definition="d" * 100)

    text = shown(job_view.progress(many, {}, now=NOON, spinner=Spinner("dots")))

    assert "and 32 more" in text


@pytest.mark.parametrize("state", ["scheduled", "waiting", "admitted", "running", "paused"])
def test_a_job_without_steps_can_be_shown(state: str) -> None:
    """
    Whatever a job is doing has words.
    """
    bare = job(state, steps=[], started_at=None)

    assert job_view.short_state(bare)
    assert shown(job_view.progress(bare, {}, now=NOON, spinner=Spinner("dots")))


def test_the_whole_of_a_failed_job() -> None:
    """
    The cause stands before the stages.
    """
    text = shown(job_view.whole(job("failed", cause=CAUSE, crashes=1), now=NOON))

    assert text.index("exit code 3") < text.index("stage  ")
    assert "1 ended without a word" in text


def test_ids_that_nobody_can_read_are_made_short() -> None:
    """
    A pipeline's jobs are told by its name, and a UUID by its beginning.
    """
    pipeline, batch = "9725a997-d511-5779-9a2a-89c35d7d2797", "01a202a6-88d6-7b70-8ac5-b6f76c06297f"

    assert job_view.title(job("running", definition=pipeline, name="daily")) == "daily for acme, job tVN_B"
    assert job_view.title(job("running", public_id=batch)) == "flights for acme, job 01a202a6-88d6"


def test_a_job_that_calls_functions_counts_its_items() -> None:
    """
    Such a job has no stages; how far it is stands in one line, and the command that lists the items below.
    """
    items = {"total": 1200, "completed": 990, "failed": 8, "cancelled": 2, "live": 4}
    batch = job("running", steps=[], items=items)

    for text in (
        shown(job_view.whole(batch, now=NOON)),
        shown(job_view.progress(batch, {}, now=NOON, spinner=Spinner("dots"))),
    ):
        assert "1,000 of 1,200 items ended, 8 failed, 2 cancelled, 4 under way" in text
        assert "stage" not in text
    assert f"headrace items {batch['public_id']}" in shown(job_view.whole(batch, now=NOON))


def test_an_export_is_added_up() -> None:
    """
    What the targets say of each stream becomes one line.
    """
    summary = {"orders": {"success": 1200, "fail": 2}, "items": {"success": 3, "existing": True}}
    exported = job("completed", steps=[step("export", "completed", export_summary=summary)])

    assert "1,203 success, 2 fail" in shown(job_view.whole(exported, now=NOON))


def test_a_cancelled_job_says_so() -> None:
    """
    The frame's title is the ending.
    """
    text = shown(job_view.ending(job("cancelled", cause={**CAUSE, "who": "nobody"}), ["unused"], now=NOON))

    assert "Cancelled after 12.3 s" in text
    assert "unused" not in text


def test_rates_are_of_the_last_seconds() -> None:
    """
    A stream that has stalled shows it soon.
    """
    rates = Rates()
    rates.update({"a": 0}, now=NOON)
    steady = rates.update({"a": 1000}, now=NOON + timedelta(seconds=1))
    for second in range(2, 12):
        stalled = rates.update({"a": 1000}, now=NOON + timedelta(seconds=second))

    assert steady == {"a": 1000.0}
    assert stalled == {"a": 0.0}


def test_a_plain_display_is_quiet_between_changes() -> None:
    """
    A line for each change, else one every five seconds at most.
    """
    out, clock = StringIO(), iter(NOON + timedelta(seconds=second // 2) for second in range(100))
    times: list[datetime] = []

    def now() -> datetime:
        times.append(next(clock))
        return times[-1]

    display = PlainDisplay(Console(file=out, width=80), clock=now)
    for _ in range(20):
        display.update(job("running"))
    display.update(job("completed"))

    assert 2 <= len(out.getvalue().splitlines()) <= 4


def test_a_live_display_leaves_its_last_picture() -> None:
    """
    What was shown last stays on the terminal.
    """
    out = StringIO()
    console = Console(file=out, width=80, force_terminal=True)
    with LiveDisplay(console, clock=lambda: NOON) as display:
        display.note("The server does not answer. Waiting for it.")
        display.update(job("running"))
        display.update(job("completed"))

    assert "336,792 records" in out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (12.34, "12.3 s"), (65, "1:05"), (3725, "1:02:05"), (90061, "25:01:01")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    """
    Tenths below a minute, clock-like above.
    """
    assert duration(timedelta(seconds=seconds)) == text


def test_small_words() -> None:
    """
    Ages, sizes and text that was not ours.
    """
    assert ago("2026-03-01T11:00:00Z", now=NOON) == "1 h ago"
    assert ago(None, now=NOON) == ""
    assert byte_count(104857600) == "100.0 MiB"
    assert printable("a\x1b[2Jb\tc\x00") == "a\N{REPLACEMENT CHARACTER}[2Jb\tc\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("state", "live", "head", "said"),
    [
        ("running", 2, "‖ pausing", "2 items still run to their end."),
        ("running", 1, "‖ pausing", "1 item still runs to its end."),
        ("waiting", 0, "‖ paused", "is paused and starts nothing."),
        ("paused", 0, "‖ paused", "Go on with: headrace resume tVN_B"),
    ],
)
def test_a_pause_says_what_it_means_and_how_it_ends(state: str, live: int, head: str, said: str) -> None:
    """
    A job that has not begun keeps its state, and is paused for whoever looks.
    """
    items = {**ITEMS, "live": live, "pause_requested_at": "2026-03-01T12:00:05Z"}

    text = shown(job_view.whole(job(state, steps=[], items=items), now=NOON))

    assert head in text.splitlines()[0]
    assert said in text


def test_a_job_that_was_paused_and_has_ended_shows_its_end() -> None:
    items = {**ITEMS, "live": 0, "pause_requested_at": "2026-03-01T12:00:05Z"}

    text = shown(job_view.whole(job("cancelled", steps=[], items=items), now=NOON))

    assert "cancelled" in text.splitlines()[0]
    assert "paused" not in text
