"""
`headrace doctor`: is everything here that a server needs, and if not, what is the next move.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from headrace.cli.failures import FAILED
from headrace.cli.options import Home, Json, Key, Project, Url

if TYPE_CHECKING:
    from headrace.cli.checks import Finding

_SIGNS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}


def doctor(home: Home = None, project: Project = None, url: Url = None, key: Key = None, as_json: Json = False) -> None:
    """
    Check machine, database, project and server.

    Works without a server and changes nothing; the exit code is 1 if something is broken.
    """
    from headrace.cli.checks import examine
    from headrace.cli.output import say_json

    found = asyncio.run(examine(home=home, project=project, url=url, key=key))
    if as_json:
        say_json([finding.as_json() for finding in found])
    else:
        _say(found)
    if any(finding.level == "fail" for finding in found):
        raise typer.Exit(FAILED)


def _say(found: list[Finding]) -> None:
    from rich.text import Text

    from headrace.cli.output import console

    out = console()
    for finding in found:
        sign, style = _SIGNS[finding.level]
        line = Text.assemble((sign, style), f" {finding.about:<12} {finding.said}")
        out.print(line, soft_wrap=True)
        if finding.instruction and finding.level != "ok":
            out.print(Text(f"  {'':<12} {finding.instruction}", style="dim"), soft_wrap=True)
