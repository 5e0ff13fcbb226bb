"""
Addresses of git repositories, as people write them: what may be cloned, and which part of it is secret.

Source: "GIT URLS" of git-clone's manual. `host:path` is git's short form of `ssh://`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from headrace.core.errors import InvalidError

SCHEMES: Final = ("https", "ssh")
"""What may be cloned unless the server's settings say otherwise."""

MASK: Final = "***"

_SHORT = re.compile(r"(?:[A-Za-z0-9._][A-Za-z0-9._-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?!/)[^\s:]+")
_BRANCH = re.compile(r"(?![-/.])[A-Za-z0-9._/+@=-]{1,250}(?<![/.])")
_LONGEST = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class GitAddress:
    """
    An address in parts.

    Attributes:
        url: without what is secret in it; the user of ssh stays.
        user: of a basic authentication; may be the token itself.
        password: empty for none.
    """

    url: str
    scheme: str
    user: str = ""
    password: str = ""

    @property
    def shown(self) -> str:
        """
        The address with its secret masked.
        """
        if not self.user and not self.password:
            return self.url
        scheme, rest = self.url.split("://", 1)
        user = f"{self.user}:{MASK}" if self.password else MASK
        return f"{scheme}://{user}@{rest}"


def address_of(text: str, schemes: Collection[str] = SCHEMES) -> GitAddress:
    """
    Read the address of a repository.

    Raises:
        InvalidError: it is none, or of a scheme that may not be cloned. The reason repeats nothing that may be secret.
    """
    if len(text) > _LONGEST or any(not char.isprintable() or char.isspace() for char in text) or "\\" in text:
        raise _wrong("it has white space or is too long", schemes)
    if _SHORT.fullmatch(text):
        return _allowed(GitAddress(url=text, scheme="ssh"), schemes)
    try:
        parts = urlsplit(text)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise _wrong("it is no URL", schemes) from error
    host = parts.hostname or ""
    if parts.query or parts.fragment or host.startswith("-") or (not host and parts.scheme != "file"):
        raise _wrong("it is no URL of a repository", schemes)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    kept = f"{parts.username}@" if parts.scheme == "ssh" and parts.username else ""
    netloc = f"{kept}{f'[{host}]' if ':' in host else host}{port}"
    url = urlunsplit((parts.scheme, netloc, parts.path, "", ""))
    if parts.scheme == "ssh":
        return _allowed(GitAddress(url=url, scheme="ssh"), schemes)
    return _allowed(GitAddress(url=url, scheme=parts.scheme, user=user, password=password), schemes)


def check_branch(text: str) -> str:
    """
    Raises:
        InvalidError: it cannot be the name of a branch.
    """
    if text and (not _BRANCH.fullmatch(text) or ".." in text or "//" in text or "@{" in text):
        raise InvalidError("The name of the branch is not one that git takes.", "Write it like main or release/1.x.")
    return text


def check_directory(text: str) -> str:
    """
    Give a folder inside a repository in its plain form; empty for the repository itself.

    Raises:
        InvalidError: it leads out of the repository.
    """
    path = PurePosixPath(text.strip().lstrip("/")) if "\0" not in text else PurePosixPath("..")
    if ".." in path.parts or ".git" in path.parts:
        raise InvalidError(
            "The directory leads out of the repository.", "Write a path below its top, like data/meltano."
        )
    return "" if path == PurePosixPath() else path.as_posix()


def _allowed(address: GitAddress, schemes: Collection[str]) -> GitAddress:
    if address.scheme not in schemes:
        raise _wrong(f"{address.scheme or 'a plain path'} may not be cloned here", schemes)
    return address


def _wrong(why: str, schemes: Collection[str]) -> InvalidError:
    return InvalidError(
        f"The address of the repository is not one to clone: {why}.",
        f"Write a URL of {', '.join(schemes)}; the setting `git_schemes` names what may be cloned.",
        field="repositoryUrl",
    )
