"""
What the documentation says exists, exists.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headrace.core.event import EventKind
from headrace.core.state import JobState

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """
    Links to files of the repository name files that are there.
    """
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
    local = [target for target in targets if "://" not in target and not target.startswith("/")]

    assert [target for target in local if not (page.parent / target).exists()] == []


def test_every_promise_names_tests_that_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+(?:\.py)?/?)`", (ROOT / "README.md").read_text("utf-8"))

    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_state_is_explained() -> None:
    page = (ROOT / "docs/explanation/job-lifecycle.md").read_text("utf-8")

    assert [state for state in JobState if f"`{state}`" not in page] == []


def test_every_event_is_explained() -> None:
    page = (ROOT / "docs/explanation/job-lifecycle.md").read_text("utf-8")

    assert [kind for kind in EventKind if f"`{kind}`" not in page] == []
