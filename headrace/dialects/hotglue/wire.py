"""
What hotglue's run and poll calls carry, checked.

Source: hotglue API v1.2, "Run a V1 job" and "Poll job status" (OpenAPI 3.1.0, documented only), and the body that hotglue's widget 1.4
sends (`job.job_name`). Fields that nobody documented are ignored.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from headrace.core.errors import InvalidError

_ID_LENGTH = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DATE_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_VARIABLE = re.compile(r"[^=\x00]+")
_AT = re.compile(r" - at `\$\.?([^`]*)`$")


class RunRequest(Struct, frozen=True, kw_only=True):
    """
    The body of `POST /{env_id}/{flow_id}/{tenant}/jobs`; every field may be left out, none may be null.
    """

    state: dict[str, Any] | UnsetType = UNSET
    tap: str = ""
    job_name: str = ""
    override_start_date: str | UnsetType = UNSET
    override_end_date: str | UnsetType = UNSET
    reset_source_state: bool = False
    streaming_job: bool = False
    override_selected_tables: dict[str, Any] | UnsetType = UNSET
    override_field_map: dict[str, Any] | UnsetType = UNSET
    override_source_config: dict[str, Any] = {}
    override_target_config: dict[str, Any] = {}
    ignore_parallel_jobs: bool = False
    queue_if_active_job: bool = False
    environment_variables: dict[str, Any] = {}
    job: Any = None  # the widget's own place for `job_name`

    @property
    def name(self) -> str:
        """
        The name that was asked for, wherever it stood; empty for none.
        """
        if self.job_name or not isinstance(self.job, dict):
            return self.job_name
        nested = self.job.get("job_name", "")
        return nested if isinstance(nested, str) else ""


_decoder = msgspec.json.Decoder(RunRequest)


def decode_run(body: bytes) -> RunRequest:
    """
    Read the body of a run call; an empty one asks for nothing special.

    Raises:
        InvalidError: it is not a JSON object, or a field is of the wrong type or form; the reason names the field.
    """
    request = _decode(body)
    for field in ("override_start_date", "override_end_date"):
        value = getattr(request, field)
        if value is not UNSET:
            as_date_time(value, field)
    as_variables(request.environment_variables)
    if _CONTROL.search(request.tap) or _CONTROL.search(request.name) or len(request.name) > _ID_LENGTH:
        raise InvalidError(
            f"`tap` and `job_name` may not contain control characters, nor a name be longer than {_ID_LENGTH} characters.",
            "Use a shorter, printable one.",
        )
    if b"\\u0000" in body:
        _refuse_nul(request)
    return request


def _decode(body: bytes) -> RunRequest:
    if not body.strip():
        return RunRequest()
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _named(str(error)) from None
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else "not valid JSON in UTF-8"
        raise InvalidError(f"The body is {what}.", "Send one JSON object.") from None


def _named(text: str) -> InvalidError:
    at = _AT.search(text)
    what = _AT.sub("", text)
    if at is None:
        return InvalidError(f"The body is not as it should be: {what}.", "Send one JSON object.")
    return InvalidError(
        f"The field `{at[1]}` is not as it should be: {what}.", "Correct it, or leave it out.", field=at[1]
    )


def _refuse_nul(request: RunRequest) -> None:
    # `state` is data and is kept whatever it holds; the others name things, and no name contains NUL.
    for field in ("override_selected_tables", "override_field_map", "override_source_config", "override_target_config"):
        value = getattr(request, field)
        # Behind a backslash that is itself escaped, the same letters are text.
        if value is not UNSET and b"\\u0000" in msgspec.json.encode(value).replace(rb"\\", b""):
            raise InvalidError(f"The field `{field}` contains the character NUL.", "Leave it out.", field=field)


def as_date_time(text: str, field: str) -> str:
    """
    Check an RFC 3339 date-time, or a date, which becomes the date-time of its first instant in UTC.

    Raises:
        InvalidError: it is neither.
    """
    try:
        if found := _DATE_TIME.fullmatch(text):
            seconds = "59" if found[3] == "60" else found[3]  # a leap second
            datetime.fromisoformat(f"{found[1]}T{found[2]}:{seconds}{found[5].upper()}")
            return text
        if _DATE.fullmatch(text):
            return f"{date.fromisoformat(text).isoformat()}T00:00:00Z"
        raise ValueError(text)
    except ValueError:
        raise InvalidError(
            f"The field `{field}` is not a date-time.", "Write it like 2022-08-08T00:00:00.000Z.", field=field
        ) from None


def as_variables(values: dict[str, Any]) -> dict[str, str]:
    """
    Make environment variables of JSON values: strings as they are, everything else as its JSON text.

    Raises:
        InvalidError: a name or value that no environment can hold.
    """
    variables = {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode() for name, value in values.items()
    }
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(name) or "\x00" in value:
            raise InvalidError(
                "The field `environment_variables` has a name or value that no environment can hold.",
                "A name is not empty and has no `=`; neither has NUL.",
                field="environment_variables",
            )
    return variables


def check_id(value: str, field: str) -> str:
    """
    Check one id of the path.

    Raises:
        InvalidError: it is too long, or holds what could lead out of its place.
    """
    if not 0 < len(value) <= _ID_LENGTH or value in (".", "..") or "/" in value or _CONTROL.search(value):
        raise InvalidError(
            f"`{field}` is not an id.",
            f"An id has 1 to {_ID_LENGTH} characters, no slash and no control characters.",
            field=field,
        )
    return value
