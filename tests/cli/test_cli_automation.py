"""
`headrace automation` on the project that `headrace init --automation` writes.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stand_in import headrace

from headrace.cli.init import write_project
from headrace.store.automation_projects import project_folders, read_automation_project
from headrace.store.project import load_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("automation") / "project"
    write_project(folder, "automation")
    return folder


def test_the_project_loads_without_a_problem(project: Path) -> None:
    """
    It has workspace demo, and an automation project of the same name with three functions.
    """
    result = load_project(project, {}, home=project / "home")
    (folder,) = project_folders(project)
    automations = read_automation_project(folder)

    assert result.problems == []
    assert [workspace.name for workspace in result.project.workspaces] == ["demo"]
    assert (automations.name, automations.apis) == ("demo", ("list-books", "read-book", "read-book-page"))
    assert list(automations.jobs) == ["demo-batch"]


async def test_a_function_is_called_without_a_server(project: Path) -> None:
    """
    The result goes to standard output, what it printed and asked for to standard error.
    """
    said = await headrace("automation", "run", "list-books", folder=project)

    assert (said.code, json.loads(said.out)) == (0, {"books": 3})
    assert "3 books on the shelf" in said.err
    assert 'Asks for read-book {"path":"books/1.html"}' in said.err


async def test_a_function_is_called_with_a_session(tmp_path: Path) -> None:
    """
    `login` keeps it in the project, for its owner alone; `run` finds it.
    """
    for path, text in {
        "Intuned.json": '{"projectName": "shop", "authSessions": {"enabled": true}}',
        "auth-sessions/create.py": "import uuid\nasync def create(params): return {'token': params['user'] + uuid.uuid4().hex}\n",
        "auth-sessions/check.py": "async def check(page): return True\n",
        "api/who.py": "from headrace_automation import get_auth_session_state\n"
        "async def automation(page, params): return await get_auth_session_state()\n",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)

    missing = await headrace("automation", "run", "who", "--session", "ada", folder=tmp_path)
    made = await headrace("automation", "login", "ada", "-p", '{"user": "user-of-ada"}', folder=tmp_path)
    said = await headrace("automation", "run", "who", "--session", "ada", folder=tmp_path)
    bare = await headrace("automation", "run", "who", folder=tmp_path)

    kept = tmp_path / "auth-sessions-instances" / "ada" / "auth-session.json"
    assert (missing.code, made.code, made.out.strip()) == (2, 0, "ada")
    assert (said.code, json.loads(said.out)) == (0, json.loads(kept.read_text()))
    assert kept.stat().st_mode & 0o777 == 0o600
    assert bare.code == 1


async def test_the_samples_are_called(project: Path) -> None:
    """
    One line each, and JSON for programs.
    """
    said = await headrace("automation", "test", "--json", folder=project)

    assert said.code == 0
    assert [(one["api"], one["sample"], one["error"]) for one in json.loads(said.out)] == [
        ("list-books", "default", None),
        ("read-book", "default", None),
    ]


async def test_a_call_that_fails_ends_with_1_and_the_reason(project: Path) -> None:
    said = await headrace("automation", "run", "read-book", "-p", '{"path": "index.html"}', folder=project)

    assert (said.code, said.out) == (1, "")
    assert said.err.endswith("Failed: NonRetryableError: index.html is not the page of a book.\n")
    assert "asyncio" not in said.err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("run", "list-books", "-p", "[1]"), "The parameters cannot be read"),
        (("test", "none"), "no function none"),
        (("run", "list-books", "--project-folder", "automations/demo/api"), "no automation project"),
    ],
)
async def test_wrong_usage_is_told_with_the_next_move(project: Path, arguments: tuple[str, ...], part: str) -> None:
    said = await headrace("automation", *arguments, folder=project)

    assert said.code == 2
    assert part in said.err
    assert len(said.err.strip().splitlines()) == 2
