"""
Call one function of a project and report what came of it: `python -m headrace_automation.runner`.

The call is read from descriptor 4 as one JSON object; reports are written to descriptor 3, and answers to the function's questions are read
from descriptor 5. What the function prints goes wherever the process's output goes. Exactly one report ends the call:

    done    result, attributes
    failed  code, name, message, instruction, retryable

A process that ends without one has crashed, and the server says so.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
import traceback
from pathlib import Path
from typing import Any

from headrace_automation import alias, call, functions
from headrace_automation.channel import CALL_FD, Channel
from headrace_automation.deferred import is_deferred
from headrace_automation.encoding import encode
from headrace_automation.errors import NonRetryableError, RefusedError

_MESSAGE_CHARACTERS = 4_000
_CALL_LOG = re.compile(r"\n(?:Call log:|=+ logs =+)")
_OURS = str(Path(__file__).parent)
_STANDARD = str(Path(os.__file__).parent)


def main() -> None:
    """
    Run the call; ends the process.
    """
    with os.fdopen(CALL_FD, "rb") as given:
        asked = call.Call.read(json.load(given))
    running = call.Running(asked, Channel())
    call.begin(running)
    alias.install()
    os.environ.pop(
        "PYTHONPATH", None
    )  # was there to find this package; programs that the function starts do not need it
    sys.path.insert(0, str(asked.project))
    sys.dont_write_bytecode = True  # the project's folder is shared by calls and is not to be written to
    try:
        result = encode_result(asyncio.run(_run(running)), asked.result_limit_bytes)
    except BaseException as error:  # noqa: BLE001 - the edge of the user's code: SystemExit and the like are failures too
        running.channel.say("failed", **failure_of(error, asked.project))
    else:
        attributes = encode(running.attributes)
        running.channel.write(b'{"kind":"done","attributes":%b,"result":%b}' % (attributes, result))
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)  # threads that the function left behind must not hold up a call that has ended


async def _run(running: call.Running) -> Any:
    asked = running.call
    function = functions.load(asked.project, asked.kind, asked.name)
    if not needs_browser(function, asked):
        return await _without_browser(function, asked)
    from headrace_automation.browser import with_browser

    return await with_browser(asked, function)


async def _without_browser(function: functions.Function, asked: call.Call) -> Any:
    if asked.kind == "check":
        return bool(await functions.call(function, None))
    result = await functions.call(function, None, asked.parameters, **_deferred(function))
    if asked.kind == "create" and not isinstance(result, dict):
        raise RefusedError(
            "invalid",
            "auth-sessions/create.py uses no page, so what it returns is the session, and that is no dict.",
            "Return a dict, such as {'cookies': [...]}, or log in on the page.",
        )
    return result


def needs_browser(function: functions.Function, asked: call.Call) -> bool:
    """
    Whether the call has to have a browser: the project's settings say so, or the function could use one.
    """
    wanted = asked.options.get("browser", "auto")
    if isinstance(wanted, bool):
        return wanted
    return functions.uses_page(function) or is_deferred(function)


def _deferred(function: functions.Function) -> dict[str, Any]:
    async def refuse() -> tuple[Any, Any]:
        raise RefusedError(
            "invalid", "The project's settings say that it has no browser.", "Take `browser` out of them."
        )

    return {"ensure_browser": refuse} if is_deferred(function) else {}


def encode_result(value: Any, limit_bytes: int) -> bytes:
    """
    Give a result as JSON.

    Raises:
        RefusedError: it is no JSON value, or too large.
    """
    try:
        result = encode(value)
    except ValueError as error:
        raise RefusedError(
            "no-output",
            f"The result is not JSON serializable: {error}.",
            "Return plain values: texts, numbers, lists, dicts.",
        ) from error
    if len(result) > limit_bytes:
        raise RefusedError(
            "result-too-large",
            f"The result has {len(result)} bytes of JSON; {limit_bytes} are allowed.",
            "Return less, or split the work with extend_payload.",
        )
    return result


def failure_of(error: BaseException, project: Path) -> dict[str, Any]:
    """
    Say what a call failed of; what its author needs besides goes to standard error.
    """
    if isinstance(error, RefusedError):
        sys.stderr.write(f"{error} {error.instruction}".rstrip() + "\n")
        return {
            "code": error.code,
            "name": "",
            "message": str(error),
            "instruction": error.instruction,
            "retryable": error.retryable,
        }
    frames = traceback.TracebackException.from_exception(error)
    frames.stack = _from_project(frames.stack, project)
    sys.stderr.write("".join(frames.format()))
    last = f"{type(error).__name__}: {_text_of(error)}".rstrip(": ")
    if isinstance(error, SystemExit):
        last = f"The function ended its process by sys.exit({error.code!r})."
    # A mistake in the code itself, or a package that is missing, is there the next time too.
    hopeless = isinstance(error, NonRetryableError | ImportError | SyntaxError)
    return {
        "code": "exception",
        "name": type(error).__name__,
        "message": last[:_MESSAGE_CHARACTERS],
        "instruction": _instruction_of(error, project),
        "retryable": not hopeless,
    }


def _instruction_of(error: BaseException, project: Path) -> str:
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    top = error.name.partition(".")[0]
    if (project / top).exists() or (project / f"{top}.py").exists():
        return ""
    return f"Write the package that has `{top}` into the project's requirements.txt, or its pyproject.toml."


def _from_project(stack: traceback.StackSummary, project: Path) -> traceback.StackSummary:
    """
    Drop the way that led into the project: it is the same for every failure, and none of its author's business.
    """
    first = next((at for at, frame in enumerate(stack) if frame.filename.startswith(f"{project}/")), len(stack))
    rest = stack[first:] or [frame for frame in stack if not _is_on_the_way(frame.filename)]
    return traceback.StackSummary.from_list(rest)


def _is_on_the_way(filename: str) -> bool:
    if "site-packages" in filename:
        return False
    return filename.startswith((_OURS, _STANDARD, "<frozen "))


def _text_of(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - it is the user's class, and its name is told anyway
        return ""
    # Playwright adds what it did until then: that is for the log.
    return _CALL_LOG.split(text)[0] if type(error).__module__.startswith("playwright.") else text


if __name__ == "__main__":
    main()
