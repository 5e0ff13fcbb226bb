"""
Run one call of an automation: a process of its own in the project's environment, under the stage's limits.

On a stage whose shim was started as `AutomationRunner.program` says, that process is a fork of the shim, which has the runtime imported: a
call then costs a tenth of an interpreter's start. Nothing of a project is ever imported there, so no call sees what another has left; of the
packages it requires, Playwright's client alone. What a call's pages are opened in may stay for the next call: see resident_driver.py.

    how it ended                                   what it counts as
    it reported a result                           success, whatever its process did afterwards
    it reported a failure                          that failure
    its time was over                              `timeout`; the process and all below it are ended
    a limit of the stage ended it                  `crashed`, with the limit
    exit code 0 without a report                   `no-output`
    any other end                                  `crashed`, with what its last lines tell
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from headrace.core.fan_out import ItemEnd
from headrace.core.outcome import Blame, Cause, Failed, Succeeded
from headrace.runners.automation_project import lend, requirements_of, runtime_folder, short_name, take_back
from headrace.runners.automation_talk import Done, Failure, KeyValues, Talk, prefix_of
from headrace.runners.environments import Environments
from headrace.runners.item_call import ItemCall
from headrace.runners.logs import JobLog
from headrace.runners.node_automation import NodeAutomations, is_for_node
from headrace.runners.process import Child, Exit, Program
from headrace.runners.resident_driver import ResidentDriver, resident_key, resident_of
from headrace.runners.shim_link import PLAIN
from headrace.runners.stage import REPORT_FD, Stage

CALL_FD, ANSWER_FD, DRIVER_FD = 4, 5, 6
RESULT_BYTES = 2 * 2**20
"""Largest result, as UTF-8 JSON: what Intuned documents (2026)."""

_CHILD = "automation"
_READY = (
    "import sys; sys.path += sys.argv[1:3]; from headrace_automation.forked import ready; "
    "from headrace.runners.shim import main; main(ready())"
)
_LEAVE_SECONDS = 5.0  # what a process gets to go by itself after its last word
_HEARD_SECONDS = 2.0
_SENTENCE_CHARACTERS = 500
_CODES = frozenset({"exception", "result-too-large", "no-output", "not-found", "invalid", "auth-check-failed"})


class AutomationRunner:
    """
    Runs calls; see `headrace.runners.item_call` for what is asked and given back.

    Args:
        environments: of this machine.
        kept: where the values are that outlive calls.
    """

    def __init__(self, environments: Environments, kept: KeyValues) -> None:
        self._environments = environments
        self._node = NodeAutomations(environments.node_packages, environ=os.environ)
        self._kept = kept

    async def __call__(self, stage: Stage, call: ItemCall) -> ItemEnd:
        """
        Run one call. When this returns or raises, the process may still be there; it ends with the stage.

        Raises:
            EnvironmentBuildError: the project's environment could not be built.
            DefinitionError: its requirements cannot be read.
        """
        started = await self._started(stage, call)
        key = self.resident(stage.children.program, call, stage.variables)
        driver = resident_of(stage, key) if key and not started.argv else None
        talk = Talk(
            self._kept, prefix_of(call.workspace_id, call.project), partial(driver.lend, stage) if driver else None
        )
        folder = await asyncio.to_thread(lend, call.folder, stage.root.folder, started.modules)
        try:
            ended = await _run(stage, call, started, folder, talk, driver)
        finally:
            await asyncio.to_thread(take_back, stage.root.folder)
        if driver and ended is not None and ended.succeeded and driver.may_stay(used=talk.lent, orderly=talk.orderly):
            stage.children.spare_resident()
        return await _end_of(stage, call, talk, ended)

    def resident(self, program: Program, call: ItemCall, variables: Mapping[str, str]) -> str | None:
        """
        Say of which key the shim of a call's stage may have a resident; None where the call shares none with others.
        """
        return resident_key(call, variables) if len(program.arguments) > 1 else None

    async def _started(self, stage: Stage, call: ItemCall) -> _Started:
        """
        Say how the process of a call is started: a fork of the stage's shim, an interpreter, or Node.
        """
        if is_for_node(call):

            def show(line: str) -> None:
                stage.book.write(line, stage=call.name, stream="install")

            node = await self._node.command(call, show)
            return _Started(node.argv, node.variables, node.modules)
        program, variables = stage.children.program, {"PYTHONPATH": str(runtime_folder())}
        if program.code == _READY:
            return _Started([], variables)
        program = await self.program(stage.book, call)
        return _Started([str(program.interpreter), "-P", "-m", "headrace_automation.runner"], variables)

    async def program(self, book: JobLog, call: ItemCall) -> Program:
        """
        Say what the shim of a call's stage had best be; builds the project's environment first where that has not been done.

        Raises:
            EnvironmentBuildError: it could not be built.
            DefinitionError: the requirements cannot be read.
        """
        if is_for_node(call):
            return PLAIN
        needs = await asyncio.to_thread(requirements_of, call.folder)

        def show(line: str) -> None:
            book.write(line, stage=call.name, stream="install")

        environment = await self._environments.ensure(needs.lines, python=needs.python, on_line=show)
        packages = await asyncio.to_thread(_packages_with_playwright, environment.path)
        return Program(environment.python, _READY, (str(runtime_folder()), *packages))


def _packages_with_playwright(environment: Path) -> list[str]:
    return [str(found.parent.parent) for found in environment.glob("lib/python*/site-packages/playwright/__init__.py")]


@dataclass(frozen=True, slots=True)
class _Started:
    """
    How a process is started.
    """

    argv: list[str]
    variables: dict[str, str]
    modules: Path | None = None


async def _run(
    stage: Stage, call: ItemCall, started: _Started, folder: Path, talk: Talk, driver: ResidentDriver | None
) -> Exit | None:
    """
    Start the process and hold the conversation; gives its end, or None when its time was over or it stays after its last word.
    """
    with short_name(stage.root.tmp) as tmp, contextlib.ExitStack() as ours:
        with contextlib.ExitStack() as theirs, _memory_file(_told(stage, call, driver)) as given:
            reports, writing = _pipe(ours, theirs)
            reading, answers = _pipe(theirs, ours)
            child = await stage.start(
                _CHILD,
                started.argv,
                cwd=folder,
                pass_fds={
                    REPORT_FD: writing,
                    CALL_FD: given,
                    ANSWER_FD: reading,
                    **({DRIVER_FD: driver.ours.fileno()} if driver else {}),
                },
                variables={**started.variables, "TMPDIR": str(tmp)},
            )
        ours.pop_all()  # the conversation closes them
        conversation = asyncio.create_task(talk.hold(reports, answers))
        try:
            await asyncio.sleep(0)  # it has begun then, whatever comes
            talk.extended_at = asyncio.get_running_loop().time()
            ended = await _wait(stage, child, talk, call.timeout_seconds)
            if ended is not None:  # whoever it left behind may hold the pipe, so its end is not waited for
                await _within(talk.over, _HEARD_SECONDS)
        finally:
            conversation.cancel()
            await asyncio.gather(conversation, return_exceptions=True)
    return ended


def _pipe(reading: contextlib.ExitStack, writing: contextlib.ExitStack) -> tuple[int, int]:
    """
    Open a pipe, each of whose ends is closed with the block that it belongs to.
    """
    ends = os.pipe()
    reading.callback(os.close, ends[0])
    writing.callback(os.close, ends[1])
    return ends


async def _wait(stage: Stage, child: Child, talk: Talk, timeout_seconds: float) -> Exit | None:
    loop = asyncio.get_running_loop()
    ended = asyncio.ensure_future(child.wait())
    said = asyncio.ensure_future(talk.over.wait())
    try:
        while not ended.done() and talk.end is None:
            left_seconds = talk.extended_at + timeout_seconds - loop.time()
            if left_seconds <= 0:
                await stage.children.stop(stage.children.limits.grace_seconds)
                return None
            waiting = {ended} if said.done() else {ended, said}
            await asyncio.wait(waiting, timeout=left_seconds, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({ended}, timeout=_LEAVE_SECONDS)
        return await ended if ended.done() else None
    finally:
        ended.cancel()
        said.cancel()


async def _end_of(stage: Stage, call: ItemCall, talk: Talk, ended: Exit | None) -> ItemEnd:
    match talk.end:
        case Done(result=result, attributes=attributes):
            output: dict[str, Any] = {"attributes": attributes} if attributes else {}
            return ItemEnd(outcome=Succeeded(output), result=bytes(result), wanted=tuple(talk.wanted))
        case Failure():
            return ItemEnd(outcome=_reported(stage, call, talk.end))
    if stage.children.exceeded is not None or (ended is not None and not ended.succeeded):
        found = await stage.diagnose([ended] if ended else [], program=call.name)
        cause = replace(found.cause, stage=call.name, evidence={**found.cause.evidence, "code": "crashed"})
        return ItemEnd(outcome=Failed(cause))
    if ended is None:
        sentence = f"{call.name} did not end within {call.timeout_seconds:g} s."
        instruction = "Raise `requestTimeout`, or call extend_timeout() while it gets on."
        return _failed(call, "timeout", sentence, instruction, timeout_seconds=call.timeout_seconds)
    return _failed(call, "no-output", f"The process of {call.name} ended without a result.", "Let the function return.")


def _reported(stage: Stage, call: ItemCall, failure: Failure) -> Failed:
    sentence = stage.book.redactor.redact(failure.message).strip() or failure.name or "The function failed."
    if len(sentence) > _SENTENCE_CHARACTERS:
        sentence = sentence[: _SENTENCE_CHARACTERS - 1] + "…"
    code = failure.code if failure.code in _CODES else "exception"
    evidence = {"code": code, **({"exception": failure.name[:100]} if failure.name else {})}
    cause = Cause(
        call.name, sentence, instruction=stage.book.redactor.redact(failure.instruction)[:200], evidence=evidence
    )
    return Failed(cause, fatal=not failure.retryable)


def _failed(call: ItemCall, code: str, sentence: str, instruction: str, **evidence: Any) -> ItemEnd:
    cause = Cause(
        call.name, sentence, who=Blame.DEVELOPER, instruction=instruction, evidence={"code": code, **evidence}
    )
    return ItemEnd(outcome=Failed(cause))


def _told(stage: Stage, call: ItemCall, driver: ResidentDriver | None) -> bytes:
    return msgspec.json.encode(
        {
            "project": str(call.folder.absolute()),
            "output": str(stage.root.folder),
            "kind": call.kind,
            "name": call.name,
            "parameters": msgspec.Raw(call.parameters),
            "result_limit_bytes": RESULT_BYTES,
            "ids": {
                "run_id": call.item_id,
                "attempt": call.attempt,
                **({"job_run_id": str(call.job_id)} if call.grows else {}),
                **({"job_id": call.batch} if call.batch else {}),
                **({"auth_session_id": call.session_name} if call.session_name else {}),
            },
            "options": call.options,
            "proxy": call.proxy,
            "session": _raw(call.session),
            "session_parameters": _raw(call.session_parameters),
            "driver_folder": str(driver.folder) if driver else None,
        }
    )


def _raw(content: bytes | None) -> msgspec.Raw | None:
    return msgspec.Raw(content) if content is not None else None


@contextlib.contextmanager
def _memory_file(content: bytes) -> Iterator[int]:
    """
    Lend *content* as a file that no folder shows: what is in it, such as a proxy's password, is never on the disk.
    """
    descriptor = os.memfd_create("call")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


async def _within(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
