"""
The names hotglue gives to jobs: short ids, roots, and names made up for whoever gives none.

Forms from the public samples on hotglue's pages "Run a V1 job", "Poll job status" and "Job Details" (API v1.2, documented only).
"""

from __future__ import annotations

from datetime import date, datetime

_ALPHANUMERIC = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_ALPHABET = _ALPHANUMERIC + "_-"

ID_LENGTH = 6


def short_id(chance: bytes) -> str:
    """
    Make a job id of six random bytes; it never begins with a dash, which a command line would take for an option.
    """
    first, *rest = chance[:ID_LENGTH]
    return _ALPHANUMERIC[first % len(_ALPHANUMERIC)] + "".join(_ALPHABET[byte & 63] for byte in rest)


def week_of_month(day: date) -> int:
    """
    Count the week of the month from 1, weeks beginning on Monday.
    """
    return (day.day + day.replace(day=1).weekday() - 1) // 7 + 1


def job_root(*, tenant: str, flow: str, job_id: str, at: datetime) -> str:
    """
    Give the path that hotglue calls `s3_root` and `job_root`; *at* is the UTC time of creation.
    """
    when = f"{at.year:04}/{at.month:02}/{week_of_month(at.date())}/{at.day:02}/{at.hour:02}"
    return f"{tenant}/flows/{flow}/jobs/{when}/{job_id}"


def job_name(*, flow: str, tap: str, at: datetime) -> str:
    """
    Make up a name for a job that was given none; *at* is UTC.
    """
    return f"{flow}-{tap}-{at:%Y%m%d-%H%M%S}"
