"""
What Intuned's calls carry, checked.

Source: the models of Intuned's published clients (TypeScript 0.5.2, December 2025; Python 1.1.1, 2026), seen live against a stand-in server,
and its page on the Job model. Unknown fields are ignored. A null means the same as a missing field, so every field that may be missing
has None here, and leaves again as a missing one: the TypeScript client refuses a null where its model has none. Whole numbers may
arrive as floats, which the Python client sends.
"""

from __future__ import annotations

import re
from typing import Any, Literal, Protocol, TypeVar

import msgspec
from msgspec import Raw, Struct, field

from headrace.core import calendar_words, nesting
from headrace.core.errors import InvalidError
from headrace.core.fan_out import is_item_name
from headrace.deliveries.addresses import checked_url

DEFAULT_TIMEOUT_SECONDS = 600
"""What both clients always send, so that it cannot be told from a missing one."""

_JOB_ID = re.compile(r"[a-zA-Z0-9\-_]{1,200}")
_SESSION_ID = re.compile(r"[^\x00-\x20\x7f/][^\x00-\x1f\x7f/]{1,198}[^\x00-\x20\x7f/]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PRINTABLE = re.compile(r"[^\s\x00-\x1f\x7f]+")
_ADDRESS = "Give the full http or https address without a password, with a port of 80, 443 or above 1023."
_AT = re.compile(r" - at `\$\.?([^`]*)`$")
_MOST_SECONDS = 7 * 24 * 3600
_MOST_ATTEMPTS = 100
_MOST_ITEMS = 100_000
_LONGEST_SCHEDULE = 2**16

Number = int | float
T = TypeVar("T")


class Model(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A value of the wire; what is None is left out when it leaves."""


class Retry(Model, frozen=True):
    maximum_attempts: Number | None = None


class JobPayload(Model, frozen=True):
    api_name: str
    parameters: Raw
    request_timeout: Number | None = None
    retry: Retry | None = None


class JobConfiguration(Model, frozen=True):
    """*proxy* and *max_runs* are those of the newer Python client."""

    retry: Retry | None = None
    max_concurrent_requests: Number | None = None
    request_timeout: Number | None = None
    max_runs: Number | None = None
    proxy: str | None = None


class Interval(Model, frozen=True):
    every: Number | str


class Calendar(Model, frozen=True):
    """Each field but the comment is a single element, a range, a list of both, or `*`; `core.calendar_words` reads them."""

    second: Any = None
    minute: Any = None
    hour: Any = None
    day_of_month: Any = None
    month: Any = None
    day_of_week: Any = None
    year: Any = None
    comment: str | None = None


class JobSchedule(Model, frozen=True):
    """*timezone* is ours: whose clock the calendars go by; without it UTC."""

    intervals: list[Interval] | None = None
    calendars: list[Calendar] | None = None
    jitter: Number | str | None = None
    timezone: str | None = None


class WebhookSink(Model, frozen=True, tag_field="type", tag="webhook"):
    url: str
    headers: dict[str, str] | None = None
    skip_on_fail: bool | None = None
    apis_to_send: list[str] | None = None


class S3Sink(Model, frozen=True, tag_field="type", tag="s3"):
    bucket: str
    access_key_id: str
    secret_access_key: str
    region: str
    prefix: str | None = None
    skip_on_fail: bool | None = None
    apis_to_send: list[str] | None = None
    endpoint: str | None = None
    force_path_style: bool | None = None


Sink = WebhookSink | S3Sink


class JobAuthSession(Model, frozen=True):
    id: str
    check_attempts: Number | None = None
    create_attempts: Number | None = None
    save_trace: bool | None = None


class Notification(Model, frozen=True):
    type: Literal["webhook"]
    url: str
    headers: dict[str, str] | None = None


class JobBody(Model, frozen=True, rename=None):
    """
    The body of Create Job and, without its id, of Update Job.

    *seed_session* is `auth_session` as the 2024 page writes it.
    """

    payload: list[JobPayload]
    configuration: JobConfiguration
    id: str | None = None
    schedule: JobSchedule | None = None
    sink: Sink | None = None
    proxy: str | None = None
    auth_session: JobAuthSession | None = None
    seed_session: JobAuthSession | None = field(default=None, name="authSession")
    notifications: list[Notification] | None = None

    @property
    def session(self) -> JobAuthSession | None:
        return self.auth_session or self.seed_session


class Tries(Protocol):
    """How often a session is tried, and through which proxy."""

    @property
    def check_attempts(self) -> Number | None: ...

    @property
    def create_attempts(self) -> Number | None: ...

    @property
    def proxy(self) -> str | None: ...


class RunAuthSession(Model, frozen=True):
    """What a run says of its session: the `id` of one that is kept, or what one is made with for it."""

    id: str | None = None
    runtime_input: Raw = Raw(b"null")  # a union of it and null cannot be decoded
    auto_recreate: bool | None = None
    check_attempts: Number | None = None
    create_attempts: Number | None = None
    proxy: str | None = None
    request_timeout: Number | None = None
    save_trace: bool | None = None

    @property
    def brought(self) -> bytes | None:
        """
        What the session is made with; None where it is one that is kept.
        """
        found = bytes(self.runtime_input).strip()
        return found if found != b"null" else None


class RunBody(Model, frozen=True):
    """The body of the Run API's start."""

    api: str
    parameters: Raw
    proxy: str | None = None
    save_trace: bool | None = None
    request_timeout: Number | None = None
    retry: Retry | None = None
    auth_session: RunAuthSession | None = None
    sink: Sink | None = None


def is_job_id(name: str) -> bool:
    return bool(_JOB_ID.fullmatch(name))


def decode_job(body: bytes, *, with_id: bool) -> JobBody:
    """
    Read the body of Create Job or Update Job.

    Raises:
        InvalidError: it is not as it should be; the reason names the field.
    """
    job = decode(body, JobBody)
    if with_id and (job.id is None or not _JOB_ID.fullmatch(job.id)):
        raise wrong("id", "is not a slug", "Use letters, digits, - and _ alone.")
    if not 0 < len(job.payload) <= _MOST_ITEMS:
        raise wrong("payload", f"has {len(job.payload)} items", f"Give from 1 to {_MOST_ITEMS}.")
    for number, item in enumerate(job.payload):
        at = f"payload[{number}]"
        _check_api(item.api_name, f"{at}.apiName")
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
        _check_receiver(each.url, each.headers, f"notifications[{number}]")
    check_proxy(job.proxy, "proxy")
    if job.session is not None:
        check_session_id(job.session.id, "auth_session.id")
        whole(job.session.check_attempts, "auth_session.checkAttempts", most=_MOST_ATTEMPTS)
        whole(job.session.create_attempts, "auth_session.createAttempts", most=_MOST_ATTEMPTS)
    _refuse_nul(msgspec.structs.replace(job, payload=[]))
    return msgspec.structs.replace(
        job,
        payload=[_counted(item) for item in job.payload],
        configuration=_counted(job.configuration),
        auth_session=_counted(job.auth_session),
        seed_session=_counted(job.seed_session),
    )


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


def decode_run(body: bytes) -> RunBody:
    """
    Read the body of the Run API's start.

    Raises:
        InvalidError: it is not as it should be; the reason names the field.
    """
    run = decode(body, RunBody)
    _check_api(run.api, "api")
    check_parameters(run.parameters, "parameters")
    seconds(run.request_timeout, "requestTimeout")
    attempts(run.retry, "retry.maximumAttempts")
    check_sink(run.sink)
    check_proxy(run.proxy, "proxy")
    if run.auth_session is not None:
        _check_run_session(run.auth_session)
    _refuse_nul(msgspec.structs.replace(run, parameters=Raw(b"{}"), auth_session=None))
    return run


def check_session_id(name: str, field: str) -> None:
    """
    Refuse an id that a path cannot hold.
    """
    if not _SESSION_ID.fullmatch(name):
        raise wrong(field, "is not the id of a session", "Use 3 to 200 printable characters without slashes.")


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


def check_tries(asked: Tries, at: str = "") -> None:
    """
    Check what is said of how often a session is tried, and through which proxy.
    """
    whole(asked.check_attempts, f"{at}checkAttempts", most=_MOST_ATTEMPTS)
    whole(asked.create_attempts, f"{at}createAttempts", most=_MOST_ATTEMPTS)
    check_proxy(asked.proxy, f"{at}proxy")


def whole(value: Number | None, field: str, *, most: int, least: int = 1) -> int | None:
    """
    Check a whole number, which may be written as a float.

    Raises:
        InvalidError: it is not whole, or out of bounds.
    """
    if value is None:
        return None
    if value != int(value) or not least <= value <= most:
        raise wrong(field, f"is {value:g}", f"Give a whole number from {least} to {most}.")
    return int(value)


def seconds(value: Number | None, field: str = "requestTimeout") -> int | None:
    """
    Check a timeout.
    """
    return whole(value, field, most=_MOST_SECONDS)


def attempts(retry: Retry | None, field: str = "retry.maximumAttempts") -> int | None:
    """
    Check a number of tries, the first one included.
    """
    return whole(retry.maximum_attempts, field, most=_MOST_ATTEMPTS) if retry else None


def check_parameters(raw: Raw, field: str) -> bytes:
    """
    Give the bytes of a JSON object.
    """
    text = bytes(raw).strip()
    if not text.startswith(b"{"):
        raise wrong(field, "is not an object", "Give a JSON object; {} is one.")
    return text


def check_proxy(url: str | None, field: str) -> None:
    if url is None:
        return
    if url.startswith("intuned:"):
        raise wrong(field, "names the vendor's own proxies", "Give the URL of a proxy of your own.")
    if not re.fullmatch(r"(?:https?|socks5)://[^\s/]+/?", url):
        raise wrong(field, "is not the URL of a proxy", "Write it like http://user:password@host:port.")


def wrong(field: str, what: str, instruction: str) -> InvalidError:
    """
    Say that a field of the body is not as it should be.
    """
    return InvalidError(f"The field `{field}` {what}.", instruction, field=field)


def _check_api(name: str, field: str) -> None:
    if not is_item_name(name) or any(part in ("", ".", "..") for part in name.split("/")):
        raise wrong(field, "is not the name of an API", "Give its path below `api/`, without extension.")


def _check_configuration(configuration: JobConfiguration) -> None:
    attempts(configuration.retry, "configuration.retry.maximumAttempts")
    whole(configuration.max_concurrent_requests, "configuration.maxConcurrentRequests", most=2**31 - 1)
    seconds(configuration.request_timeout, "configuration.requestTimeout")
    whole(configuration.max_runs, "configuration.maxRuns", most=2**31 - 1)
    check_proxy(configuration.proxy, "configuration.proxy")


def check_sink(sink: Sink | None, at: str = "sink") -> None:
    """
    Refuse a sink that nothing could ever be sent to.
    """
    match sink:
        case WebhookSink(url=url, headers=headers):
            _check_receiver(url, headers, at)
        case S3Sink(bucket=bucket, region=region, endpoint=endpoint):
            if not re.fullmatch(r"[A-Za-z0-9._\-]{1,255}", bucket):
                raise wrong(f"{at}.bucket", "is not the name of a bucket", "Use letters, digits, dots and dashes.")
            if not re.fullmatch(r"[A-Za-z0-9\-]{1,64}", region):
                raise wrong(f"{at}.region", "is not the name of a region", "Write it like us-west-2.")
            if endpoint is not None and not re.fullmatch(r"https?://[^\s/?#@]+/?", endpoint):
                raise wrong(f"{at}.endpoint", "is not the address of a server", "Write it like https://host:port.")


def _check_receiver(url: str, headers: dict[str, str] | None, at: str) -> None:
    try:
        checked_url(url, what=f"The field `{at}.url`")
    except InvalidError as error:
        raise InvalidError(error.reason, _ADDRESS, field=f"{at}.url") from None
    if not _PRINTABLE.fullmatch(url):
        raise wrong(f"{at}.url", "has a space or a control character", _ADDRESS)
    for name, value in (headers or {}).items():
        if not _HEADER_NAME.fullmatch(name) or _CONTROL.search(value):
            raise wrong(f"{at}.headers", "has a header that cannot be sent", "Use printable text without line breaks.")


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
