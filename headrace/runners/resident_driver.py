"""
Playwright's driver and its browser, left by one call of an automation for the next one on the same shim.

A driver's start takes most of a second of CPU and a browser's another half, which is ten times what a small page needs. So the first call that wants a
page has them started as the shim's resident; a call that ended in order leaves them, with every context of its own closed, and the next one of
the same key opens a context of its own. One call at a time has them, so its limits hold for them as if they were its own.

    what happens                                          what follows
    a call closes the browser, or crashes it              that call fails if it needs it still; the resident ends with it
    a call is ended: time, a limit, a cancel, a crash     the resident ends with it
    a call leaves a context that cannot be closed,        the resident ends with it
      or a question that the driver has not answered
    the driver or browser dies between two calls          the next one starts its own
    it has served `CALLS`, for `AGE_SECONDS`, or grown    the resident ends with the call
    no call has come for a while; the worker ends or dies the shim ends, and all below it

The call's half is automation/headrace_automation/lent_driver.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from headrace.core.errors import HeadraceError
from headrace.runners.command import DEVNULL, Command
from headrace.runners.item_call import ItemCall
from headrace.runners.process_tree import LINUX
from headrace.runners.stage import Stage

CALLS, AGE_SECONDS, GROWTH = 100, 600.0, 1.5
"""How long a driver and its browser serve; *GROWTH* is of the memory they had after the first call."""

_CHILD = "driver"
_OF_THE_CALL = frozenset({"HOME", "TMPDIR", "PWD"})


class ResidentDriver:
    """
    Attributes:
        key: of the calls that may use it: of one project, as it stands, in one workspace, with one set of options.
        folder: where its files are, a browser's profile among them; gone with it.
        ours: the end of its pipe that calls are given.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.folder = Path(tempfile.mkdtemp(prefix="headrace-pages-"))
        self.ours, self._theirs = socket.socketpair()
        self.rss_bytes = 0
        self._first_bytes = 0
        self._calls = 0
        self._begun_at = asyncio.get_running_loop().time()
        self._started: tuple[list[str], dict[str, str]] | None = None

    @property
    def started(self) -> bool:
        return self._started is not None

    def close(self) -> None:
        self.ours.close()
        self._theirs.close()
        with contextlib.suppress(OSError):  # what was started in it is gone first, and the shim removes it then
            self.folder.rmdir()

    def may_stay(self, *, used: bool, orderly: bool) -> bool:
        """
        Whether it is good for another call, after one that has *used* it or not, and left it *orderly* or not.
        """
        if not used:
            return self.started
        if not orderly:
            return False
        self._calls += 1
        self._first_bytes = self._first_bytes or self.rss_bytes
        return (
            self._calls < CALLS
            and asyncio.get_running_loop().time() - self._begun_at < AGE_SECONDS
            and self.rss_bytes <= self._first_bytes * GROWTH
        )

    async def lend(self, stage: Stage, argv: list[str], environment: Mapping[str, str]) -> str:
        """
        Let the call on *stage* have it: `new` when it was started for that, `up` when it was up, `no` when it is not the one that was asked for.
        """
        variables = {name: value for name, value in environment.items() if name not in _OF_THE_CALL}
        if self._started is not None:
            if self._started != (argv, variables):
                return "no"
            await stage.children.use_resident()
            return "up"
        self._started = (argv, variables)
        command = Command(
            name=_CHILD,
            argv=argv,
            cwd=self.folder,
            env={**variables, "HOME": str(self.folder), "TMPDIR": str(self.folder)},
            stdin=self._theirs.fileno(),
            stdout=self._theirs.fileno(),
            stderr=DEVNULL,  # a call's log ends with the call
            resident=True,
        )
        try:
            await stage.children.spawn(command)
        except HeadraceError:
            return "no"  # the call tries by itself, and says what is wrong
        finally:
            self._theirs.close()
        return "new"


def resident_key(call: ItemCall, variables: Mapping[str, str]) -> str | None:
    """
    Say which resident a call may use; None for one that is to have a browser of its own.

    A window is seen by people, and a hook may do to the browser itself what it likes.
    """
    options = call.options
    if not LINUX or options.get("headful") or options.get("keep_browser") is False:
        return None
    if call.kind == "api" and (call.folder / "hooks" / "setup_context.py").is_file():
        return None
    named = (str(call.workspace_id), call.project, str(call.folder), call.proxy, sorted(variables.items()))
    return hashlib.sha256(msgspec.json.encode(named)).hexdigest()


def resident_of(stage: Stage, key: str) -> ResidentDriver:
    """
    Give the resident of a stage's shim; a new one, not started yet, where there is none.
    """
    found = stage.children.resident
    if not isinstance(found, ResidentDriver) or found.key != key:
        found = ResidentDriver(key)
        stage.children.resident = found
    return found
