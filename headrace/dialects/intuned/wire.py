"""
What Intuned's calls carry.

Source: the models of Intuned's published clients (TypeScript 0.5.2, December 2025; Python 1.1.1, 2026), seen live against a stand-in server,
and its page on the Job model. Unknown fields are ignored. A null means the same as a missing field, so every field that may be missing
has None here, and leaves again as a missing one: the TypeScript client refuses a null where its model has none. Whole numbers may
arrive as floats, which the Python client sends. `bodies.py` reads and checks them.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

from msgspec import Raw, Struct, field

DEFAULT_TIMEOUT_SECONDS = 600
"""What both clients always send, so that it cannot be told from a missing one."""

Number = int | float


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


class StoredProxy(Model, frozen=True):
    """A proxy as Get Jobs shows it."""

    url: str


class JobBody(Model, frozen=True, rename=None):
    """
    The body of Create Job and, without its id, of Update Job.

    *seed_session* is `auth_session` as the 2024 page writes it. *sent_proxy* is an object where somebody sends back what Get Jobs has shown.
    """

    payload: list[JobPayload]
    configuration: JobConfiguration
    id: str | None = None
    schedule: JobSchedule | None = None
    sink: Sink | None = None
    sent_proxy: str | StoredProxy | None = field(default=None, name="proxy")
    auth_session: JobAuthSession | None = None
    seed_session: JobAuthSession | None = field(default=None, name="authSession")
    notifications: list[Notification] | None = None

    @property
    def proxy(self) -> str | None:
        return self.sent_proxy.url if isinstance(self.sent_proxy, StoredProxy) else self.sent_proxy

    @property
    def session(self) -> JobAuthSession | None:
        return self.auth_session or self.seed_session


class LoginTries(Protocol):
    """How often a session is checked and made."""

    @property
    def check_attempts(self) -> Number | None: ...

    @property
    def create_attempts(self) -> Number | None: ...


class Tries(LoginTries, Protocol):
    """How often a session is tried, and through which proxy."""

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
