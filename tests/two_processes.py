"""
How `pytest -n 2` shares the tests between its processes: by files, whole stories first.

A file's tests stay together, for they share its fixtures; so do the files of `TOGETHER`, which look at the same jobs or install the same
packages. Files with whole servers go first and the many small ones last, so that the processes end at about the same time.
"""

from __future__ import annotations

from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER: Final = ("tests/acceptance/hotglue/", "tests/acceptance/test_widget_")
LONGEST_FIRST: Final = (
    "tests/acceptance/",
    "tests/dialects/",
    "tests/cli/",
    "tests/runners/",
    "tests/engine/",
    "tests/",
)


def turn_of(item: pytest.Item) -> int:
    """
    Say when an item's folder has its turn, from 0 on.
    """
    return next(turn for turn, folder in enumerate(LONGEST_FIRST) if item.nodeid.startswith(folder))


class Shares(LoadScopeScheduling):  # type: ignore[misc]  # xdist comes without types
    """
    Hands out whole files, or all of a name in `TOGETHER`, in the order in which they were collected.
    """

    def __init__(self, config: pytest.Config, log: Any) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((names for names in TOGETHER if file.startswith(names)), file)
