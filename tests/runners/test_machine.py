"""
How much memory the machine has for a step.
"""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from headrace.runners.machine import most_memory_bytes

TOTAL = psutil.virtual_memory().total


def test_without_control_groups_it_is_three_quarters_of_the_machine(tmp_path: Path) -> None:
    assert most_memory_bytes(groups=tmp_path / "none", mounted=tmp_path) == int(TOTAL * 0.75)


@pytest.mark.parametrize(
    ("own", "group", "file"),
    [
        ("0::/a/b\n", "a", "memory.max"),
        ("0::/a/b\n", "", "memory.max"),  # a container, which sees its own group as the root
        ("4:memory:/a/b\n1:cpu:/a\n0::/\n", "memory/a/b", "memory.limit_in_bytes"),
    ],
)
def test_a_control_group_makes_it_less(tmp_path: Path, own: str, group: str, file: str) -> None:
    """
    The tightest of the group and those above it counts; `max` is no limit.
    """
    (tmp_path / "cgroup").write_text(own)
    for each in ("", "a", "a/b", "memory/a/b"):
        (tmp_path / each).mkdir(parents=True, exist_ok=True)
        (tmp_path / each / "memory.max").write_text("max\n")
    (tmp_path / group / file).write_text("4000\n")

    assert most_memory_bytes(groups=tmp_path / "cgroup", mounted=tmp_path) == 3000
