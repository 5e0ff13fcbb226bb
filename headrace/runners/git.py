"""
Cloning a repository that somebody else has written, with git as a child that asks nobody and runs nothing of it.

    no prompt       credentials come out of the environment, by a program that only prints them; ssh is in batch mode
    no foreign code hooks and templates are off, submodules are not fetched, git's own settings of the machine are not read
    nobody's keys   those of the workspace alone, never what the worker's user has in its home
    no other way    only the schemes that the server's settings name, also where a server redirects to another
    not for ever    the step's limits hold, as for every child

Source: the manuals git-clone(1), git-config(1), gitcredentials(7) and git(1) on its environment.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headrace.core.errors import SpawnError
from headrace.core.repository import SCHEMES

_ASK = """#!/bin/sh
case "$1" in
  Username*) printf '%s\\n' "$HEADRACE_GIT_USER" ;;
  *) printf '%s\\n' "$HEADRACE_GIT_PASSWORD" ;;
esac
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class GitRules:
    """
    Attributes:
        schemes: what may be cloned.
        known_hosts: file of the host keys of ssh servers; a server met for the first time is added. None knows none.
    """

    schemes: tuple[str, ...] = SCHEMES
    known_hosts: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """
    What opens a repository; all empty for a public one.
    """

    user: str = ""
    password: str = ""
    ssh_key: str = ""


def require_git() -> None:
    """
    Raises:
        SpawnError: there is no git on this machine.
    """
    if shutil.which("git") is None:
        raise SpawnError(
            "There is no git on this machine to clone the repository with.",
            "Install git where `headrace worker` or `headrace up` runs.",
        )


def clone_command(url: str, branch: str, folder: Path) -> list[str]:
    """
    Give the argument list that clones the newest commit of one branch, the repository's own one when *branch* is empty.
    """
    wanted = [f"--branch={branch}"] if branch else []
    harmless = ["-c", "core.hooksPath=/dev/null", "-c", "core.symlinks=true", "-c", "credential.helper="]
    how = ["--template=", "--depth=1", "--single-branch", "--no-tags", "--no-recurse-submodules", "--no-progress"]
    return ["git", *harmless, "clone", *how, *wanted, "--", url, str(folder)]


def clone_environment(rules: GitRules, credentials: Credentials, private: Path) -> dict[str, str]:
    """
    Give the variables of the clone; *private* is a folder of the job for what only the clone may read, gone with it.
    """
    private.mkdir(parents=True, exist_ok=True, mode=0o700)
    ask = _written(private / "ask", _ASK, 0o700)
    return {
        "GIT_ALLOW_PROTOCOL": ":".join(rules.schemes),
        "GIT_ASKPASS": str(ask),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_SSH_COMMAND": _ssh(rules, credentials, private),
        "GIT_TERMINAL_PROMPT": "0",
        "HEADRACE_GIT_PASSWORD": credentials.password,
        "HEADRACE_GIT_USER": credentials.user,
        "LC_ALL": "C",
    }


def _ssh(rules: GitRules, credentials: Credentials, private: Path) -> str:
    """
    Give the command by which git starts ssh. Keys of the worker's own user and its agent open nothing: they are not the workspace's.
    """
    key = "none"
    if credentials.ssh_key:
        text = credentials.ssh_key.replace("\r\n", "\n").rstrip("\n") + "\n"
        key = _in_option(_written(private / "key", text, 0o600))
    options: Mapping[str, str] = {
        "BatchMode": "yes",
        "ConnectTimeout": "30",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "IdentityFile": key,
        "StrictHostKeyChecking": "accept-new",
        "UserKnownHostsFile": _in_option(rules.known_hosts or private / "known_hosts"),
    }
    words = ["ssh", "-F", "/dev/null", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    return shlex.join(words)


def _in_option(file: Path) -> str:
    """
    Write a path as ssh reads it in an option, where blanks separate files and a percent sign begins a name for something else.
    """
    return '"' + str(file).replace("%", "%%") + '"'


def _written(file: Path, text: str, mode: int) -> Path:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as to:
        to.write(text)
    return file
