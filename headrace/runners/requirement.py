"""
What can be read off a requirement line without asking the installer.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_EGG = re.compile(r"[#&]egg=([A-Za-z0-9._-]+)")
_URL = re.compile(r"(?:git\+|hg\+|svn\+|bzr\+)?[a-z]+://")


def name_of_requirement(line: str) -> str:
    """
    The package that a requirement line asks for, as it is written there; empty when the line does not tell.

    `tap-x==1.2`, `tap-x[s3] @ git+https://...` and `git+https://host/team/tap-x.git@main` all name `tap-x`.
    """
    line = line.split(" #")[0].strip()
    if egg := _EGG.search(line):
        return egg[1]
    if _URL.match(line):
        return _name_of_url(line)
    if line.startswith((".", "/")):
        return line.rstrip("/").rsplit("/", 1)[-1]
    found = _NAME.match(line)
    return found[0] if found else ""


def _name_of_url(url: str) -> str:
    last = unquote(urlsplit(url).path).rstrip("/").rsplit("/", 1)[-1]
    last = last.split("@")[0].removesuffix(".git")
    if last.endswith((".whl", ".tar.gz", ".zip")):
        return last.split("-")[0].replace("_", "-")
    return last
