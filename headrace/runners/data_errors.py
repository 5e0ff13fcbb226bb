"""
What can be wrong with the lines of a tap, each with a stable code.

All carry the same facts, so that one report shape serves them: `stream`, `field`, `line` (1-based, of the tap's standard
output) and `excerpt` (at most 200 characters).
"""

from __future__ import annotations

from typing import Any

from headrace.core.errors import CallerError, FatalError, HeadraceError, RetriableError

EXCERPT_BYTES = 200
EXIT_DATA = 65  # EX_DATAERR of sysexits.h
EXIT_INTERNAL = 70  # EX_SOFTWARE
EXIT_DISK_FULL = 74  # EX_IOERR of sysexits.h


def excerpt(line: bytes) -> str:
    """
    The first 200 bytes of *line* as text that is safe to show: undecodable bytes stand as escapes.
    """
    return line[:EXCERPT_BYTES].decode("utf-8", "backslashreplace")


class TapDataError(CallerError):
    """The tap wrote something that cannot become rows; whoever owns the tap mends it."""

    code = "tap-data"


class RecordBeforeSchemaError(TapDataError):
    """A RECORD came before the SCHEMA of its stream, so its columns are unknown."""

    code = "record-before-schema"


class SchemaInvalidError(TapDataError):
    """A SCHEMA message has no stream name or no usable JSON schema."""

    code = "schema-invalid"


class StateInvalidError(TapDataError):
    """A STATE message whose value is not an object."""

    code = "state-not-an-object"


class LineTooLongError(TapDataError):
    """A line is longer than `max_line_bytes`."""

    code = "line-too-long"


class LineTruncatedError(TapDataError):
    """The last line ends in the middle: the tap was killed or crashed while it wrote."""

    code = "line-truncated"


class ValueMisfitError(TapDataError):
    """A value fits no rule of its column, and the job says to fail on that."""

    code = "value-misfit"


class RecordLimitError(TapDataError):
    """A stream has more records than `max_records` allows."""

    code = "record-limit"


class OutputLimitError(TapDataError):
    """The files are larger than `max_output_bytes`."""

    code = "output-limit"


class BatchError(TapDataError):
    """A BATCH message names files that cannot be read."""

    code = "batch-unreadable"


class DiskFullError(RetriableError):
    """No space was left for the files."""

    code = "disk-full"


class OutputError(RetriableError):
    """The files could not be written for another reason than space."""

    code = "output-failed"


class InputError(RetriableError):
    """The pipe from the tap could not be read."""

    code = "input-failed"


class InternalError(FatalError):
    """The data plane itself failed in a way that nobody planned; the log has the traceback."""

    code = "data-plane-internal"

    @classmethod
    def of(cls, error: BaseException) -> InternalError:
        return cls(f"The data plane failed: {type(error).__name__}.", "Look at its log; this is a fault of Headrace.")


def exit_code(error: HeadraceError | None) -> int:
    """
    How a data-plane process ends: 0, data error 65, internal 70, disk or pipe 74.
    """
    match error:
        case None:
            return 0
        case TapDataError():
            return EXIT_DATA
        case RetriableError():
            return EXIT_DISK_FULL
        case _:
            return EXIT_INTERNAL


def describe(error: HeadraceError) -> dict[str, Any]:
    """
    The error as the `error` object of a finished report.
    """
    facts = error.facts
    return {
        "code": error.code,
        "reason": error.reason,
        "instruction": error.instruction,
        "stream": facts.get("stream"),
        "field": facts.get("field"),
        "line": facts.get("line"),
        "excerpt": facts.get("excerpt"),
    }
