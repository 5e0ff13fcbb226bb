"""
What of a definition must not be shown: kept apart when it comes in, masked where it goes out.

The clients require the keys of an S3 sink as strings in answers, so a mask stands in their place. Whoever sends a definition back as it
was shown changes no secret: a mask means the value that is kept.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from headrace.core.errors import InvalidError
from headrace.dialects.intuned.wire import JobBody, Notification, S3Sink, Sink, WebhookSink

MASK: Final = "********"
_PASSWORD = re.compile(r"(?<=://)([^:/\s]*):([^/\s]*)(?=@)")  # up to the last @: a password may hold one


def secrets_of(body: JobBody) -> dict[str, Any]:
    """
    Collect the parts of a definition that are sealed, as plain JSON values.

    Raises:
        InvalidError: one of them is the mask that is shown in its place, and stands for nothing that is kept.
    """
    _refuse_masks(body)
    found = {
        "sink": msgspec.to_builtins(body.sink),
        "proxy": body.proxy,
        "configuration_proxy": body.configuration.proxy,
        "notifications": msgspec.to_builtins(body.notifications),
    }
    return {name: value for name, value in found.items() if value is not None}


def _refuse_masks(body: JobBody) -> None:
    values: dict[str, str] = {"proxy": body.proxy or "", "configuration.proxy": body.configuration.proxy or ""}
    match body.sink:
        case WebhookSink(headers=headers) if headers:
            values |= {f"sink.headers.{name}": value for name, value in headers.items()}
        case S3Sink(access_key_id=key, secret_access_key=secret):
            values |= {"sink.accessKeyId": key, "sink.secretAccessKey": secret}
    for number, each in enumerate(body.notifications or ()):
        values |= {f"notifications[{number}].headers.{name}": value for name, value in (each.headers or {}).items()}
    for field, value in values.items():
        if value == MASK or f":{MASK}@" in value:
            raise InvalidError(
                f"The field `{field}` has the mask that is shown in the place of a secret.",
                "Give the secret itself: one that is kept is for the same address alone.",
                field=field,
            )


def masked(body: JobBody) -> JobBody:
    """
    Give a definition that may be shown.
    """
    return msgspec.structs.replace(
        body,
        id=None,
        sink=masked_sink(body.sink),
        sent_proxy=masked_url(body.proxy),
        configuration=msgspec.structs.replace(body.configuration, proxy=masked_url(body.configuration.proxy)),
        notifications=[_masked_notification(each) for each in body.notifications] if body.notifications else None,
    )


def masked_sink(sink: Sink | None) -> Sink | None:
    match sink:
        case WebhookSink(headers=headers) if headers:
            return msgspec.structs.replace(sink, headers=dict.fromkeys(headers, MASK))
        case S3Sink():
            return msgspec.structs.replace(sink, access_key_id=MASK, secret_access_key=MASK)
    return sink


def masked_url(url: str | None) -> str | None:
    """
    Give a URL without its password.
    """
    return _PASSWORD.sub(rf"\1:{MASK}", url) if url is not None else None


def unmasked(body: JobBody, kept: dict[str, Any]) -> JobBody:
    """
    Put the secrets that are kept in the places where *body* has a mask.
    """
    configuration = msgspec.structs.replace(
        body.configuration, proxy=_unmasked_url(body.configuration.proxy, kept.get("configuration_proxy"))
    )
    before = kept.get("notifications") or []
    notifications = [
        msgspec.structs.replace(each, headers=_unmasked_headers(each.headers, _headers_of(before, each.url)))
        for each in body.notifications or ()
    ]
    return msgspec.structs.replace(
        body,
        sink=_unmasked_sink(body.sink, kept.get("sink") or {}),
        sent_proxy=_unmasked_url(body.proxy, kept.get("proxy")),
        configuration=configuration,
        notifications=notifications or None,
    )


def opened(shown: JobBody, kept: dict[str, Any]) -> JobBody:
    """
    Give a stored definition whole, secrets included.
    """
    return msgspec.structs.replace(
        shown,
        sink=msgspec.convert(kept["sink"], Sink) if "sink" in kept else None,
        sent_proxy=kept.get("proxy"),
        configuration=msgspec.structs.replace(shown.configuration, proxy=kept.get("configuration_proxy")),
        notifications=msgspec.convert(kept.get("notifications"), list[Notification] | None),
    )


def _masked_notification(each: Notification) -> Notification:
    return msgspec.structs.replace(each, headers=dict.fromkeys(each.headers, MASK) if each.headers else None)


def _unmasked_sink(sink: Sink | None, before: dict[str, Any]) -> Sink | None:
    # A mask stands for the secret of the same place alone: sent elsewhere, it would tell that secret to whoever asked for it.
    match sink:
        case WebhookSink(url=url, headers=headers) if before.get("url") == url:
            return msgspec.structs.replace(sink, headers=_unmasked_headers(headers, before.get("headers")))
        case S3Sink(endpoint=endpoint) if before.get("type") == "s3" and before.get("endpoint") == endpoint:
            return msgspec.structs.replace(
                sink,
                access_key_id=_unmasked(sink.access_key_id, before.get("accessKeyId")),
                secret_access_key=_unmasked(sink.secret_access_key, before.get("secretAccessKey")),
            )
    return sink


def _unmasked_headers(headers: dict[str, str] | None, before: dict[str, str] | None) -> dict[str, str] | None:
    if headers is None:
        return None
    return {name: _unmasked(value, (before or {}).get(name)) for name, value in headers.items()}


def _headers_of(notifications: list[dict[str, Any]], url: str) -> dict[str, str] | None:
    return next((each.get("headers") for each in notifications if each["url"] == url), None)


def _unmasked(value: str, before: str | None) -> str:
    return before if value == MASK and before is not None else value


def _unmasked_url(url: str | None, before: str | None) -> str | None:
    return before if before is not None and url == masked_url(before) else url
