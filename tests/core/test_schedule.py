"""
Expressions of schedules, their instants, and what becomes of missed ones.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidError
from headrace.core.schedule import Misfire, Verdict, decide, last_until, next_after, parse

NOON = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
GRACE = timedelta(minutes=5)
EXPRESSIONS = (
    "cron(0 0 * * *)", "cron(0 0 ? * * *)", "*/5 * * * *", "cron(30 2 * * ? *)", "cron(0 12 ? * 2-6 *)", "cron(0 8 1 * ? 2026-2030/2)",
    "cron(0/15 * * * ? *)", "cron(0 9 ? * 6#2 *)", "cron(59 23 L * ? *)", "rate(7 minutes)", "rate(1 day)",
)  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "following"),
    [
        ("cron(0 0 * * *)", datetime(2026, 3, 29, tzinfo=UTC)),
        ("0 0 * * *", datetime(2026, 3, 29, tzinfo=UTC)),
        ("cron(0 0 ? * * *)", datetime(2026, 3, 29, tzinfo=UTC)),
        ("cron(0 10 ? * MON-FRI *)", datetime(2026, 3, 30, 10, tzinfo=UTC)),
        ("cron(0 10 * * 1)", datetime(2026, 3, 30, 10, tzinfo=UTC)),  # UNIX: 1 is Monday
        ("cron(0 10 ? * 1 *)", datetime(2026, 3, 29, 10, tzinfo=UTC)),  # EventBridge: 1 is Sunday
        ("cron(0 10 ? * 6L *)", datetime(2026, 4, 24, 10, tzinfo=UTC)),  # the last Friday
        ("cron(0 10 ? * 6#1 *)", datetime(2026, 4, 3, 10, tzinfo=UTC)),  # the first Friday
        ("cron(0 8 1 1 ? 2030)", datetime(2030, 1, 1, 8, tzinfo=UTC)),
        ("cron(0 0 29 2 ? 2020/4)", datetime(2028, 2, 29, tzinfo=UTC)),
        ("rate(90 minutes)", NOON + timedelta(minutes=90)),
        (" Rate(1 DAY) ", NOON + timedelta(days=1)),
    ],
)
def test_every_form_has_its_next_instant(expression: str, following: datetime) -> None:
    assert next_after(parse(expression), NOON, anchor=NOON) == following


@pytest.mark.parametrize(
    "expression",
    ["", " ", "cron()", "cron(* * * *)", "cron(* * * * * * *)", "* * * * * * *", "rate(0 minutes)", "rate(5 weeks)", "rate(-1 hours)",
     "cron(60 * * * *)", "cron(* * * * * 20x6)", "every day", "cron(0 0 31 2 *)", "\x00", "9" * 10_000, "cron(*/0 * * * *)"],
)  # fmt: skip
def test_what_has_none_of_the_forms_is_refused(expression: str) -> None:
    with pytest.raises(InvalidError):
        parse(expression)


def test_years_that_are_over_never_come() -> None:
    assert next_after(parse("cron(0 0 1 1 ? 1999)"), NOON, anchor=NOON) is None


@pytest.mark.parametrize("day", [29, 25])
def test_16_no_clock_change_adds_or_takes_an_instant(day: int) -> None:
    """
    Fault drill 16: around the nights when Europe's clocks change, every half hour comes once.
    """
    at = datetime(2026, 3 if day == 29 else 10, day - 1, 22, 0, tzinfo=UTC)
    recurrence = parse("*/30 * * * *")

    for _ in range(20):
        following = next_after(recurrence, at, anchor=NOON)
        assert following == at + timedelta(minutes=30)
        at = following


@given(
    st.sampled_from(EXPRESSIONS),
    st.datetimes(datetime(2026, 1, 1), datetime(2029, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the zone is given apart
    st.integers(0, 200_000),
)
def test_next_and_last_agree(expression: str, after: datetime, seconds: int) -> None:
    """
    The next instant is later; looking back from anywhere before the one after it finds it again.
    """
    recurrence = parse(expression)
    first = next_after(recurrence, after, anchor=NOON)
    if first is None:
        return
    second = next_after(recurrence, first, anchor=NOON)

    assert first > after
    assert second is None or second > first
    until = first + timedelta(seconds=seconds)
    last = last_until(recurrence, until, since=first, anchor=NOON)
    assert first <= last <= until
    following = next_after(recurrence, last, anchor=NOON)
    assert following is None or following > until


def judge(expression: str, now: datetime, misfire: Misfire, *, present_since: datetime | None = None) -> Verdict:
    return decide(
        parse(expression), NOON, now, anchor=NOON, misfire=misfire, grace=GRACE, present_since=present_since or now
    )


def test_a_late_look_fires_the_last_instant_within_its_grace() -> None:
    verdict = judge("*/1 * * * *", NOON + timedelta(seconds=150), "skip")

    assert (verdict.instant, verdict.fire, verdict.missed) == (NOON + timedelta(minutes=2), True, 2)
    assert verdict.next_at == NOON + timedelta(minutes=3)


def test_17_skip_lets_go_what_is_older_than_its_grace() -> None:
    verdict = judge("0 * * * *", NOON + timedelta(hours=2.5), "skip")

    assert (verdict.instant, verdict.fire, verdict.missed) == (NOON + timedelta(hours=2), False, 3)
    assert verdict.next_at == NOON + timedelta(hours=3)


def test_17_slowness_is_no_absence() -> None:
    """
    Whoever has been looking all along fires an instant however late its turn comes.
    """
    verdict = judge("0 * * * *", NOON + timedelta(minutes=40), "skip", present_since=NOON - timedelta(hours=1))

    assert (verdict.instant, verdict.fire, verdict.missed) == (NOON, True, 0)


def test_17_all_goes_back_a_day_and_no_further() -> None:
    now = NOON + timedelta(hours=48, minutes=30)

    verdict = judge("0 * * * *", now, "all")

    assert (verdict.instant, verdict.fire, verdict.missed) == (NOON + timedelta(hours=25), True, 25)
    assert verdict.next_at == NOON + timedelta(hours=26)


def test_a_year_of_missed_minutes_is_decided_at_once() -> None:
    """
    Counting stops at a thousand; nobody waits for half a million.
    """
    verdict = judge("* * * * *", NOON + timedelta(days=365), "latest")

    assert (verdict.fire, verdict.missed, verdict.instant) == (True, 1000, NOON + timedelta(days=365))
