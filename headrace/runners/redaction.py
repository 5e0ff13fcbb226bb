"""
Secrets out of text: nothing that a child prints is kept before it went through here.

Also covers the forms in which programs print what they were given: URL-encoded, JSON-escaped, as a Python literal, in base64 (also as a part
of a longer value, as in an HTTP Basic header). Whoever feeds pieces of a text must feed whole lines: a secret is found only whole.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

MASK = "***"
SHORTEST_SECRET = 4  # characters; a shorter one would blacken half of every text
SHORTEST_NUMBER = 6  # digits: `max_tokens: 4096` is no secret
SHORTEST_LINE = 8  # of a secret with several lines, each of this length counts for itself
SHORTEST_BASE64 = 8
COMMON_WORDS = frozenset({"true", "false", "null", "none", "default", "undefined"})

SECRET_NAME = re.compile(
    r"passw(or)?d|passphrase|pwd|secret|token|credential|private_?key|api_?key|access_?key|account_?key"
    r"|connection_?string|service_account|^auth$|authorization|cookie|key$",
    re.IGNORECASE,
)
HARMLESS_NAME = re.compile(
    r"(primary|replication|foreign|sort|partition|public|bookmark|natural|composite|cursor|idempotency|exclusivity)_?key"
    r"|(url|uri|endpoint|type|ttl|expiry|expires|expires_?(at|in)|expiration|scopes?|lifetime|method|region|enabled|style)$"
    r"|^(user(_?name)?|login|email|client_email|host(name)?|port|database|db_?name|schema|warehouse|role|project_id)$",
    re.IGNORECASE,
)


class Redactor:
    """
    Replaces every known secret by `***`.

    One substring search per form beats a compiled alternation at every number of secrets (measured: 7 times with 5, 5 times with 40), for
    text without a secret, the common case, costs no more than the search.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in forms_of(secret)}
        self._forms = sorted(
            forms, key=lambda form: (-len(form), form)
        )  # longest first: none leaves the rest of another

    @property
    def longest(self) -> int:
        """
        The length in characters of the longest form: a cut in the text can leave a piece of a secret one shorter than this.
        """
        return len(self._forms[0]) if self._forms else 0

    def redact(self, text: str) -> str:
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        return text


def forms_of(secret: str) -> Iterator[str]:
    """
    Yield the forms in which *secret* may be printed; none if it is too short or too common a word to hide.
    """
    parts = [secret]
    if "\n" in secret:  # printed as it is, it comes line by line
        parts += [
            line.strip() for line in secret.splitlines() if len(line.strip()) >= SHORTEST_LINE and "-----" not in line
        ]
    for part in parts:
        if len(part) >= SHORTEST_SECRET and part.lower() not in COMMON_WORDS:
            yield part
            yield from escaped_forms(part)
            yield from base64_forms(part.encode(errors="surrogateescape"))


def escaped_forms(secret: str) -> Iterator[str]:
    raw = secret.encode(errors="surrogateescape")
    encoded = quote(raw, safe="")
    yield from (encoded, re.sub(r"%..", lambda match: match[0].lower(), encoded), quote(raw), quote_plus(raw))
    escaped = json.dumps(secret)[1:-1]
    yield from (escaped, json.dumps(secret, ensure_ascii=False)[1:-1], escaped.replace("/", "\\/"), repr(secret)[1:-1])


def base64_forms(raw: bytes) -> Iterator[str]:
    """
    Yield the characters of base64 that *raw* alone decides, at each of the three places where it may stand in a longer value.
    """
    for before in range(3):
        text = base64.b64encode(b"\0" * before + raw).decode()
        first = (0, 2, 3)[before]
        beyond = (0, 3, 2)[(before + len(raw)) % 3]
        sure = text[first : len(text) - beyond]
        if len(sure) >= SHORTEST_BASE64:
            yield sure
            yield sure.replace("+", "-").replace("/", "_")


def secrets_of(config: Any, names: Iterable[str] = ()) -> set[str]:
    """
    Collect the secret values of a config: all below a key whose name says so or is one of *names*, and passwords inside URLs.

    A string that holds JSON (a service account's file, say) counts as what it holds, too.
    """
    return set(_secrets(config, frozenset(names), secret=False))


def _secrets(value: Any, names: frozenset[str], *, secret: bool) -> Iterator[str]:
    match value:
        case Mapping():
            for name, inner in value.items():
                yield from _secrets(inner, names, secret=_is_secret(str(name), names, inherited=secret))
        case list() | tuple():
            for inner in value:
                yield from _secrets(inner, names, secret=secret)
        case str():
            yield from _secrets_of_text(value, names, secret=secret)
        case int() if secret and len(str(value)) >= SHORTEST_NUMBER:
            yield str(value)


def _is_secret(name: str, names: frozenset[str], *, inherited: bool) -> bool:
    if name in names:
        return True
    return not HARMLESS_NAME.search(name) and (inherited or bool(SECRET_NAME.search(name)))


def _secrets_of_text(text: str, names: frozenset[str], *, secret: bool) -> Iterator[str]:
    if text.lstrip().startswith(("{", "[")):
        try:
            inner = json.loads(text)
        except (ValueError, RecursionError):
            inner = None
        if isinstance(inner, dict | list):
            yield from _secrets(inner, names, secret=secret)
    if secret:
        yield text
    if "://" in text:
        try:
            password = urlsplit(text).password
        except ValueError:
            password = None
        if password:
            yield password
