"""
Run uv, the installer, out of our own wheel: with a clean environment, its output line by line, and no secret in any line.
"""

from __future__ import annotations

import asyncio
import configparser
import contextlib
import os
import re
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uv

_KEPT_LINES = 200
_KEPT_CAUSES = 8
_LINE_LIMIT_CHARACTERS = 2_000

# What would lead uv, or a package's own build, away from the environment it is told to fill. PYTHONDONTWRITEBYTECODE is set on many machines
# and container images; with it each start of a connector compiles its whole import tree again, which takes three times as long.
_UNWANTED = frozenset(
    {
        "CONDA_PREFIX",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PYTHONUSERBASE",
        "UV_PROJECT",
        "UV_PROJECT_ENVIRONMENT",
        "UV_PYTHON",
        "UV_SYSTEM_PYTHON",
        "UV_TARGET",
        "UV_WORKING_DIRECTORY",
        "VIRTUAL_ENV",
        "__PYVENV_LAUNCHER__",
    }
)
_OWN_INDEX = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_NO_INDEX", "UV_OFFLINE")
_PIP_TO_UV = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_CERT": "SSL_CERT_FILE",
    "PIP_DEFAULT_TIMEOUT": "UV_HTTP_TIMEOUT",
}

_USER_OF_URL = re.compile(r"(?<=://)[^/\s'\"]*(?=@)")
_SECRET_OF_QUERY = re.compile(r"(?i)([?&][^=&\s]*(?:token|key|secret|password|sig)[^=&\s]*=)[^&\s#]+")
_CAUSE = re.compile(r"(?:error|  cause): (.+)")  # the form of uv 0.13; a build's own output is indented further
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class UvResult:
    """
    How one call of uv ended.

    Attributes:
        lines: its last lines, oldest first, without secrets.
        causes: what uv itself names as the error, outermost first; empty when all went well.
    """

    exit_code: int
    lines: tuple[str, ...]
    causes: tuple[str, ...] = ()


class Uv:
    """
    The installer, ready to be called.

    Args:
        path: the executable; None for the one that our own wheel brought.
        environ: variables of the machine, from which a clean set for uv is made.
    """

    def __init__(self, path: Path | None, environ: Mapping[str, str]) -> None:
        self.path = path or Path(uv.find_uv_bin())
        self.environ = environ_for_uv(environ)

    async def run(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        on_line: Callable[[str], None],
        stdin: bytes = b"",
        held_fd: int | None = None,
    ) -> UvResult:
        """
        Run uv to its end and hand every line that it prints to *on_line*.

        A cancelled call ends uv and all that it started. *held_fd* is inherited by uv: a lock held on it stays held until uv
        has ended too, even if this process was killed.
        """
        process = await asyncio.create_subprocess_exec(
            self.path,
            *arguments,
            cwd=cwd,
            env=self.environ,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            pass_fds=() if held_fd is None else (held_fd,),
        )
        kept: deque[str] = deque(maxlen=_KEPT_LINES)
        causes: list[str] = []

        def take(line: str) -> None:
            kept.append(line)
            if (cause := _CAUSE.match(line)) and len(causes) < _KEPT_CAUSES:
                causes.append(cause[1].rstrip("."))
            on_line(line)

        try:
            await _converse(process, stdin, take)
            exit_code = await process.wait()
        finally:
            await _end(process)
        return UvResult(exit_code, tuple(kept), tuple(causes) if exit_code else ())


async def _converse(process: asyncio.subprocess.Process, stdin: bytes, take: Callable[[str], None]) -> None:
    assert process.stdin is not None  # noqa: S101 - both are pipes, by the call above
    assert process.stdout is not None  # noqa: S101
    if not process.stdin.is_closing():  # it may have ended already, and uvloop refuses what asyncio drops
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(stdin)
            process.stdin.close()
    rest = ""
    while chunk := await process.stdout.read(64 * 1024):
        *lines, rest = (rest + chunk.decode(errors="replace")).replace("\r", "\n").split("\n")
        for line in filter(str.strip, lines):
            take(without_secrets(line))
    if rest.strip():
        take(without_secrets(rest))


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())


def environ_for_uv(environ: Mapping[str, str]) -> dict[str, str]:
    """
    The variables of the machine, less those that mislead uv or are ours, plus pip's index settings where uv has none.

    Our own settings are left out because a source package runs code of its own while it is built.
    """
    chosen = {key: value for key, value in environ.items() if key not in _UNWANTED and not key.startswith("HEADRACE_")}
    chosen |= {"UV_NO_PROGRESS": "1", "NO_COLOR": "1", "UV_NO_ENV_FILE": "1"}
    for theirs, ours in _PIP_TO_UV.items():
        if theirs in environ and ours not in chosen and (ours != "UV_DEFAULT_INDEX" or not _has_own_index(environ)):
            chosen[ours] = environ[theirs]
    if "UV_DEFAULT_INDEX" not in chosen and not _has_own_index(environ) and (index := _index_of_pip(environ)):
        chosen["UV_DEFAULT_INDEX"] = index
    return chosen


def _has_own_index(environ: Mapping[str, str]) -> bool:
    if any(environ.get(name) for name in (*_OWN_INDEX, "UV_CONFIG_FILE")):
        return True
    return any(path.is_file() for path in (_config_home(environ) / "uv" / "uv.toml", Path("/etc/uv/uv.toml")))


def _index_of_pip(environ: Mapping[str, str]) -> str | None:
    """
    `index-url` of pip's configuration, nearest file first; uv itself does not read these files.
    """
    home = Path(environ.get("HOME", "/"))
    files = [_config_home(environ) / "pip" / "pip.conf", home / ".pip" / "pip.conf", Path("/etc/pip.conf")]
    if named := environ.get("PIP_CONFIG_FILE"):
        files = [Path(named)]
    for file in files:
        parser = configparser.RawConfigParser()
        with contextlib.suppress(configparser.Error, OSError, UnicodeDecodeError):
            parser.read(file)
        for section in ("install", "global"):
            if found := parser.get(section, "index-url", fallback=None):
                return found
    return None


def _config_home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/")) / ".config")


def without_secrets(line: str) -> str:
    """
    A line of output with user and password cut out of every URL, without colours, and not too long to show.
    """
    plain = _COLOUR.sub("", line).rstrip()
    plain = _USER_OF_URL.sub("***", plain)
    return _SECRET_OF_QUERY.sub(r"\1***", plain)[:_LINE_LIMIT_CHARACTERS]
