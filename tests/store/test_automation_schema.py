"""
The published schema of Intuned.json, against what the server reads.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from headrace.core.errors import DefinitionError
from headrace.store.automation_projects import _Settings, jsonc, read_automation_project

SCHEMA = json.loads((resources.files("headrace.store") / "schemas" / "intuned.schema.json").read_text())
TEMPLATE = resources.files("headrace.cli") / "templates/automation/automations/demo/Intuned.json"


def keys_of(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """
    Give the keys of an object's schema, and those of the objects in it.
    """
    for each in (node, *node.get("anyOf", ())):
        node = definitions[each["$ref"].rsplit("/", 1)[1]] if "$ref" in each else node
    return {name: keys_of(each, definitions) for name, each in node.get("properties", {}).items()}


def test_it_names_every_key_that_is_read_and_no_other() -> None:
    read = msgspec.json.schema(_Settings)

    assert keys_of(SCHEMA, {}) == keys_of(read, read["$defs"])


@pytest.mark.parametrize(
    ("settings", "right"),
    [
        ({}, True),
        ({"region": "eu", "metadata": {"tags": []}}, True),
        ({"projectName": "demo-1", "replication": {"maxConcurrentRequests": 3}, "browser": False}, True),
        ({"projectName": "Demo"}, False),
        ({"replication": {"maxConcurrentRequests": "3"}}, False),
        ({"replication": {"maxConcurrentRequests": -1}}, False),
        ({"authSessions": {"enabled": True, "type": "OTHER"}}, False),
        ({"browserSize": {"width": 100}}, False),
        ({"headful": "yes"}, False),
    ],
)
def test_it_agrees_with_the_server(settings: Any, right: bool, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "Intuned.json").write_text(json.dumps(settings))

    def reads() -> bool:
        try:
            read_automation_project(folder)
        except DefinitionError:
            return False
        return True

    assert Draft202012Validator(SCHEMA).is_valid(settings) is right
    assert reads() is right


def test_the_projects_that_init_writes_fit() -> None:
    Draft202012Validator.check_schema(SCHEMA)

    assert Draft202012Validator(SCHEMA).is_valid(jsonc(TEMPLATE.read_text()))


FORMS = {
    "Intuned.json": '{"projectName": "shop", // a comment\n"browserSize": {"width": 800, "height": 600,},}',
    "Intuned.jsonc": '/* a comment */ {"projectName": "shop", "browserSize": {"width": 800, "height": 600}}',
    "Intuned.yaml": "projectName: shop\nbrowserSize: {width: 800, height: 600}\n",
    "Intuned.yml": "projectName: shop\nbrowserSize:\n  width: 800\n  height: 600\n",
    "Intuned.toml": 'projectName = "shop"\n[browserSize]\nwidth = 800\nheight = 600\n',
}


@pytest.mark.parametrize("name", FORMS)
def test_settings_are_read_from_every_form_and_the_first_one_holds(name: str, tmp_path: Path) -> None:
    """
    JSON may have comments and trailing commas; of several files the first in the documented order is read.
    """
    (tmp_path / name).write_text(FORMS[name])
    for later in list(FORMS)[list(FORMS).index(name) + 1 :]:
        (tmp_path / later).write_text("not read")

    project = read_automation_project(tmp_path)

    assert (project.name, project.options["browser_size"]) == ("shop", {"width": 800, "height": 600})


def test_every_setting_says_what_it_is_documented_to_say(tmp_path: Path) -> None:
    """
    The older names count where today's are not given; what only the vendor's platform uses is passed over.
    """
    folder = tmp_path / "shop"
    folder.mkdir()
    sink = {"type": "webhook", "url": "https://hooks.test/"}
    whole = {
        "workspaceId": "demo", "projectName": "my-shop", "version": "2.0", "region": "x", "stealthMode": {"enabled": True},
        "captchaSolver": {}, "metadata": {"tags": []}, "replication": {"maxConcurrentRequests": 5, "size": "large"},
        "apiAccess": {"enabled": False}, "headful": True, "browser": False, "browserSize": {"width": 200, "height": 2160},
        "authSessions": {"enabled": True, "type": "MANUAL", "saveTraces": True, "startUrl": "https://shop.test/"},
        "proxy": {"dev": "http://127.0.0.1:1", "deployed": "http://127.0.0.1:3128"},
        "defaults": {"sink": {"dev": {}, "deployed": sink}, "retry": {"maximumAttempts": 7}, "requestTimeout": 33},
    }  # fmt: skip
    (folder / "Intuned.json").write_text(json.dumps(whole))
    found = read_automation_project(folder)
    (folder / "Intuned.json").write_text('{"replication": {"maxCount": 3}}')
    bare = read_automation_project(folder)

    assert (found.workspace, found.name, found.max_concurrent, found.api_access) == ("demo", "my-shop", 5, False)
    assert (found.auth_sessions, found.recorded_sessions) == (True, True)
    assert (found.proxy, found.sink) == ("http://127.0.0.1:3128", sink)
    assert (found.max_attempts, found.timeout_seconds) == (7, 33)
    said = {name: found.options[name] for name in ("browser", "headful", "browser_size", "save_session_traces")}
    assert said == {
        "browser": False,
        "headful": True,
        "browser_size": {"width": 200, "height": 2160},
        "save_session_traces": True,
    }
    assert (bare.name, bare.max_concurrent, bare.api_access, bare.auth_sessions) == ("shop", 3, True, False)
    assert bare.options["browser_size"] == {"width": 1024, "height": 800}
