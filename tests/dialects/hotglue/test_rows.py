"""
Every row of what hotglue documents has a test that names it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from hotglue_rows import NAMES

TESTS = Path(__file__).parents[2]


def proofs() -> Iterator[tuple[str, str]]:
    """
    Give each row that a test is marked with, and where: the decorators of tests, and the parameters in them.
    """
    for file in sorted(TESTS.rglob("test_*.py")):
        text = file.read_text("utf-8")
        for node in ast.walk(ast.parse(text)) if "from hotglue_rows import" in text else ():
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                place = f"{file.relative_to(TESTS)}::{node.name}"
                yield from ((name, place) for decorator in node.decorator_list for name in _rows_in(decorator))


def _rows_in(decorator: ast.expr) -> Iterator[str]:
    for node in ast.walk(decorator):
        match node:
            case ast.Call(func=ast.Name(id="row"), args=names):
                yield from (ast.literal_eval(name) for name in names)
            case ast.Call(func=ast.Name(id="case"), args=[name, *_]):
                yield ast.literal_eval(name)


def test_no_row_is_without_a_test() -> None:
    proved = {name for name, _ in proofs()}

    assert [name for name in NAMES if name not in proved] == []


def test_no_test_names_a_row_that_is_none() -> None:
    assert [(name, place) for name, place in proofs() if name not in NAMES] == []
