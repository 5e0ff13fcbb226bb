"""
What a worker does for a login: make it, check it, make it again; and look after it when an item that used it has failed.

    operation   does                                                       fails as
    create      `create` until one try goes well, then `check` until one    create-attempts-failed, post-create-check-attempts-failed
    update      the same, with other parameters
    validate    `check` until one says yes; else as create where that is    check-attempts-failed, or as create
                allowed, with the parameters that are kept

A try of `check` that says no, raises, or runs out of time is a failed one. What trying again cannot help (there is no such file, say) ends the tries.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from headrace.core.auth_session import AuthSession, missing
from headrace.core.fan_out import ItemEnd, SessionEnd
from headrace.core.outcome import Blame, Cancelled, Cause, Failed, Succeeded
from headrace.core.plan import SessionUse
from headrace.runners.item_call import ItemCall
from headrace.runners.redaction import secrets_of
from headrace.services.item_attempts import ItemWork
from headrace.services.item_logins import given_of

Run = Callable[[ItemCall], Awaitable[ItemEnd]]

SHORTEST_VALUE = 8
"""Characters of a cookie's or a storage's value that makes it a secret; shorter ones, such as a language, would blacken half of a log."""

_BROWSERS = frozenset({"cookies", "origins", "sessionStorage"})

# A try that ended so may have ended so because the login was gone; any other says something about the function.
_DOUBTFUL = frozenset({"exception", "timeout", "crashed", "auth-check-failed"})


class _Bad(NamedTuple):
    """
    Why the last try was not good, and how many there were.
    """

    cause: Cause
    tries: int


async def with_login(work: ItemWork, use: SessionUse, call: ItemCall, run: Run) -> ItemEnd:
    """
    Run an item that uses a login; when it failed, look whether the login still holds.
    """
    call = _traceless(call)
    end = await run(call)
    login = work.login
    if login is None or not isinstance(end.outcome, Failed) or _code_of(end.outcome.cause) not in _DOUBTFUL:
        return end
    bad = await _check(_proxied(work, use, call), use, login.state, run, attempts=1)
    return replace(end, session=SessionEnd(valid=bad is None, generation=login.generation))


async def operate(work: ItemWork, use: SessionUse, call: ItemCall, run: Run) -> ItemEnd:
    """
    Run an operation on a login.
    """
    login = work.login
    if login is None:
        return ItemEnd(outcome=Failed(missing(use.name), fatal=True))
    call = _proxied(work, use, _traceless(call))
    if use.operation != "validate":
        given = given_of(use, work.sealed) or {"parameters": "{}"}
        return await create(call, use, login, given["parameters"].encode(), run)
    known = login.known_since(work.job.created_at, use)
    if known is True:  # whoever was first has checked it while this one waited
        return ItemEnd(outcome=Succeeded())
    if isinstance(known, Cause):
        return ItemEnd(outcome=Failed(known, fatal=True))
    return await validate(call, use, login, run)


async def validate(call: ItemCall, use: SessionUse, login: AuthSession, run: Run) -> ItemEnd:
    """
    Check a login, and make it again where it is bad and that is allowed.
    """
    bad: _Bad | None = _Bad(Cause("", "It has never been made."), tries=0)
    if login.state is not None:
        bad = await _check(call, use, login.state, run, attempts=use.check_attempts)
    if bad is None:
        return ItemEnd(outcome=Succeeded(), session=SessionEnd(valid=True, generation=login.generation))
    if not (use.recreate and login.can_be_remade):
        return _failed("check-attempts-failed", bad, login)
    return await create(call, use, login, login.parameters or b"{}", run)


async def create(call: ItemCall, use: SessionUse, login: AuthSession, parameters: bytes, run: Run) -> ItemEnd:
    """
    Make a login with parameters, and check what was made.
    """
    made = await _tries(
        replace(
            call,
            kind="create",
            name="auth-sessions/create",
            parameters=parameters,
            session=None,
            session_parameters=parameters,
        ),
        use.create_attempts,
        run,
    )
    if isinstance(made, _Bad):
        return _failed("create-attempts-failed", made, login, remade=True)
    bad = await _check(replace(call, session_parameters=parameters), use, made, run, attempts=use.check_attempts)
    if bad is not None:
        return _failed("post-create-check-attempts-failed", bad, login, remade=True)
    return ItemEnd(
        outcome=Succeeded(), session=SessionEnd(valid=True, generation=login.generation, state=made, remade=True)
    )


async def _check(call: ItemCall, use: SessionUse, state: bytes | None, run: Run, *, attempts: int) -> _Bad | None:
    """
    Check a state; gives why the last try was not good, None when one was.
    """
    asked = replace(
        call,
        kind="check",
        name="auth-sessions/check",
        parameters=b"{}",
        session=state,
        timeout_seconds=use.timeout_seconds,
    )
    found = await _tries(asked, attempts, run, good=b"true")
    return found if isinstance(found, _Bad) else None


async def _tries(call: ItemCall, attempts: int, run: Run, *, good: bytes | None = None) -> bytes | _Bad:
    """
    Call until one try returns (with *good*, until one returns that); gives what it returned, or why the last one was not good.
    """
    last, tries = Cause("", "It was not tried."), 0
    for tries in range(1, attempts + 1):
        end = await run(call)
        match end.outcome:
            case Succeeded() if good is None or end.result == good:
                return end.result or b"null"
            case Succeeded():
                last = Cause(call.name, f"{call.name} said no.", evidence={"code": "auth-check-failed"})
            case Failed(cause=cause, fatal=fatal):
                last = cause
                if fatal:
                    break
            case Cancelled(cause=cause):
                return _Bad(cause, tries)
    return _Bad(last, tries)


def _failed(code: str, bad: _Bad, login: AuthSession, *, remade: bool = False) -> ItemEnd:
    sentence = {
        "check-attempts-failed": "Its check failed",
        "create-attempts-failed": "It could not be made",
        "post-create-check-attempts-failed": "It was made, but its check failed",
    }[code]
    tries = f" in {bad.tries} tries" if bad.tries > 1 else ""
    cause = Cause(
        "auth session",
        f"{sentence}{tries}: {bad.cause.sentence}",
        who=Blame.CUSTOMER,
        instruction=bad.cause.instruction or "Try the parameters by hand, then update the auth session.",
        evidence={"code": code, "attempts": bad.tries, "last": _code_of(bad.cause)},
    )
    found = SessionEnd(valid=False, generation=login.generation, remade=remade)
    return ItemEnd(outcome=Failed(cause, fatal=True), session=found)


def _proxied(work: ItemWork, use: SessionUse, call: ItemCall) -> ItemCall:
    """
    Let checking and making go through what the request names, else the login's own proxy, else that of the job.
    """
    given = given_of(use, work.sealed) or {}
    asked = work.sealed.get(use.proxy) if use.proxy else None
    own = given.get("proxy") if use.given else work.login.proxy if work.login else None
    return replace(call, proxy=asked or own or call.proxy)


def _traceless(call: ItemCall) -> ItemCall:
    """
    Keep no trace of a call that has a login, for it would show that; unless the project says otherwise.
    """
    if call.options.get("save_session_traces"):
        return call
    return replace(call, options={name: value for name, value in call.options.items() if name != "save_trace"})


def secrets_of_login(work: ItemWork) -> set[str]:
    """
    Collect what must not be read in the log of a call that has a login.
    """
    known: set[str] = set()
    use, login = work.fan_out.session, work.login
    given = given_of(use, work.sealed) if use else None
    if given is not None:
        known |= secrets_of({"auth": _read(given["parameters"].encode())})
    return known | secrets_of_kept(login) if login is not None else known


def secrets_of_kept(login: AuthSession) -> set[str]:
    """
    Collect what must not be read of a login.
    """
    given = secrets_of({"auth": _read(login.parameters), "proxy": login.proxy})
    return given | secrets_of_state(login.state)


def secrets_of_state(state: bytes | None) -> set[str]:
    """
    Collect what must not be read of a login's state.
    """
    found = _read(state)
    # Names, paths and domains of cookies are no secrets; beside what browsers keep, names tell.
    others = {name: value for name, value in found.items() if name not in _BROWSERS}
    return set(_values(found)) | secrets_of(others)


def _read(text: bytes | None) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text or b"{}", type=dict[str, Any])
    except (ValueError, RecursionError):  # it came from outside, and is handed on as it is
        return {}


def _values(value: Any) -> list[str]:
    """
    List the texts below every key `value`, as cookies and storages have them.
    """
    match value:
        case dict():
            own = [text for text in [value.get("value")] if isinstance(text, str) and len(text) >= SHORTEST_VALUE]
            return own + [found for inner in value.values() for found in _values(inner)]
        case list():
            return [found for inner in value for found in _values(inner)]
    return []


def _code_of(cause: Cause) -> str:
    return str(cause.evidence.get("code", ""))
