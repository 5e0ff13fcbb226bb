"""
Signatures of webhooks, checked by what receivers use.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from datetime import UTC, datetime
from uuid import UUID

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from headrace.core.errors import InvalidError
from headrace.deliveries.signing import hub_signature, signed_headers, signing_key

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
BODY = '{"job_id":"kV9b","tenant":"Müller"}'.encode()
STANDARD = "whsec_" + b64encode(b"0123456789abcdef0123456789abcdef").decode()


@pytest.mark.parametrize("secret", [STANDARD, STANDARD.rstrip("=")])
def test_a_standard_secret_verifies_with_the_standard_library(secret: str) -> None:
    """
    Receivers verify with the Standard Webhooks library and the secret as it is written.
    """
    headers = signed_headers(ID, BODY, secrets=secret, sent_at=datetime.now(UTC))

    assert Webhook(secret).verify(BODY, headers) == {"job_id": "kV9b", "tenant": "Müller"}


def test_any_other_secret_stands_for_its_bytes() -> None:
    """
    A secret without the prefix is used as it is, as a receiver would pass it as bytes.
    """
    headers = signed_headers(ID, BODY, secrets="correct horse", sent_at=datetime.now(UTC))

    assert Webhook(b"correct horse").verify(BODY, headers)


def test_old_and_new_secret_both_verify_while_they_are_exchanged() -> None:
    """
    Several secrets, one a line, sign side by side; the first one also signs hotglue's way.
    """
    headers = signed_headers(ID, BODY, secrets=f"{STANDARD}\nold one\n", sent_at=datetime.now(UTC))

    assert Webhook(STANDARD).verify(BODY, headers)
    assert Webhook(b"old one").verify(BODY, headers)
    assert headers["X-Hub-Signature"] == hub_signature(BODY, STANDARD)
    with pytest.raises(WebhookVerificationError):
        Webhook(b"another").verify(BODY, headers)


def test_hotglues_signature_is_the_bare_hex_of_sha1() -> None:
    """
    X-Hub-Signature has no prefix and covers the raw body alone.
    """
    headers = signed_headers(ID, BODY, secrets="s3cret", sent_at=datetime.now(UTC))

    assert headers["X-Hub-Signature"] == hmac.new(b"s3cret", BODY, hashlib.sha1).hexdigest()


def test_without_a_secret_nothing_is_signed() -> None:
    """
    Id and time are sent all the same, so that a receiver can recognise repeats.
    """
    headers = signed_headers(ID, BODY, secrets=" \n", sent_at=datetime.fromtimestamp(1_700_000_000.9, UTC))

    assert headers == {"webhook-id": str(ID), "webhook-timestamp": "1700000000"}


@pytest.mark.parametrize("secret", ["whsec_", "whsec_===", "whsec_hunter 2!", "whsec_hunt2"])
def test_a_broken_standard_secret_is_named(secret: str) -> None:
    """
    The error says what is wrong without the secret.
    """
    with pytest.raises(InvalidError) as caught:
        signing_key(secret)

    assert "hunt" not in str(caught.value)
