"""
Redaction: no form of a secret survives, and nothing else is blackened.
"""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.runners.redaction import MASK, Redactor, secrets_of

SECRET = 'p@ss/w"rd+ünï\\x'


@pytest.mark.parametrize(
    "shown",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        quote_plus(SECRET),
        json.dumps({"a": SECRET}),
        json.dumps({"a": SECRET}, ensure_ascii=False),
        repr({"a": SECRET}),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"user:{SECRET}".encode()).decode(),
        base64.b64encode(f"a user:{SECRET} more".encode()).decode(),
        base64.b64encode(f"some user:{SECRET}, and".encode()).decode(),
    ],
)
def test_every_form_of_a_secret_is_hidden(shown):
    """
    URL-encoded, JSON-escaped, as a Python literal, in base64 at any place.
    """
    text = Redactor([SECRET]).redact(f"before {shown} after")

    assert MASK in text
    assert text.startswith("before ")
    assert text.endswith(" after")
    for form in (SECRET, quote(SECRET), quote(SECRET, safe=""), json.dumps(SECRET)[1:-1]):
        assert form not in text


def test_a_text_without_secrets_is_untouched():
    """
    No secrets, too short ones and common words change nothing.
    """
    text = "true null abc password default"

    assert Redactor([]).redact(text) == text
    assert Redactor(["abc", "", "true", "NULL", "default"]).redact(text) == text


def test_a_longer_secret_goes_first():
    """
    A secret that begins like another leaves none of the longer one behind.
    """
    assert Redactor(["token", "token-2026-xyz"]).redact("use token-2026-xyz or token") == "use *** or ***"


def test_a_secret_of_several_lines_is_hidden_line_by_line():
    """
    A private key printed as it is comes in lines, and each is a secret.
    """
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----"
    redactor = Redactor([key])

    assert redactor.redact("x MIIEvQIBADANBgkq y") == "x *** y"
    assert redactor.redact("hkiG9w0BAQEFAASC") == "***"
    assert redactor.redact(json.dumps(key)) == '"***"'


@given(st.text(min_size=4), st.text(), st.text())
def test_no_secret_survives(secret, before, after):
    """
    Whatever the secret and its surroundings, the text that comes out does not hold it.
    """
    mask_makes_it = (
        secret in MASK
        or any(part in secret for part in MASK)
        or secret.lower() in "true false null none default undefined"
    )

    assert mask_makes_it or secret not in Redactor([secret]).redact(before + secret + after)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "password",
            "db_password",
            "client_secret",
            "refresh_token",
            "accessToken",
            "api_key",
            "apiKey",
            "private_key",
            "key",
        ),
        *(
            "credentials",
            "aws_secret_access_key",
            "passphrase",
            "Authorization",
            "connection_string",
            "subscription_key",
            "pwd",
        ),
    ],
)
def test_secrets_are_known_by_their_names(name):
    """
    A key that speaks of a secret makes its value one, in any style of writing.
    """
    assert secrets_of({"deep": [{name: "the value"}]}) == {"the value"}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "start_date",
            "primary_key",
            "replication_key",
            "key_properties",
            "token_url",
            "auth_type",
            "token_type",
            "expires_in",
        ),
        *("user_agent", "account", "keyword", "schema", "authorization_endpoint"),
    ],
)
def test_harmless_names_hide_nothing(name):
    """
    What only sounds like a secret stays readable.
    """
    assert secrets_of({name: "the value"}) == set()


def test_what_stands_below_a_secret_name_is_secret():
    """
    Everything below `credentials` counts, except what is known to be harmless; numbers only if they are long.
    """
    config = {
        "credentials": {
            "type": "oauth",
            "username": "bob",
            "refresh": "r-123",
            "pin": 12345678,
            "max": 10,
            "on": True,
            "many": ["m-1"],
        }
    }

    assert secrets_of(config) == {"r-123", "12345678", "m-1"}


def test_names_from_a_settings_schema_count():
    """
    A connector can say which of its settings are secrets.
    """
    assert secrets_of({"store_code": "s-1", "other": "o"}, ["store_code"]) == {"s-1"}


def test_a_password_inside_a_url_is_secret():
    """
    Only the password of an address is taken, whatever its key is called.
    """
    assert secrets_of({"database_url": "postgresql://bob:pa55word@db/x", "site": "https://example.com:80/"}) == {
        "pa55word"
    }


def test_a_secret_file_in_a_string_counts_as_what_it_holds():
    """
    A service account given as JSON text hides the text and the private key in it.
    """
    account = json.dumps({"type": "service_account", "private_key": "PRIVATE-1"})

    assert secrets_of({"service_account": account}) == {account, "PRIVATE-1"}
    assert secrets_of({"options": account}) == {"PRIVATE-1"}
