"""
The roles of a process; what only one of them needs is imported by that one alone, which keeps the others small.

    up      supervisor: embedded PostgreSQL, one `serve` and one `worker` process, restarted when they die (up.py)
    serve   API, definitions, admission, schedules, deliveries (serve.py)
    worker  runs jobs; rescues those of workers that are gone (work.py)
"""

from __future__ import annotations

import headrace.lean  # noqa: F401 - before whatever imports structlog

# isort: split

import asyncio
import importlib
import os
import signal
import sys

import structlog
import uvloop

from headrace.core.errors import HeadraceError, InvalidError
from headrace.engine.lasting import lasting
from headrace.settings import Settings, load_settings
from headrace.store.database import migrate
from headrace.telemetry import configure_logging
from headrace.up import PARENT_FD

ROLES = {"serve": "headrace.serve", "worker": "headrace.work"}


def run_role(settings: Settings, role: str) -> int:
    """
    Run one role in this process until SIGTERM, SIGINT or the end of its supervisor; gives the exit code.

    Raises:
        InvalidError: there is no database to work with.
    """
    if settings.database_url is None:
        raise InvalidError(
            f"`headrace {role}` needs a database.",
            "Set HEADRACE_DATABASE_URL, or use `headrace up`, which brings its own.",
        )
    url = settings.database_url.get_secret_value()

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        _watch_supervisor(loop)
        await lasting(lambda: migrate(url))
        await importlib.import_module(ROLES[role]).run(settings, url, stop)

    configure_logging(level=settings.log_level, format=settings.log_format)
    uvloop.run(main())
    return 0


def _watch_supervisor(loop: asyncio.AbstractEventLoop) -> None:
    """
    End at once when the supervisor is gone: a server half of which lives on is worse than none.
    """
    descriptor = os.environ.pop(PARENT_FD, None)
    if descriptor is not None:
        loop.add_reader(int(descriptor), lambda: os._exit(0))


def main(arguments: list[str]) -> int:
    """
    Run the role that the supervisor names; what stops it is one line of the log, not a trace.
    """
    try:
        return run_role(load_settings(), arguments[0])
    except HeadraceError as error:
        structlog.get_logger(__name__).error(error.reason, instruction=error.instruction, **error.facts)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
