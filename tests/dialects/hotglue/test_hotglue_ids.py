"""
hotglue's names for jobs.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from hotglue_rows import row
from hypothesis import given
from hypothesis import strategies as st

from headrace.dialects.hotglue.ids import job_name, job_root, short_id, week_of_month


@pytest.mark.parametrize(("day", "week"), [(date(2022, 1, 19), 4), (date(2024, 7, 25), 4), (date(2024, 10, 6), 1)])
def test_the_public_samples_fall_into_their_weeks(day: date, week: int) -> None:
    assert week_of_month(day) == week


@given(st.dates())
def test_weeks_of_a_month_begin_on_monday_and_rise_one_by_one(day: date) -> None:
    """
    The first day is in week 1; a Monday begins a new week, any other day stays in that of the day before.
    """
    week = week_of_month(day)

    assert 1 <= week <= 6
    if day.day == 1:
        assert week == 1
    else:
        before = week_of_month(day - timedelta(days=1))
        assert week == before + (day.weekday() == 0)


@given(st.binary(min_size=6, max_size=32))
def test_a_short_id_has_six_characters_and_no_leading_dash(chance: bytes) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{5}", short_id(chance))


@row("10 3")
def test_the_sample_root_and_name_come_out_as_documented() -> None:
    at = datetime(2022, 1, 19, 15, 30, 11, 731333, UTC)

    root = job_root(tenant="12598713", flow="l8odS2mce", job_id="37g_DK", at=at)
    assert root == "12598713/flows/l8odS2mce/jobs/2022/01/4/19/15/37g_DK"
    assert job_name(flow="l8odS2mce", tap="chargebee", at=at) == "l8odS2mce-chargebee-20220119-153011"
