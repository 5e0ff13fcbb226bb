"""
What people and programs send that is wrong: files, plugins, settings, output. Nothing is lost, nothing falls, no secret is printed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from matatika_mill import Mill
from meltano_kit import write_project

GOOD = "inline_script: echo 1\n"
WRONG_PIPELINES: dict[str, str | bytes] = {
    "nothing": "",
    "a comment alone": "# soon\n",
    "a list": "- inline_script\n",
    "a text": "inline_script",
    "cut in a list": "inline_script: [echo",
    "cut in quotes": "inline_script: 'echo",
    "a tab": "inline_script: echo\n\ttimeout: 1\n",
    "a key twice": "inline_script: echo 2\ninline_script: echo 3\n",
    "an unknown key": "inline_skript: echo 2\n",
    "a number for a key": "1: 2\n",
    "a word for a number": "timeout: soon\n",
    "a negative number": "max_retries: -1\n",
    "a number for a list": "data_components: 7\n",
    "a list for properties": "properties: [1]\n",
    "an unknown component": "data_components: [tap-nobody]\n",
    "an unknown plugin": "data_components: [extractors/tap-nobody]\n",
    "an unknown action": "actions: ['dbt:run']\n",
    "an unknown cause": "triggered_by: [nobody]\n",
    "itself as cause": "inline_script: echo 2\ntriggered_by: [one]\n",
    "binary": b"\x00\x01\xfe\xff",
    "UTF-16": "inline_script: echo 2\n".encode("utf-16"),
    "Latin-1": "inline_script: echo é\n".encode("latin-1"),
    "a character that YAML forbids": "inline_script: echo \x07\n",
    "deep nesting": "properties: " + "[" * 20_000,
    "laughter": "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{after}: &{after} [{', '.join([f'*{name}'] * 10)}]\n" for name, after in zip("abcdefgh", "bcdefghi", strict=True)
    ),
}  # fmt: skip
SCHEDULES_OF_OTHERS = (
    "@reboot", "@every 5m", "rate(5 minutes)", "cron(0 12 * * ? *)", "0 0 12 * * ? 2027", "H H * * *",
    "61 * * * *", "* * * *", "every 5 minutes", "R/PT5M", "0 0 0 30 2 ?", "0 0 0 * * MON;ls", "~ * * * *",
)  # fmt: skip


async def _scripts(mill: Mill) -> dict[str, str | None]:
    found = (await mill.client.get(f"{mill.workspace}/pipelines", params={"size": 500})).json()
    return {each["name"]: each.get("script") for each in found.get("_embedded", {}).get("pipelines", [])}


def _write(file: Path, content: str | bytes) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)


async def _stays(mill: Mill, content: str | bytes) -> None:
    """
    Put a wrong file in a good one's place: it is told by its name, the good version holds, its neighbour too, a correction counts.
    """
    before = await _scripts(mill)
    for name in ("one", "two"):
        _write(mill.project / "pipelines" / f"{name}.yml", GOOD)
    await mill.deployments.apply(mill.house.workspace)

    _write(mill.project / "pipelines" / "one.yml", content)
    wrong = await mill.deployments.apply(mill.house.workspace)
    held = await _scripts(mill)
    _write(mill.project / "pipelines" / "one.yml", "inline_script: echo corrected\n")
    right = await mill.deployments.apply(mill.house.workspace)
    corrected = await _scripts(mill)
    for name in ("one", "two"):
        (mill.project / "pipelines" / f"{name}.yml").unlink()
    await mill.deployments.apply(mill.house.workspace)

    assert held == {**before, "one": "echo 1", "two": "echo 1"}
    assert len(wrong.problems) == 1
    assert "one" in str(wrong.problems[0])
    assert right.problems == ()
    assert corrected == {**before, "one": "echo corrected", "two": "echo 1"}
    assert await _scripts(mill) == before


@pytest.mark.parametrize("name", WRONG_PIPELINES)
async def test_a_wrong_pipeline_file_leaves_the_good_one_in_force(shared_mill: Mill, name: str) -> None:
    await _stays(shared_mill, WRONG_PIPELINES[name])


@pytest.mark.parametrize("schedule", SCHEDULES_OF_OTHERS)
async def test_a_schedule_that_others_understand_is_refused_in_a_file(shared_mill: Mill, schedule: str) -> None:
    """
    Of other schedulers, of other crons, and days that never come.
    """
    await _stays(shared_mill, f"inline_script: echo 2\nschedule: {json.dumps(schedule)}\n")


async def test_a_file_that_is_written_slowly_stops_nothing(mill: Mill) -> None:
    """
    At whatever byte the reader comes by, the pipeline is there and the wire answers; whole, the file counts.
    """
    text = "version: pipelines/v0.1\nlabel: 'a, b'\nschedule: 0 0 6 * * MON\nproperties: {a.b: \"c\"}\ninline_script: |\n  echo é\n"
    file = mill.project / "pipelines" / "one.yml"
    (mill.project / "meltano.yml").write_text("default_environment: dev\n")
    _write(file, GOOD)
    await mill.deployments.apply(mill.house.workspace)

    for end in range(len(text.encode())):
        _write(file, text.encode()[:end])
        await mill.deployments.tick()
        assert set(await _scripts(mill)) == {"one"}, end
    _write(file, text)
    await mill.deployments.tick()

    assert await _scripts(mill) == {"one": "echo é\n"}


async def test_what_is_no_file_is_no_definition(mill: Mill, tmp_path: Path) -> None:
    """
    A folder of a file's name, a link that leads nowhere, a link out of the project.
    """
    write_project(mill.project)
    pipelines = mill.project / "pipelines"
    _write(pipelines / "one.yml", GOOD)
    (pipelines / "folder.yml").mkdir()
    (pipelines / "nowhere.yml").symlink_to(tmp_path / "gone.yml")
    (tmp_path / "outside.txt").write_text("inline_script: echo outside\n")
    (pipelines / "outside.yml").symlink_to(tmp_path / "outside.txt")

    await mill.deployments.tick()

    assert await _scripts(mill) == {"one": "echo 1"}


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("schedules", [{"name": "bad", "interval": "@daily", "extractor": "tap-nobody", "loader": "target-jsonl"}]),
        ("schedules", [{"name": "bad", "interval": "whenever", "extractor": "tap-jsonl", "loader": "target-jsonl"}]),
        ("schedules", [{"name": "bad", "interval": "@daily", "job": "no-such-job"}]),
        ("jobs", [{"name": "bad", "tasks": ["tap-nobody target-jsonl"]}]),
    ],
)
async def test_a_wrong_entry_of_meltano_yml_costs_itself_alone(
    mill: Mill, section: str, value: list[dict[str, Any]]
) -> None:
    """
    An unknown plugin or job, an interval that is none: told, and its neighbour counts.
    """
    write_project(mill.project)
    document = json.loads((mill.project / "meltano.yml").read_text())
    good = {"jobs": [{"name": "good", "tasks": ["tap-jsonl target-jsonl"]}]}
    document |= {**good, section: [*good.get(section, []), *value]}
    (mill.project / "meltano.yml").write_text(json.dumps(document))

    definitions = await mill.deployments.apply(mill.house.workspace)

    assert set(await _scripts(mill)) == {"good"}
    assert len(definitions.problems) == 1
    assert "bad" in str(definitions.problems[0])


async def test_a_secret_is_seen_by_nobody_who_may_not(mill: Mill) -> None:
    """
    A script prints every secret it has and fails with one on its lips: not in its log, its cause, notifications, files, members' views.
    """
    secrets = {
        "api_token": "t0k-by-its-name",
        "plain_looking": "t0k-by-its-plugin",
        "dsn": "postgres://u:t0k-in-an-address@db/x",
    }
    settings = [{"name": "plain_looking", "sensitive": True}, {"name": "dsn"}, {"name": "api_token"}]
    plugin = {
        "pluginType": "extractors",
        "name": "tap-x",
        "namespace": "tap_x",
        "pipUrl": "tap-x",
        "settings": settings,
    }
    (mill.project / "meltano.yml").write_text("default_environment: dev\n")
    (mill.project / ".env").write_text("WAREHOUSE_PASSWORD=t0k-of-the-env-file\n")
    await mill.client.put(f"{mill.workspace}/dataplugins/{uuid4()}", json=plugin)
    script = 'env; env | tr a-z A-Z > /dev/null; echo "{\\"token\\": \\"$TAP_X_API_TOKEN\\"}"; echo "ERROR no access with $TAP_X_PLAIN_LOOKING" >&2; exit 1'
    pipeline = await mill.pipeline(
        "leaky",
        script=script,
        dataComponents=["extractors/tap-x"],
        properties={f"tap-x.{name}": value for name, value in secrets.items()},
    )
    await mill.house.access.ensure_key("viewer-key", name="viewer", role="viewer", workspace_id=mill.house.workspace.id)
    async with mill.client_with("viewer-key") as viewer:
        await viewer.post(f"pipelines/{pipeline}/subscriptions")
        job = await mill.run(pipeline)
        await mill.follow_ups.tick()
        seen = {
            path: (await viewer.get(path, headers=headers)).text
            for path, headers in {
                f"jobs/{job['id']}/logs": {},
                f"jobs/{job['id']}/logs?sequence=0": {"accept": "application/x-ndjson"},
                f"jobs/{job['id']}": {"enable-task-details": "true"},
                f"{mill.workspace}/jobs": {"enable-task-details": "true"},
                f"pipelines/{pipeline}": {}, f"{mill.workspace}/pipelines": {}, f"pipelines/{pipeline}/environment": {},
                f"{mill.workspace}/datacomponents": {}, f"{mill.workspace}/dataplugins": {}, "notifications": {},
                f"{mill.workspace}/project-files": {},
            }.items()
        }  # fmt: skip
    seen["files of an administrator"] = (await mill.client.get(f"{mill.workspace}/project-files")).text
    kept = [file for file in Path(mill.house.files.folder("logs")).rglob("*") if file.is_file()]

    assert (job["status"], job["exitCode"]) == ("ERROR", 1)
    assert "no access with ***" in seen[f"jobs/{job['id']}/logs"]
    assert "no access with ***" in json.loads(seen[f"jobs/{job['id']}"])["errorMessage"]
    assert "no access with ***" in seen["notifications"]
    assert [path for path, text in seen.items() if "t0k-" in text] == []
    assert [file for file in kept if b"t0k-" in file.read_bytes()] == []


async def test_output_that_is_no_text_is_a_log_all_the_same(mill: Mill) -> None:
    """
    NUL, invalid UTF-8, escapes of a terminal, half a line at the end: each line is there, in both forms, as valid text.
    """
    script = r"printf 'a\0b\nc\377\376d\n\033[31mred\033[0m\n\r\n\xe2\x28\xa1\nlast'"
    job = await mill.run(await mill.pipeline(script=script))
    text = await mill.logs(job["id"])
    answer = await mill.client.get(f"jobs/{job['id']}/logs", headers={"accept": "application/x-ndjson"})

    lines = [json.loads(line)["message"] for line in answer.text.splitlines()]
    assert text.endswith("last\n")
    assert "".join(f"{line}\n" for line in lines) == text
    assert len(lines) == 6
    assert "red" in lines[2]


NO_PIPELINES = (
    b"null", b"[]", b"{", b"\xff", b'{"label": 1}', b'{"label": ["x"]}', b'{"label": "x", "timeout": 1e99}',
    b'{"label": "x", "timeout": 1.5}', b'{"label": "x", "maxRetries": true}', b'{"label": "x", "timeout": 99999999999}',
    b'{"label": "\\ud800"}', b'{"label": "' + b"x" * 70_000 + b'"}', b"[" * 50_000, b"",
)  # fmt: skip


@pytest.mark.parametrize("body", NO_PIPELINES, ids=lambda body: body[:24].decode(errors="replace") or "nothing")
async def test_a_wrong_body_is_the_callers_to_mend(shared_mill: Mill, body: bytes) -> None:
    """
    400 in the documented shape on every call that takes a pipeline; an accident never, and nothing is made.
    """
    before = await _scripts(shared_mill)
    for method, path in (("PUT", uuid4()), ("PUT", f"{uuid4()}/draft"), ("POST", "validation")):
        answer = await shared_mill.client.request(method, f"{shared_mill.workspace}/pipelines/{path}", content=body)

        assert answer.status_code == 400, answer.text
        assert list(answer.json()) == ["timestamp", "status", "error", "message", "errors", "path"]
    assert await _scripts(shared_mill) == before
