"""
Reading the bodies of Intuned's calls for jobs and runs: what is wrong is refused by its name.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from headrace.core import calendar_words, nesting
from headrace.core.errors import InvalidError
from headrace.dialects.intuned.checks import (
    attempts,
    check_api,
    check_login_tries,
    check_parameters,
    check_proxy,
    check_receiver,
    check_session_id,
    check_sink,
    check_tries,
    is_job_id,
    seconds,
    whole,
    wrong,
)
from headrace.dialects.intuned.wire import JobBody, JobConfiguration, RunAuthSession, RunBody

_AT = re.compile(r" - at `\$\.?([^`]*)`$")
_MOST_ITEMS = 100_000
_LONGEST_SCHEDULE = 2**16

T = TypeVar("T")


def decode_job(body: bytes, *, with_id: bool) -> JobBody:
    """
    Read the body of Create Job or Update Job.

    Raises:
        InvalidError: it is not as it should be; the reason names the field.
    """
    job = decode(body, JobBody)
    if with_id and (job.id is None or not is_job_id(job.id)):
        raise wrong("id", "is not a slug", "Use letters, digits, - and _ alone.")
    if not 0 < len(job.payload) <= _MOST_ITEMS:
        raise wrong("payload", f"has {len(job.payload)} items", f"Give from 1 to {_MOST_ITEMS}.")
    names = set[str]()
    for number, item in enumerate(job.payload):
        at = f"payload[{number}]"
        if item.api_name not in names:  # a long list calls few functions
            check_api(item.api_name, f"{at}.apiName")
            names.add(item.api_name)
        check_parameters(item.parameters, f"{at}.parameters")
        seconds(item.request_timeout, f"{at}.requestTimeout")
        attempts(item.retry, f"{at}.retry.maximumAttempts")
    _check_configuration(job.configuration)
    if job.schedule is not None:
        if len(msgspec.json.encode(job.schedule)) > _LONGEST_SCHEDULE:
            raise wrong("schedule", "is too long", "Use ranges, and shorter comments.")
        calendar_words.read(msgspec.to_builtins(job.schedule))
    check_sink(job.sink)
    for number, each in enumerate(job.notifications or ()):
        check_receiver(each.url, each.headers, f"notifications[{number}]")
    check_proxy(job.proxy, "proxy")
    if job.session is not None:
        check_session_id(job.session.id, "auth_session.id")
        check_login_tries(job.session, "auth_session.")
    _refuse_nul(msgspec.structs.replace(job, payload=[]))
    return msgspec.structs.replace(
        job,
        payload=[_counted(item) if item.retry or item.request_timeout is not None else item for item in job.payload],
        configuration=_counted(job.configuration),
        auth_session=_counted(job.auth_session),
        seed_session=_counted(job.seed_session),
    )


def decode_run(body: bytes) -> RunBody:
    """
    Read the body of the Run API's start.

    Raises:
        InvalidError: it is not as it should be; the reason names the field.
    """
    run = decode(body, RunBody)
    check_api(run.api, "api")
    check_parameters(run.parameters, "parameters")
    seconds(run.request_timeout, "requestTimeout")
    attempts(run.retry, "retry.maximumAttempts")
    check_sink(run.sink)
    check_proxy(run.proxy, "proxy")
    if run.auth_session is not None:
        _check_run_session(run.auth_session)
    _refuse_nul(msgspec.structs.replace(run, parameters=Raw(b"{}"), auth_session=None))
    return run


def decode(body: bytes, model: type[T]) -> T:
    """
    Read a body.

    Raises:
        InvalidError: it is not JSON, or not as *model* says.
    """
    if nesting.too_deep(body):
        raise InvalidError("The body is nested too deeply.", f"Nest at most {nesting.MOST_LEVELS} levels.")
    try:
        body.decode()
        return msgspec.json.decode(body, type=model)
    except msgspec.ValidationError as error:
        raise _named(str(error)) from None
    except (ValueError, RecursionError):
        raise InvalidError("The body is not valid JSON in UTF-8.", "Send one JSON object.") from None


def _counted(value: T) -> T:
    """
    Write the whole numbers of a struct as such: Python's client sends them as floats, and expects integers back.
    """
    changed: dict[str, Any] = {}
    for name in value.__struct_fields__ if isinstance(value, Struct) else ():
        match getattr(value, name):
            case float(number) if number.is_integer():
                changed[name] = int(number)
            case Struct() as inner if (counted := _counted(inner)) is not inner:
                changed[name] = counted
    return msgspec.structs.replace(value, **changed) if changed else value  # type: ignore[type-var]  # only a struct has changes


def _check_run_session(session: RunAuthSession) -> None:
    if session.id is not None:
        check_session_id(session.id, "authSession.id")
    elif session.brought is None:
        raise wrong("authSession.id", "is missing", "Give the id of a session, or `runtimeInput`.")
    if session.brought is not None:
        check_parameters(session.runtime_input, "authSession.runtimeInput")
        if session.auto_recreate is False:
            raise wrong("authSession.autoRecreate", "is false", "Leave it out: with `runtimeInput` it is always true.")
    check_tries(session, "authSession.")
    seconds(session.request_timeout, "authSession.requestTimeout")


def _check_configuration(configuration: JobConfiguration) -> None:
    attempts(configuration.retry, "configuration.retry.maximumAttempts")
    whole(configuration.max_concurrent_requests, "configuration.maxConcurrentRequests", most=2**31 - 1)
    seconds(configuration.request_timeout, "configuration.requestTimeout")
    whole(configuration.max_runs, "configuration.maxRuns", most=2**31 - 1)
    check_proxy(configuration.proxy, "configuration.proxy")


def _named(text: str) -> InvalidError:
    at = _AT.search(text)
    what = _AT.sub("", text)
    if at is None:
        return InvalidError(f"The body is not as it should be: {what}.", "Send one JSON object.")
    return InvalidError(f"The field `{at[1]}` is not as it should be: {what}.", "Correct it.", field=at[1])


def _refuse_nul(model: Struct) -> None:
    # Parameters are data and are kept whatever they hold; the rest names things, and no name contains NUL.
    if b"\\u0000" in msgspec.json.encode(model).replace(rb"\\", b""):
        raise InvalidError("A field of the body contains the character NUL.", "Leave it out.")
