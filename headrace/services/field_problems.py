"""
What is wrong with the fields of what a caller sent, told all at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headrace.core.errors import InvalidError


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field of what a caller sent."""

    field: str
    rejected: Any
    message: str
    code: str = "Invalid"


class FieldsError(InvalidError):
    """One or more fields are wrong; the fact `problems` lists them."""

    code = "fields-invalid"


def refuse(what: str, problems: Sequence[FieldProblem]) -> None:
    """
    Raises:
        FieldsError: there are problems.
    """
    if problems:
        raise FieldsError(
            f"Validation failed for object='{what}'. Error count: {len(problems)}",
            "; ".join(f"{each.field}: {each.message}" for each in problems),
            what=what,
            problems=list(problems),
        )
