"""
How commands find the server, and start fast.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from stand_in import KEY, ROOT, StandIn, headrace

from headrace.cli.failures import NoServerError
from headrace.cli.remote import DEFAULT_URL, Address, find_address


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / ".headrace"
    home.mkdir()
    (home / "server.json").write_text(json.dumps({"url": "http://127.0.0.1:9999", "pid": 1}))
    (home / "admin.key").write_text("hr_local\n")
    return home


def test_a_home_says_where_its_server_is_and_how_to_ask(home: Path) -> None:
    """
    `headrace up` leaves word, so that nothing needs to be typed.
    """
    assert find_address(None, None, home) == Address("http://127.0.0.1:9999", "hr_local")


def test_a_home_is_found_from_a_folder_below(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Commands work anywhere in the project, as git does.
    """
    below = home.parent / "flows" / "flights"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)

    assert find_address(None, None, None).key == "hr_local"


def test_the_local_key_is_not_sent_elsewhere(home: Path) -> None:
    """
    Only the home's own server is asked with the home's key.
    """
    assert find_address("https://elsewhere.example", None, home).key == ""
    assert find_address("http://127.0.0.1:9999/", None, home).key == "hr_local"
    assert find_address(None, "mine", home).key == "mine"


def test_without_word_the_usual_address_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A home that was named must know better.
    """
    monkeypatch.chdir(tmp_path)

    assert find_address(None, None, None) == Address(DEFAULT_URL, "")
    with pytest.raises(NoServerError, match="headrace up --home"):
        find_address(None, None, tmp_path / "data")


@pytest.mark.parametrize("url", ["localhost:8450", "ftp://x"])
def test_an_address_must_be_a_url(url: str, tmp_path: Path) -> None:
    """
    A slip is told before anything is connected.
    """
    with pytest.raises(NoServerError):
        find_address(url, None, tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_broken_word_counts_as_none(home: Path, text: str) -> None:
    """
    A half-written file is no reason for a trace.
    """
    (home / "server.json").write_text(text)

    with pytest.raises(NoServerError):
        find_address(None, None, home)


async def test_a_command_works_by_what_the_home_says(server: StandIn, home: Path) -> None:
    """
    No variable, no option: the folder is enough.
    """
    (home / "server.json").write_text(json.dumps({"url": server.url, "pid": 1}))
    (home / "admin.key").write_text(KEY)

    said = await headrace("flows", folder=home.parent)

    assert (said.code, said.out) == (0, "flights\n")


def test_help_imports_nothing_heavy() -> None:
    """
    Help and completion come at once: what a command needs is imported when it runs.
    """
    script = """
import sys
from headrace.cli import main
heavy = {"aiohttp", "rich", "pydantic", "fastapi", "psycopg", "sqlalchemy", "pyarrow", "msgspec", "asyncio"}
print(sorted(heavy & set(sys.modules)))
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)

    assert told.stdout == "['asyncio']\n"
