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
    `login` keeps it in the project, for its owner alone; `run` finds it, and refuses to do without as a server does.
    """
    for path, text in {
        "Intuned.json": '{"projectName": "shop", "authSessions": {"enabled": true}}',
        "auth-sessions/create.py": "import uuid\nasync def create(params): return {'token': params['user'] + uuid.uuid4().hex}\n",
        "auth-sessions/check.py": "async def check(page): return True\n",
        ".parameters/auth-sessions/create/default.json": '{"user": "user-of-ada"}',
        "api/who.py": "from headrace_automation import get_auth_session_state\n"
        "async def automation(page, params): return await get_auth_session_state()\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    missing = await headrace("automation", "run", "who", "--session", "ada", folder=tmp_path)
    made = await headrace("automation", "login", "ada", folder=tmp_path)
    said = await headrace("automation", "run", "who", "--session", "ada", folder=tmp_path)
    bare = await headrace("automation", "run", "who", folder=tmp_path)

    kept = tmp_path / "auth-sessions-instances" / "ada" / "auth-session.json"
    assert (missing.code, made.code, made.out.strip()) == (2, 0, "ada")
    assert (said.code, json.loads(said.out)) == (0, json.loads(kept.read_text()))
    assert kept.stat().st_mode & 0o777 == 0o600
    assert (bare.code, "--session ID" in bare.err) == (2, True)


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


async def test_a_function_is_found_by_its_file_too(project: Path) -> None:
    """
    As a shell completes it.
    """
    said = await headrace("automation", "run", "api/list-books.py", folder=project)

    assert (said.code, json.loads(said.out)) == (0, {"books": 3})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"projectName": "My Shop"}', "Intuned.json: `My Shop` is not the name of a project."),
        ('{"headful": "yes"}', "Intuned.json: A setting is not as it should be: Expected `bool`, got `str` - at `$.headful`."),
        ('{"projectName": "shop", // the name\n/* of\nit */ "headful" true}', "Intuned.json: The file cannot be read: JSON is malformed: expected ':' (line 3)."),
        ('{\n"headful": true,\n', "Intuned.json: The file cannot be read: Input data was truncated (line 2)."),
    ],
)  # fmt: skip
async def test_wrong_settings_are_told_by_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "Intuned.json").write_text(text)

    found = await headrace("automation", "run", "any", folder=tmp_path)

    assert (found.code, found.err.splitlines()[0]) == (2, f"Error: {said}")


async def test_what_a_function_writes_and_fails_of_is_shown_once(tmp_path: Path) -> None:
    """
    The installer's own words are not; the variables of `.env` are there; each sample is told as it has run.
    """
    for path, text in {
        "Intuned.json": '{"projectName": "shop"}',
        ".env": "GREETING='good morning'\n",
        "api/greet.py": "import os\nasync def automation(params): return os.environ['GREETING'] + params.get('to', '')\n",
        "api/plain.py": "def automation(params): return 1\n",
        "api/other.py": "async def automation(params): return 1\n",
        ".parameters/api/greet/ada.json": '{"to": ", Ada"}',
        ".parameters/api/plain/default.json": "{}",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    greeted = await headrace("automation", "run", "greet", folder=tmp_path)
    failed = await headrace("automation", "run", "plain", folder=tmp_path)
    tested = await headrace("automation", "test", folder=tmp_path)

    refusal = "automation in api/plain.py is not an async function. Write `async def`."
    assert json.loads(greeted.out) == "good morning"
    assert greeted.err == "Installing what the project requires, once for all calls.\n"
    assert (failed.code, failed.err) == (1, f"{refusal}\n")
    lines = tested.out.splitlines()
    assert [line.split()[:3] for line in lines[:2]] == [["ok", "greet", "(ada)"], ["failed", "plain", "(default)"]]
    assert lines[2].strip() == refusal
    assert tested.err.splitlines()[-1].endswith("default.json: other")


async def test_a_call_that_fails_ends_with_1_and_the_reason(project: Path) -> None:
    said = await headrace("automation", "run", "read-book", "-p", '{"path": "index.html"}', folder=project)

    assert (said.code, said.out) == (1, "")
    assert said.err.endswith("Failed: NonRetryableError: index.html is not the page of a book.\n")
    assert "asyncio" not in said.err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("run", "list-books", "-p", "[1]"), "The parameters cannot be read"),
        (("run", "list_books"), "Did you mean list-books?"),
        (("test", "none"), "no function none"),
        (("test", "read-book-page"), "read-book-page has no sample parameters"),
        (("run", "list-books", "--project-folder", "automations/demo/api"), "no automation project"),
    ],
)
async def test_wrong_usage_is_told_with_the_next_move(project: Path, arguments: tuple[str, ...], part: str) -> None:
    said = await headrace("automation", *arguments, folder=project)

    assert said.code == 2
    assert part in said.err
    assert len(said.err.strip().splitlines()) == 2
