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
