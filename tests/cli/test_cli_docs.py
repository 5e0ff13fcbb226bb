"""
The pages on command line and settings name everything that there is.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from headrace.cli import failures
from headrace.cli.main import app
from headrace.deliveries import webhook
from headrace.settings import Settings

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def page(name: str) -> str:
    return (REFERENCE / name).read_text("utf-8")


def commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
    found = []
    for name, command in group.commands.items():
        inner = (
            commands(command, (*path, name)) if hasattr(command, "commands") else [(" ".join((*path, name)), command)]
        )
        found += inner
    return found


COMMANDS = commands(typer.main.get_command(app))


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_documented(name: str) -> None:
    """
    With its default, as the program has it.
    """
    row = next(line for line in page("settings.md").splitlines() if line.startswith(f"| `{name}` |"))
    default = Settings.model_fields[name].get_default(call_default_factory=True)
    written = row.split("|")[2].strip().strip("`")

    assert written == ("none" if default in (None, {}) else "empty" if default == "" else _written(default))


def _written(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return json.dumps(default)
    return str(int(default)) if isinstance(default, float) else str(default)


def test_no_setting_is_documented_that_is_none() -> None:
    """
    The page has no rows but those of settings.
    """
    rows = set(re.findall(r"^\| `([a-z_]+)` \|", page("settings.md"), re.MULTILINE))

    assert rows == set(Settings.model_fields)


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_every_command_and_option_is_documented(name: str, command: Any) -> None:
    """
    On the page or, for options that many commands share, in its first sections.
    """
    text = page("cli.md")
    options = [parameter.opts[0] for parameter in command.params if parameter.param_type_name == "option"]
    shown = [option for option in options if option not in ("--help", "--with-parent")]

    assert f"`headrace {name}" in text
    assert [option for option in shown if f"`{option}" not in text] == []


def test_every_exit_code_is_documented() -> None:
    """
    Scripts go by them.
    """
    codes = {value for name, value in vars(failures).items() if name.isupper() and isinstance(value, int)}

    assert codes == {int(code) for code in re.findall(r"^\| (\d+) \|", page("cli.md"), re.MULTILINE)}


def test_the_retry_table_is_documented() -> None:
    """
    The pauses on the page are the program's.
    """
    sizes = {"s": 1.0, "min": 60.0, "h": 3600.0}
    sentence = re.search(r"tried ten times: at once, then after (.*?), each", page("webhooks.md"))
    assert sentence
    pauses = [float(number) * sizes[unit] for number, unit in re.findall(r"(\d+) (s|min|h)\b", sentence[1])]

    assert tuple(pauses) == webhook.PAUSES_SECONDS


def test_every_header_is_documented() -> None:
    """
    Receivers read them.
    """
    source = "".join(Path(str(room.__file__)).read_text("utf-8") for room in (webhook,)) + (
        Path(webhook.__file__).with_name("signing.py").read_text("utf-8")
    )
    sent = set(re.findall(r'"((?:X-|webhook-)[A-Za-z-]+)"', source))

    assert sent
    assert [name for name in sent if f"`{name}`" not in page("webhooks.md")] == []
