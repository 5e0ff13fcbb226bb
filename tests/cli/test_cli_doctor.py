"""
`headrace doctor`: each check names what is wrong and the next move, and changes nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stand_in import KEY, Said, StandIn, headrace

PROJECT = """
workspaces:
  demo: {}
"""


async def examine(folder: Path, *arguments: str, **variables: str) -> tuple[int, dict[str, Any]]:
    """
    Run it for JSON; gives the exit code and, by subject, the worst finding.
    """
    said = await headrace("doctor", "--json", *arguments, folder=folder, **{"HEADRACE_PORT": "0", **variables})
    assert "Traceback" not in said.err
    order = ("ok", "warn", "fail")
    worst: dict[str, Any] = {}
    for finding in json.loads(said.out):
        known = worst.get(finding["about"])
        if known is None or order.index(finding["level"]) > order.index(known["level"]):
            worst[finding["about"]] = finding
    return said.code, worst


async def test_a_fresh_machine_is_fine(tmp_path: Path) -> None:
    """
    Nothing fails where nothing was started yet, and looking leaves no trace.
    """
    code, found = await examine(tmp_path)

    assert code == 0
    assert [about for about, finding in found.items() if finding["level"] == "fail"] == []
    assert found["server"]["level"] == "warn"
    assert list(tmp_path.iterdir()) == []


async def test_people_see_the_next_move(tmp_path: Path) -> None:
    """
    One line for each check, the remedy below it.
    """
    said: Said = await headrace("doctor", folder=tmp_path, HEADRACE_PORT="0")

    assert "! server" in said.out
    assert "Start it with `headrace up`." in said.out


async def test_files_that_others_may_read_fail(tmp_path: Path) -> None:
    """
    Keys are for their owner alone.
    """
    home = tmp_path / ".headrace"
    home.mkdir(mode=0o700)
    (home / "secret.keys").write_text("not a key\n")
    (home / "secret.keys").chmod(0o644)

    code, found = await examine(tmp_path)

    assert code == 1
    assert "chmod 600" in found["home"]["instruction"]
    assert found["secrets"]["level"] == "fail"


async def test_a_bad_setting_is_named_without_its_value(tmp_path: Path) -> None:
    """
    The value could be a secret.
    """
    code, found = await examine(tmp_path, HEADRACE_SLOTS="hunter2")

    assert code == 1
    assert "slots" in found["settings"]["said"]
    assert "hunter2" not in json.dumps(found)


async def test_a_database_that_is_away_fails(tmp_path: Path) -> None:
    """
    Its address is not repeated: it can hold a password.
    """
    code, found = await examine(
        tmp_path, HEADRACE_DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/x?connect_timeout=1"
    )

    assert code == 1
    assert found["database"]["level"] == "fail"
    assert "hunter2" not in json.dumps(found)


async def test_a_database_of_ones_own_is_looked_at(tmp_path: Path, empty_database_url: str) -> None:
    """
    An empty one is fine.
    """
    code, found = await examine(tmp_path, HEADRACE_DATABASE_URL=empty_database_url)

    assert code == 0
    assert "empty" in found["database"]["said"]
    assert found["clock"]["level"] == "ok"


async def test_a_newer_schema_fails(tmp_path: Path, empty_database_url: str) -> None:
    """
    An old program says so before it touches a newer database.
    """
    import psycopg

    async with await psycopg.AsyncConnection.connect(empty_database_url, autocommit=True) as connection:
        await connection.execute("create table alembic_version (version_num text)")
        await connection.execute("insert into alembic_version values ('9999')")

    code, found = await examine(tmp_path, HEADRACE_DATABASE_URL=empty_database_url)

    assert code == 1
    assert "newer than this program" in found["database"]["said"]


@pytest.mark.parametrize(("content", "level"), [(PROJECT, "ok"), (PROJECT + "nonsense: {}\n", "fail")])
async def test_the_projects_mistakes_are_shown(tmp_path: Path, content: str, level: str) -> None:
    """
    As the server would find them, with file and line.
    """
    (tmp_path / "headrace.yml").write_text(content)

    code, found = await examine(tmp_path)

    assert (code == 1) == (level == "fail")
    assert found["project"]["level"] == level
    if level == "fail":
        assert "headrace.yml:" in found["project"]["said"]


async def test_a_running_server_and_its_workers_are_seen(tmp_path: Path, server: StandIn) -> None:
    """
    Ready, its clock near ours, at least one worker alive.
    """
    code, found = await examine(tmp_path, HEADRACE_URL=server.url, HEADRACE_API_KEY=KEY)

    assert code == 0
    assert (found["server"]["level"], found["worker"]["level"], found["clock"]["level"]) == ("ok", "ok", "ok")


async def test_a_port_in_use_fails(tmp_path: Path, server: StandIn) -> None:
    """
    Said before the start stumbles over it.
    """
    code, found = await examine(tmp_path, HEADRACE_PORT=server.url.rpartition(":")[2])

    assert code == 1
    assert found["port"]["level"] == "fail"


async def test_a_wrong_file_of_a_meltano_project_fails_with_its_place(tmp_path: Path) -> None:
    """
    The projects that headrace.yml names and the one beside it, each file and line by name.
    """
    (tmp_path / "headrace.yml").write_text("workspaces:\n  demo:\n  other: {settings: {meltano: elt}}\n")
    for folder in (tmp_path, tmp_path / "elt"):
        (folder / "pipelines").mkdir(parents=True)
        (folder / "meltano.yml").write_text("default_environment: dev\n")
    (tmp_path / "elt" / "pipelines" / "daily.yml").write_text("inline_script: 'true'\ntimeout: soon\n")

    code, found = await examine(tmp_path, HEADRACE_PROJECT=str(tmp_path))

    assert code == 1
    assert found["project"]["level"] == "ok"
    assert found["meltano"]["said"].endswith("elt/pipelines/daily.yml:2: timeout is not a whole number, 0 or more.")
    (tmp_path / "elt" / "pipelines" / "daily.yml").unlink()
    _, found = await examine(tmp_path, HEADRACE_PROJECT=str(tmp_path))
    assert found["meltano"]["level"] == "ok"
