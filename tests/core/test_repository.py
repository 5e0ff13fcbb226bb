"""
Addresses of git repositories: what may be cloned, and what is shown of them.
"""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidError
from headrace.core.repository import address_of, check_directory

SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="*"), min_size=6, max_size=30)


@given(SECRET, SECRET)
def test_a_secret_is_read_out_of_an_address_and_never_shown(user: str, password: str) -> None:
    """
    Whatever characters it has: it comes back whole, and the address without it.
    """
    address = address_of(f"https://{quote(user, safe='')}:{quote(password, safe='')}@git.example.org:8443/a/b.git")

    assert (address.user, address.password) == (user, password)
    assert address.url == "https://git.example.org:8443/a/b.git"
    assert address.shown == f"https://{user}:***@git.example.org:8443/a/b.git"


def test_a_token_that_stands_alone_is_a_secret() -> None:
    """
    Hosts take a token as the user without a password.
    """
    assert address_of("https://gh0-t0ken@example.org/x").shown == "https://***@example.org/x"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("git@example.org:team/x.git", "git@example.org:team/x.git"),
        ("ssh://git@example.org:2222/team/x.git", "ssh://git@example.org:2222/team/x.git"),
        ("https://[::1]:8443/x.git", "https://[::1]:8443/x.git"),
    ],
)
def test_addresses_keep_what_git_needs(text: str, url: str) -> None:
    """
    The user of ssh is no secret, and git's short form is ssh.
    """
    assert address_of(text).url == url


@given(st.text(max_size=60))
def test_no_text_is_an_address_of_another_scheme_or_an_option(text: str) -> None:
    """
    Any text is refused, or begins with a scheme that may be cloned or with a host.
    """
    try:
        url = address_of(text).url
    except InvalidError:
        return

    assert not url.startswith("-")
    assert url.startswith(("https://", "ssh://")) or "://" not in url


@given(st.lists(st.sampled_from(["a", "..", ".", "", ".git", "b c"]), max_size=6).map("/".join))
def test_a_directory_stays_in_its_repository(text: str) -> None:
    """
    No path leads up or into git's own folder.
    """
    try:
        found = check_directory(text)
    except InvalidError:
        assert ".." in text or ".git" in text
        return

    assert not found.startswith("/")
    assert ".." not in found.split("/")
