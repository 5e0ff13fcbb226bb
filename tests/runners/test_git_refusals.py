"""
Why a clone failed, out of what git and ssh said.
"""

from __future__ import annotations

import pytest

from headrace.core.outcome import Blame
from headrace.runners.git_refusals import refusal_in

LAST_WORDS = ("fatal: Could not read from remote repository.", "and the repository exists.")


@pytest.mark.parametrize(
    ("said", "sentence", "who"),
    [
        ("Host key verification failed.", "another host key", Blame.OPERATOR),
        ('Load key "/a/key": error in libcrypto', "cannot read", Blame.DEVELOPER),
        ("git@h: Permission denied (publickey,password).", "lets nobody in", Blame.DEVELOPER),
        ("fatal: Authentication failed for 'https://h/x/'", "does not accept the credentials", Blame.DEVELOPER),
        ("fatal: could not read Username for 'https://h': terminal prompts disabled", "credentials", Blame.DEVELOPER),
        ("fatal: Remote branch next not found in upstream origin", "no such branch", Blame.DEVELOPER),
        ("fatal: '/x.git' does not appear to be a git repository", "no such repository", Blame.DEVELOPER),
        ("fatal: repository 'https://h/x/' not found", "no such repository", Blame.DEVELOPER),
        ("ssh: Could not resolve hostname h: Name or service not known", "not known by its name", Blame.DEVELOPER),
        ("ssh: connect to host h port 22: Connection refused", "does not answer", Blame.OPERATOR),
    ],
)
def test_what_was_said_names_the_cause(said: str, sentence: str, who: Blame) -> None:
    """
    Whatever git adds to it, which it adds to everything.
    """
    found = refusal_in(["Cloning into 'clone'...", said, *LAST_WORDS])

    assert found is not None
    assert (sentence in found[0].sentence, found[0].who, found[1]) == (True, who, said)


def test_what_nobody_knows_is_left_as_it_was_said() -> None:
    assert refusal_in(["fatal: something new", *LAST_WORDS]) is None


def test_an_unreadable_key_is_the_cause_of_the_refusal_that_follows() -> None:
    """
    ssh goes on without the key, and the server's word comes last.
    """
    found = refusal_in(["h: Permission denied (publickey).", 'Load key "/a/key": invalid format'])

    assert found is not None
    assert "cannot read" in found[0].sentence
