"""
The job settings of an environment that try a stage again: after it ran out of memory, and when it got stuck.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from headrace.core.errors import InvalidError
from headrace.core.plan import Again

ON_MEMORY: Final = "retrigger_on_memory_failure"
MOST_MEMORY: Final = "retrigger_memory_bytes"
STUCK: Final = "retrigger_stuck_jobs"

_MEMORY_TRIES = 3
_STUCK_TRIES = 2


def again(settings: Mapping[str, Any], memory_bytes: int | None) -> Again:
    """
    Say when a stage with the limit *memory_bytes* is tried again: each time with twice the memory, up to the environment's most.

    Raises:
        InvalidError: a setting has no value that it can have.
    """
    return Again(
        memory_bytes=tuple(_limits(settings, memory_bytes)) if settings.get(ON_MEMORY) else (),
        stuck_tries=_tries(settings.get(STUCK)),
    )


def _limits(settings: Mapping[str, Any], memory_bytes: int | None) -> Iterator[int | None]:
    if memory_bytes is None:  # nothing to raise; the machine may have more to give another time
        yield None
        return
    most = settings.get(MOST_MEMORY) or memory_bytes * 2**_MEMORY_TRIES
    if not isinstance(most, int):
        raise _wrong(MOST_MEMORY, "a number of bytes")
    for _ in range(_MEMORY_TRIES):
        if memory_bytes >= most:
            return
        memory_bytes = min(2 * memory_bytes, most)
        yield memory_bytes


def _tries(setting: Any) -> int:
    if setting is None or isinstance(setting, bool):
        return _STUCK_TRIES if setting else 0
    if not isinstance(setting, int) or setting < 0:
        raise _wrong(STUCK, "true, false or a number of tries")
    return setting


def _wrong(name: str, wanted: str) -> InvalidError:
    return InvalidError(f"The workspace's setting `{name}` is not {wanted}.", "Correct it in headrace.yml.", field=name)
