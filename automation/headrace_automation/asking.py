"""
What a function may ask of the server while it runs.

Names and behaviour follow the public documentation of Intuned's Python runtime (read 2026), so that projects written for it need only another import.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headrace_automation import call
from headrace_automation.attributes import check_attribute
from headrace_automation.encoding import encode
from headrace_automation.errors import NoCallError

_BETWEEN_EXTENSIONS_SECONDS = 0.1  # a loop may extend at every turn; the server need not hear of each
_KEY_NOT = ":#"
_VALUE_LIMIT_BYTES = 2 * 2**20


def extend_payload(*items: Mapping[str, Any] | list[Mapping[str, Any]]) -> None:
    """
    Ask for further items: each a mapping with `api` and `parameters`. They are run once this call has succeeded; its time begins anew.

    Raises:
        ValueError: an item names no API, or its parameters are no JSON object.
    """
    running = call.needed()
    for item in _flat(items):
        # A definition of a job calls it `apiName`; both are taken, for an item that is dropped in silence is missed by nobody.
        name = item.get("api") or item.get("apiName")
        if not isinstance(name, str) or not name:
            raise ValueError("An item of extend_payload needs `api`, the name of the function to call.")
        parameters = item.get("parameters")
        if parameters is not None and not isinstance(parameters, Mapping):
            raise ValueError(f"The parameters for {name} are no mapping.")
        try:
            given = encode(dict(parameters or {}))
        except ValueError as error:
            raise ValueError(f"The parameters for {name} are not JSON serializable: {error}.") from error
        running.channel.write(b'{"kind":"append","api":%b,"parameters":%b}' % (encode(name), given))
    extend_timeout()


def _flat(items: tuple[Any, ...]) -> Iterator[Mapping[str, Any]]:
    for item in items:
        if isinstance(item, list | tuple):
            yield from _flat(tuple(item))
        elif isinstance(item, Mapping):
            yield item
        else:
            raise TypeError(f"An item of extend_payload is a mapping, not {type(item).__name__}.")


def extend_timeout() -> None:
    """
    Let the call's time begin anew.
    """
    running = call.running()
    if running is None:
        return
    now = time.monotonic()
    if now - running.extended_at >= _BETWEEN_EXTENSIONS_SECONDS:
        running.extended_at = now
        running.channel.say("extend")


class AttemptStore:
    """
    Values that live as long as this try.
    """

    def get(self, key: str, default: Any = None) -> Any:
        return call.needed().kept.get(key, default)

    def set(self, key: str, value: Any) -> None:
        call.needed().kept[key] = value


class PersistentStore:
    """
    Values that outlive the call, shared by all calls of the project; JSON values of at most 2 MiB.

    Keys are not empty and hold neither `:` nor `#`.
    """

    async def get(self, key: str) -> Any:
        """
        Give the value of *key*; None when there is none.
        """
        return _value_of(await call.needed().channel.ask("get", key=_checked(key)))

    async def set(self, key: str, value: Any) -> None:
        running = call.needed()
        try:
            given = encode(value)
        except ValueError as error:
            raise ValueError(f"The value of {key} is not JSON serializable: {error}.") from error
        if len(given) > _VALUE_LIMIT_BYTES:
            raise ValueError(f"The value of {key} has {len(given)} bytes of JSON; {_VALUE_LIMIT_BYTES} are allowed.")
        _value_of(await running.channel.ask("set", key=_checked(key), value=value_text(given)))


def value_text(given: bytes) -> str:
    return given.decode()


def _checked(key: str) -> str:
    if not key or any(character in key for character in _KEY_NOT):
        raise ValueError(f"{key!r} is no key: give at least one character, and neither `:` nor `#`.")
    return key


def _value_of(answer: Mapping[str, Any]) -> Any:
    if "error" in answer:
        raise OSError(answer["error"])
    return answer.get("value")


attempt_store = AttemptStore()
persistent_store = PersistentStore()


async def get_auth_session_parameters() -> dict[str, Any]:
    """
    Give what the call's login was made with.

    Raises:
        NoCallError: the call has no login.
    """
    parameters = call.needed().call.session_parameters
    if parameters is None:
        raise NoCallError("This call has no auth session.")
    return dict(parameters)


async def get_auth_session_state() -> dict[str, Any]:
    """
    Give the call's login itself: `cookies`, `origins` and `sessionStorage`, or what a `create` without a page has returned.

    Raises:
        NoCallError: the call has no login.
    """
    state = call.needed().call.session
    if state is None:
        raise NoCallError("This call has no auth session.")
    return dict(state)


@dataclass(frozen=True)
class RunInfo:
    """
    Which call this is; None where it does not apply.
    """

    job_id: str | None = None
    job_run_id: str | None = None
    run_id: str | None = None
    auth_session_id: str | None = None
    dependency_id: str | None = None
    dependency_for: str | None = None
    parent_run_id: str | None = None
    auth_session: Any = None
    proxy: str | None = None
    attempt: int | None = None


def run_info() -> RunInfo:
    """
    Say which call this is.
    """
    running = call.running()
    if running is None:
        return RunInfo()
    known = {name: value for name, value in running.call.ids.items() if name in RunInfo.__dataclass_fields__}
    return RunInfo(**{"proxy": running.call.proxy, **known})


def set_attribute(key: str, value: Any) -> None:
    """
    Note something about the call that is reported with its outcome.

    Raises:
        ValueError: the key or the value is not allowed, or there are too many.
    """
    attributes = call.needed().attributes
    attributes[key] = check_attribute(attributes, key, value)


def delete_attribute(key: str) -> None:
    """
    Take an attribute back; one that is not there is no mistake.
    """
    call.needed().attributes.pop(key, None)
