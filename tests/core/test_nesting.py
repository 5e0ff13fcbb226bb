"""
The depth of a JSON text.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.core.nesting import too_deep


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize(("levels", "deep"), [(500, False), (501, True)])
def test_levels_are_counted(levels: int, deep: bool) -> None:
    assert too_deep(json.dumps(nested(levels)).encode()) is deep


def test_brackets_in_texts_and_beside_each_other_are_no_levels() -> None:
    beside = [{"[" * 400: '{"\\' * 400}, *[[] for _ in range(600)], "\\", '"[']

    assert not too_deep(json.dumps(beside).encode())
    assert too_deep(json.dumps([beside, nested(500)]).encode())
