"""
What single values of Intuned's calls may be. Every check raises `InvalidError`, whose reason names the field.
"""

from __future__ import annotations

import re

from msgspec import Raw

from headrace.core.errors import InvalidError
from headrace.core.fan_out import is_item_name
from headrace.deliveries.addresses import checked_url
from headrace.dialects.intuned.wire import LoginTries, Number, Retry, S3Sink, Sink, Tries, WebhookSink

MOST_ATTEMPTS = 100
MOST_LOGIN_TRIES = (
    10  # of ours: sites lock accounts whose login is tried again and again, and each try may take minutes
)

_JOB_ID = re.compile(r"[a-zA-Z0-9\-_]{1,200}")
_SESSION_ID = re.compile(r"[^\x00-\x20\x7f/][^\x00-\x1f\x7f/]{1,198}[^\x00-\x20\x7f/]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PRINTABLE = re.compile(r"[^\s\x00-\x1f\x7f]+")
_ADDRESS = "Give the full http or https address without a password, with a port of 80, 443 or above 1023."
_MOST_SECONDS = 7 * 24 * 3600


def is_job_id(name: str) -> bool:
    return bool(_JOB_ID.fullmatch(name))


def check_session_id(name: str, field: str) -> None:
    """
    Refuse an id that a path cannot hold.
    """
    if not _SESSION_ID.fullmatch(name):
        raise wrong(field, "is not the id of a session", "Use 3 to 200 printable characters without slashes.")


def check_tries(asked: Tries, at: str = "") -> None:
    """
    Check what is said of how often a session is tried, and through which proxy.
    """
    check_login_tries(asked, at)
    check_proxy(asked.proxy, f"{at}proxy")


def check_login_tries(asked: LoginTries, at: str = "") -> None:
    """
    Check how often a session is checked and made.
    """
    whole(asked.check_attempts, f"{at}checkAttempts", most=MOST_LOGIN_TRIES)
    whole(asked.create_attempts, f"{at}createAttempts", most=MOST_LOGIN_TRIES)


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
    return whole(retry.maximum_attempts, field, most=MOST_ATTEMPTS) if retry else None


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


def check_sink(sink: Sink | None, at: str = "sink") -> None:
    """
    Refuse a sink that nothing could ever be sent to.
    """
    match sink:
        case WebhookSink(url=url, headers=headers):
            check_receiver(url, headers, at)
        case S3Sink(bucket=bucket, region=region, endpoint=endpoint):
            if not re.fullmatch(r"[A-Za-z0-9._\-]{1,255}", bucket):
                raise wrong(f"{at}.bucket", "is not the name of a bucket", "Use letters, digits, dots and dashes.")
            if not re.fullmatch(r"[A-Za-z0-9\-]{1,64}", region):
                raise wrong(f"{at}.region", "is not the name of a region", "Write it like us-west-2.")
            if endpoint is not None and not re.fullmatch(r"https?://[^\s/?#@]+/?", endpoint):
                raise wrong(f"{at}.endpoint", "is not the address of a server", "Write it like https://host:port.")


def check_receiver(url: str, headers: dict[str, str] | None, at: str) -> None:
    try:
        checked_url(url, what=f"The field `{at}.url`")
    except InvalidError as error:
        raise InvalidError(error.reason, _ADDRESS, field=f"{at}.url") from None
    if not _PRINTABLE.fullmatch(url):
        raise wrong(f"{at}.url", "has a space or a control character", _ADDRESS)
    for name, value in (headers or {}).items():
        if not _HEADER_NAME.fullmatch(name) or _CONTROL.search(value):
            raise wrong(f"{at}.headers", "has a header that cannot be sent", "Use printable text without line breaks.")


def check_api(name: str, field: str) -> None:
    if not is_item_name(name) or any(part in ("", ".", "..") for part in name.split("/")):
        raise wrong(field, "is not the name of an API", "Give its path below `api/`, without extension.")


def wrong(field: str, what: str, instruction: str) -> InvalidError:
    """
    Say that a field of the body is not as it should be.
    """
    return InvalidError(f"The field `{field}` {what}.", instruction, field=field)
