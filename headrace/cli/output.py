"""
How commands speak: tables for people, bare ids for pipes, JSON for programs; complaints go to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from headrace.cli.failures import code_of
from headrace.core.errors import DefinitionError, HeadraceError

if TYPE_CHECKING:
    from rich.console import Console

_MARKS = {
    "completed": ("✓", "green"),
    "delivered": ("✓", "green"),
    "failed": ("✗", "red"),
    "cancelled": ("⊘", "yellow"),
    "running": ("▸", "cyan"),
    "pausing": ("‖", "yellow"),
    "paused": ("‖", "yellow"),
    "retryable": ("↻", "yellow"),
    "skipped": ("–", "dim"),
}
_NO_MARK = ("·", "dim")

_WIDEST = 40  # of a table's column but the last


def to_people() -> bool:
    """
    Whether standard output is read by a person.
    """
    return sys.stdout.isatty()


def console(*, errors: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=errors, highlight=False)


def say_json(value: Any) -> None:
    print(json.dumps(value, indent=2 if to_people() else None, ensure_ascii=False))


def say_ids(ids: Iterable[str]) -> None:
    for one in ids:
        print(one)


def say_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, nothing: str) -> None:
    """
    Show *rows*, one line each: what does not fit is cut from the last column; *nothing* is said when there are none.
    """
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    if not rows:
        print(nothing)
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    *firsts, last = columns
    for number, column in enumerate(firsts):
        # Their full width, so that the last column alone gives way.
        widest = max(Text.from_markup(str(value)).cell_len for value in (column, *(row[number] for row in rows)))
        table.add_column(column, no_wrap=True, min_width=min(widest, _WIDEST))
    table.add_column(last, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def say_error(error: HeadraceError, *, as_json: bool) -> None:
    """
    Say what happened and the next move, on standard error.
    """
    if as_json:
        told = {
            "code": code_of(error),
            "reason": error.reason,
            "instruction": error.instruction,
            "facts": error.facts,
        }
        print(json.dumps(told, ensure_ascii=False, default=str), file=sys.stderr)
        return
    problems = error.facts.get("problems")
    if isinstance(problems, list) and problems:
        for one in problems:
            print(f"Error: {one['reason']}\n  {one['instruction']}".rstrip(), file=sys.stderr)
        return
    print(f"Error: {_where(error)}{error.reason}", file=sys.stderr)
    if error.instruction:
        print(f"  {error.instruction}", file=sys.stderr)


def _where(error: HeadraceError) -> str:
    """
    Name the file and line of a wrong definition where its reason does not.
    """
    file, line = str(error.facts.get("file") or ""), error.facts.get("line")
    if not isinstance(error, DefinitionError) or not file or file in error.reason:
        return ""
    return f"{file}:{line}: " if line else f"{file}: "


def mark_of(state: str) -> tuple[str, str]:
    """
    Give a state's sign and its colour.
    """
    return _MARKS.get(state, _NO_MARK)


def state_text(state: str) -> Any:
    from rich.text import Text

    mark, style = mark_of(state)
    return Text(f"{mark} {state}", style=style)


def moment(text: str | None) -> datetime | None:
    """
    Read a time of the API; None for none.
    """
    if not text:
        return None
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def lasted(one: Mapping[str, Any], *, now: datetime) -> timedelta | None:
    """
    How long a job or step has run; None before it began.
    """
    began = moment(one.get("started_at"))
    return None if began is None else max(timedelta(0), (moment(one.get("finished_at")) or now) - began)


def duration(span: timedelta | None) -> str:
    """
    Write a span for people: `0.4 s`, `12.3 s`, `2:05`, `1:02:05`.
    """
    if span is None:
        return ""
    seconds = span.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def ago(text: str | None, *, now: datetime) -> str:
    """
    Write how long ago a time was: `4 s ago`, `3 h ago`.
    """
    at = moment(text)
    if at is None:
        return ""
    seconds = max(0, int((now - at).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def printable(text: str) -> str:
    """
    Take control characters out of what a job has written: it must not drive the reader's terminal.
    """
    return "".join(char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def byte_count(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"
