"""
Why a clone failed, out of what git and ssh said: both end with words that fit every cause.

The first line of the table whose pattern stands in what was said is the cause. Source: the messages of git 2.39 and OpenSSH 9.2, in the
locale C.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from headrace.core.outcome import Blame


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    A cause by what is said of it.
    """

    pattern: re.Pattern[str]
    sentence: str
    who: Blame
    instruction: str


_TABLE: Final = tuple(
    Refusal(re.compile(pattern), sentence, who, instruction)
    for pattern, sentence, who, instruction in (
        (
            r"Host key verification failed",
            "The ssh server shows another host key than when it was first met.",
            Blame.OPERATOR,
            "Ask its keepers whether the key was changed; if so, remove the server's line from `git_known_hosts` in the worker's home.",
        ),
        (
            r"Load key .*: (error in libcrypto|invalid format)",
            "ssh cannot read the workspace's `sshPrivateKey`.",
            Blame.DEVELOPER,
            "Send the whole file of a private key, with its first and last line.",
        ),
        (
            r"Permission denied \(",
            "The ssh server lets nobody in with the workspace's key, or without one.",
            Blame.DEVELOPER,
            "Set `sshPrivateKey` to a key without a passphrase, and add its public half to the repository's deploy keys.",
        ),
        (
            r"Authentication failed for|could not read (Username|Password)",
            "The server does not accept the credentials of the repository's address.",
            Blame.DEVELOPER,
            "Send `repositoryUrl` with a user and a password or token that may read the repository.",
        ),
        (
            r"Remote branch .* not found",
            "The repository has no such branch.",
            Blame.DEVELOPER,
            "Correct the workspace's `repositoryBranch`.",
        ),
        (
            r"does not (appear to be a git repository|exist)|[Rr]epository .*not found",
            "There is no such repository, or its server shows it to others only.",
            Blame.DEVELOPER,
            "Correct the workspace's `repositoryUrl`, or let its credentials read the repository.",
        ),
        (
            r"Could not resolve host",
            "The repository's server is not known by its name.",
            Blame.DEVELOPER,
            "Correct the workspace's `repositoryUrl`.",
        ),
        (
            r"Connection (refused|timed out|reset|closed)|Failed to connect|No route to host",
            "The repository's server does not answer.",
            Blame.OPERATOR,
            "Check that the worker's machine can reach it, and deploy again.",
        ),
    )
)


def refusal_in(lines: Iterable[str]) -> tuple[Refusal, str] | None:
    """
    Find why a clone failed, and the line that says it; None when nothing known was said.
    """
    said = list(lines)
    for refusal in _TABLE:
        for line in said:
            if refusal.pattern.search(line):
                return refusal, line
    return None
