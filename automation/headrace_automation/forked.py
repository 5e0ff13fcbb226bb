"""
Calls in processes that are forked off one which has this package imported.

What is ready then is ours and the standard library's, and Playwright's client where the environment has it, for its import costs as much as all
the rest. Everything that depends on the call (its environment variables, its standard streams, the other packages of the project and the
start-up code they bring) comes after the fork, so that it is as in an interpreter of its own.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import site
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from types import ModuleType

# What most calls need, so that it is there before the fork.
from headrace_automation import asking, runner  # noqa: F401
from headrace_automation.runner import main

_OURS = "headrace"  # the server's package, which a project must not see
_hidden = list[ModuleType]()


def ready() -> Callable[[Mapping[str, str]], None]:
    """
    Give what a forked process calls with the environment variables of its call; it does not return.
    """
    # `site` would make the paths of all modules absolute, which they are: half of what a call costs.
    site.abs_paths = lambda: None
    folders = sys.argv[1:3]  # the server's package, and this one
    for packages in sys.argv[3:]:
        _import_playwright(packages)
    sys.path[:] = [entry for entry in sys.path if entry not in folders]
    _hide_our_modules()

    def run(environment: Mapping[str, str]) -> None:
        try:
            _be_fresh(environment, folders[1])
            main()
        except BaseException:  # noqa: BLE001 - nothing above this could tell
            os.write(2, traceback.format_exc().encode(errors="backslashreplace"))
        finally:
            os._exit(1)

    return run


def _hide_our_modules() -> None:
    """
    Take the server's modules out of sight here, so that no call has to; the shim goes on with what it has in hand.

    They are kept: to free one is to write to its pages, which each call would have to copy.
    """
    for name in [name for name in sys.modules if name == _OURS or name.startswith(f"{_OURS}.")]:
        _hidden.append(sys.modules.pop(name))


def _import_playwright(packages: str) -> None:
    sys.path.append(packages)
    with contextlib.suppress(Exception):  # the call that needs it imports it too, and says what is wrong
        import playwright.async_api  # noqa: F401 - to have it before the fork, as what follows

        from headrace_automation import browser  # noqa: F401
    sys.path.remove(packages)


def _be_fresh(environment: Mapping[str, str], folder: str) -> None:
    """
    Make this process what a new interpreter would be: `python -P`, with *folder* on its path and its output unbuffered.
    """
    gc.enable()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc]  # noqa: SIM115 - it is ours for good
    sys.stdout = sys.__stdout__ = _writer(1, "strict")  # type: ignore[misc]  # final in a program's eyes, not in an interpreter's
    sys.stderr = sys.__stderr__ = _writer(2, "backslashreplace")  # type: ignore[misc]
    sys.argv[:] = [runner.__file__]
    sys.path.insert(0, folder)
    site.main()


def _writer(descriptor: int, errors: str) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(raw, encoding="utf-8", errors=errors, write_through=True)
