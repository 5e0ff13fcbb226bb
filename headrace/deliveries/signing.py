"""
Signatures by which a receiver knows that a webhook is ours and whole.

Two kinds go with every payload of an endpoint that has a secret: those of the Standard Webhooks specification, which cover id,
time and body, and the `X-Hub-Signature` of hotglue, which covers the body alone.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode
from datetime import datetime
from uuid import UUID

from standardwebhooks import Webhook

from headrace.core.errors import InvalidError

_STANDARD_PREFIX = "whsec_"


def signed_headers(delivery_id: UUID, body: bytes, *, secrets: str, sent_at: datetime) -> dict[str, str]:
    """
    Give the headers that identify one try of a delivery and prove where it comes from.

    Args:
        delivery_id: the same over all tries, so that a receiver recognises a repeat.
        body: UTF-8 text, byte for byte as it is sent.
        secrets: one secret a line, the one in use first, several while they are exchanged; empty signs nothing.
        sent_at: the time of this try.

    Raises:
        InvalidError: a secret begins with `whsec_` and goes on with what is not base64.
    """
    headers = {"webhook-id": str(delivery_id), "webhook-timestamp": str(int(sent_at.timestamp()))}
    lines = [line.strip() for line in secrets.splitlines() if line.strip()]
    if lines:
        text = body.decode()
        signatures = [Webhook(signing_key(line)).sign(str(delivery_id), sent_at, text) for line in lines]
        headers["webhook-signature"] = " ".join(signatures)
        headers["X-Hub-Signature"] = hub_signature(body, lines[0])
    return headers


def signing_key(secret: str) -> bytes:
    """
    Turn a secret as people write it into the key of the Standard Webhooks signature.

    `whsec_` and base64 is what the specification writes, and means the bytes behind the base64. Any other text means its own UTF-8 bytes.

    Raises:
        InvalidError: `whsec_` is not followed by base64.
    """
    if not secret.startswith(_STANDARD_PREFIX):
        return secret.encode()
    encoded = secret.removeprefix(_STANDARD_PREFIX).rstrip("=")
    try:
        key = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise InvalidError(
            "The webhook's secret begins with whsec_ but does not go on with base64.",
            "Correct the secret in headrace.yml, or use one without that prefix.",
        )
    return key


def hub_signature(body: bytes, secret: str) -> str:
    """
    Sign as hotglue does: lowercase hex HMAC-SHA1 of the raw body, without a prefix (its documentation's sample compares the bare digest).
    """
    return hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()
