"""
Values as Intuned's wire writes them: times, ids, and what is left out.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID


def when(at: datetime) -> str:
    """
    Write a time as the wire has it: ISO 8601, UTC, milliseconds, `Z`.
    """
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def when_if(at: datetime | None) -> str | None:
    return when(at) if at is not None else None


def given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def parse_uuid(text: str) -> UUID | None:
    """
    Read an id that is a UUID in its usual form; None for anything else, such as the name of a project in 32 hexadecimal digits.
    """
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text.lower() else None
