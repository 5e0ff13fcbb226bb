"""
What is read off a project and its functions before anything is started.
"""

from __future__ import annotations

import importlib
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

from headrace.core.errors import DefinitionError
from headrace.runners.automation_project import lend, requirements_of, runtime_folder, take_back


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(runtime_folder()))
    return importlib.import_module("headrace_automation.functions")


@pytest.fixture
def browser(functions: ModuleType) -> ModuleType:
    return importlib.import_module("headrace_automation.browser")


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("async def f(page, params): return params", False),
        ("async def f(page, params=None, **_): return {'page': params['page']}", False),
        ("async def f(_page, params): return None", False),
        ("async def f(params): return params", False),
        ("async def f(): return 1", False),
        ("async def f(page, params): await page.goto('x')", True),
        ("async def f(page): return help_me(page)", True),
        ("async def f(p, params): return p", True),
        ("async def f(page, params):\n    async def inner(): return page.url\n    return await inner()", True),
        ("async def f(page, params): return [page.url for _ in params]", True),
        ("async def f(page, params): return locals()", True),
        ("async def f(*args): return args[0]", True),
        ("async def f(page, params, context, **_): return params", False),
        ("async def f(page, params, context, **_): return context", True),
        ("async def f(params, *, context=None): return context", True),
        ("import functools\ndef d(g):\n    @functools.wraps(g)\n    async def w(*a): return await g(*a)\n    return w\n@d\nasync def f(page, params): return 1", True),
        ("from headrace_automation import deferred_browser\n@deferred_browser\nasync def f(page, params): return page", False),
    ],
)  # fmt: skip
def test_a_browser_is_for_functions_that_could_read_their_page(functions: ModuleType, text: str, uses: bool) -> None:
    """
    In doubt one is started.
    """
    names: dict[str, object] = {}
    exec(text, names)  # noqa: S102 - the functions of this test

    assert functions.uses_page(names["f"]) is uses


class Page:
    context = "the context"


PAGE = Page()


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("async def f(page, params, context, **_): return page, params, context", (PAGE, {"n": 1}, "the context")),
        ("async def f(page, params, *, context=None): return page, params, context", (PAGE, {"n": 1}, "the context")),
        ("async def f(page, context): return page, context", (PAGE, "the context")),
        ("async def f(params, context): return params, context", ({"n": 1}, "the context")),
        ("async def f(context): return context", "the context"),
        ("async def f(page, params=None, more=5, **_): return page, params, more", (PAGE, {"n": 1}, 5)),
        ("async def f(page, *rest, **named): return page, rest, named", (PAGE, ({"n": 1},), {})),
        ("async def f(): return 1", 1),
        ("import functools\ndef d(g):\n    @functools.wraps(g)\n    async def w(*a, **n): return await g(7, *a, **n)\n    return w\n@d\nasync def f(seven, page, params): return seven, page, params", (7, PAGE, {"n": 1})),
        ("import functools\ndef d(g):\n    @functools.wraps(g)\n    async def w(page, params): return await g(page, params, None)\n    return w\n@d\nasync def f(page, params, context): return page, params, context", (PAGE, {"n": 1}, None)),
    ],
)  # fmt: skip
async def test_a_function_is_called_as_it_is_written(functions: ModuleType, text: str, given: object) -> None:
    """
    The page, then the parameters; the page's context where it asks for one by name, whatever decorators stand before it.
    """
    names: dict[str, object] = {}
    exec(text, names)  # noqa: S102 - the functions of this test

    assert await functions.call(names["f"], PAGE, {"n": 1}) == given


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        (None, None),
        ("http://proxy:3128", {"server": "http://proxy:3128"}),
        ("http://ada:p%40ss@proxy:1", {"server": "http://proxy:1", "username": "ada", "password": "p@ss"}),
        ("socks5://[::1]:9", {"server": "socks5://[::1]:9"}),
    ],
)
def test_a_proxys_password_is_taken_out_of_its_url(browser: ModuleType, url: str | None, parts: object) -> None:
    assert browser.proxy_of(url) == parts


@pytest.mark.parametrize(
    ("files", "lines", "python"),
    [
        ({}, (), None),
        ({"requirements.txt": "httpx\n\n# note\nintuned-runtime==1\nIntuned_Runtime[x]\n"}, ("httpx", "# note"), None),
        ({"pyproject.toml": '[project]\ndependencies = ["httpx>=0.2", "runtime_helpers"]\nrequires-python = ">=3.11"'}, ("httpx>=0.2",), ">=3.11"),
        ({"pyproject.toml": "[tool.x]\n", "requirements.txt": "a"}, ("a",), None),
    ],
)  # fmt: skip
def test_requirements_come_from_either_file_without_the_vendors_runtime(
    tmp_path: Path, files: dict[str, str], lines: tuple[str, ...], python: str | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    found = requirements_of(tmp_path)

    assert (found.lines, found.python) == (lines, python)


def test_a_pyproject_that_cannot_be_read_is_the_developers_mistake(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project\n")

    with pytest.raises(DefinitionError, match=r"pyproject\.toml"):
        requirements_of(tmp_path)


def test_a_folder_that_a_dead_worker_left_is_lent_again(tmp_path: Path) -> None:
    """
    Old links go, what the function wrote stays.
    """
    project, root = tmp_path / "project-files", tmp_path / "item"
    project.mkdir()
    (project / "data.txt").write_text("data")
    root.mkdir()
    first = lend(project, root)
    (first / "made.txt").write_text("made")
    (project / "data.txt").rename(project / "renamed.txt")

    again = lend(project, root)

    assert sorted(path.name for path in again.iterdir()) == ["made.txt", "renamed.txt"]
    take_back(root)
    assert [path.name for path in again.iterdir()] == ["made.txt"]


AWARE = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "value", "plain"),
    [
        ("site", "x" * 255, "x" * 255),
        ("count", 7, 7),
        ("share", 0.5, 0.5),
        ("found", True, True),
        ("at", AWARE, "2026-03-01T12:00:00+00:00"),
        ("tags", ["a"] * 20, ["a"] * 20),
        ("A" * 64, "", ""),
        ("A" * 65, "", None),
        ("1st", "", None),
        ("with-dash", "", None),
        ("site", "x" * 256, None),
        ("share", float("nan"), None),
        ("at", AWARE.replace(tzinfo=None), None),
        ("tags", ["a"] * 21, None),
        ("tags", [1], None),
        ("nested", {"a": 1}, None),
        ("nothing", None, None),
    ],
)
def test_attributes_are_what_intuned_allows(functions: ModuleType, key: str, value: object, plain: object) -> None:
    """
    Everything else is refused when it is set, not when the call reports it.
    """
    check = importlib.import_module("headrace_automation.attributes").check_attribute
    if plain is None:
        with pytest.raises(ValueError, match=r"attribute|not allowed"):
            check({}, key, value)
        return

    assert check({}, key, value) == plain


def test_a_call_has_at_most_64_attributes_and_16_kib_of_them(functions: ModuleType) -> None:
    check = importlib.import_module("headrace_automation.attributes").check_attribute
    many = {f"k{number}": 1 for number in range(64)}
    large = {f"k{number}": "x" * 255 for number in range(62)}

    assert check(many, "k0", 2) == 2
    for known in (many, large):
        with pytest.raises(ValueError, match="Too many attributes"):
            check(known, "one_more", "x" * 255)
