"""
No row of what Matatika documents is without a test, no path of the wire without a row, and what is not served is told.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from matatika_mill import Mill
from matatika_rows import ABSENT, NAMES, OURS, ROUTES

from headrace.dialects.matatika.routes import matatika_wire

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "reference" / "matatika.md"


def routes_of(mill: Mill) -> list[tuple[str, str]]:
    """
    List the wire's paths as method and template, below its base address.
    """
    router = matatika_wire(mill.desk, mill.deployments, new_id=uuid4).app._app  # type: ignore[attr-defined]  # below the slashes
    found = [route for mount in router.routes for route in mount.app.routes]
    return [(method, route.path) for route in found for method in sorted(route.methods - {"HEAD"})]


def _marks(test: Any) -> Iterator[Any]:
    for mark in getattr(test, "pytestmark", []):
        yield mark
        if mark.name == "parametrize":
            for parameter in mark.args[1]:
                yield from getattr(parameter, "marks", ())


def proven() -> set[str]:
    """
    Collect the rows that the tests beside this one are marked with.
    """
    modules = [importlib.import_module(file.stem) for file in sorted(HERE.glob("test_*.py"))]
    tests = [test for module in modules for name, test in vars(module).items() if name.startswith("test_")]
    return {name for test in tests for mark in _marks(test) if mark.name == "row" for name in mark.args}


def test_every_row_has_its_test() -> None:
    """
    A row that nobody marks is a promise that nobody checks; a mark that names no row is a slip.
    """
    assert [name for name in NAMES if name not in proven() and name not in ABSENT] == []
    assert sorted(proven() - set(NAMES)) == []
    assert sorted(proven() & set(ABSENT)) == []


async def test_every_path_has_its_row(shared_mill: Mill) -> None:
    """
    A path of the wire that no row documents fails here: add it to ROUTES of tests/matatika_rows.py, and its row's test.
    """
    served = {f"{method} {path}" for method, path in routes_of(shared_mill)}

    assert sorted(served - set(ROUTES) - OURS) == []
    assert sorted((set(ROUTES) | OURS) - served) == []
    assert sorted({name for name in ROUTES.values() if name not in NAMES}) == []


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_absent_is_told(name: str) -> None:
    """
    Each row that is not served has its line under "Absent, and why".
    """
    told = PAGE.read_text("utf-8").partition("## Absent, and why")[2]

    assert name in NAMES
    assert ABSENT[name] in told


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "profiles/me/working-account/6f0f6c4e-5f0e-4f3f-9c0b-2f1f1b1a0001"),
        ("GET", "{workspace}/tags"),
        ("POST", "{workspace}/invitations"),
    ],
)
async def test_absent_paths_answer_404_in_the_documented_shape(shared_mill: Mill, method: str, path: str) -> None:
    """
    Section 2.6: an unknown path is a 404 with the error's body, never a redirect or a page.
    """
    answer = await shared_mill.client.request(method, path.format(workspace=shared_mill.workspace))

    assert answer.status_code in (404, 405), answer.text
    assert list(answer.json()) == ["timestamp", "status", "error", "message", "errors", "path"]
